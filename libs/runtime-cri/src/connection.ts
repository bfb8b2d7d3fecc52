/** One gRPC connection to containerd, with a deadline on every call (grpc-js can wait for ever: grpc-node#2785). */
import {
  credentials,
  loadPackageDefinition,
  Metadata,
  status as grpcStatus,
  type Client,
  type ClientReadableStream,
  type ServiceError,
} from "@grpc/grpc-js";
import { fromJSON } from "@grpc/proto-loader";
import type { Clock } from "@pilothouse/clock";
import { RuntimeError, type RuntimeErrorCode } from "@pilothouse/runtime";
import protobuf from "protobufjs";
import { containerdProtos, criProto } from "./proto.ts";

const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

const SERVICES = {
  runtime: "runtime.v1.RuntimeService",
  image: "runtime.v1.ImageService",
  events: "containerd.services.events.v1.Events",
  containers: "containerd.services.containers.v1.Containers",
  tasks: "containerd.services.tasks.v1.Tasks",
  snapshots: "containerd.services.snapshots.v1.Snapshots",
} as const;

export type ServiceName = keyof typeof SERVICES;

export interface Connection {
  /** `deadlineMs` Infinity is for calls that end when something outside ends (waiting for a process). */
  call<Response>(service: ServiceName, method: string, request: object, deadlineMs: number): Promise<Response>;
  stream<Message>(service: ServiceName, method: string, request: object): ClientReadableStream<Message>;
  /** Decodes a message of this type that arrived inside another. */
  decode(type: string, bytes: Uint8Array): Readonly<Record<string, unknown>>;
  close(): void;
}

type Method = (
  request: object,
  metadata: Metadata,
  options: object,
  callback?: (error: ServiceError | null, response: unknown) => void,
) => ClientReadableStream<unknown>;

type ClientConstructor = new (
  address: string,
  channelCredentials: ReturnType<typeof credentials.createInsecure>,
  options: object,
) => Client & Readonly<Record<string, Method | undefined>>;

/** `socketPath` is containerd's; `namespace` is where its CRI plugin keeps its containers. */
export function connect(clock: Clock, socketPath: string, namespace: string): Connection {
  const root = new protobuf.Root();
  for (const text of [criProto, ...containerdProtos]) protobuf.parse(text, root);
  const definition = fromJSON(root.toJSON(), { longs: Number, enums: String, defaults: true });
  const loaded = loadPackageDefinition(definition);
  const options = { "grpc.max_receive_message_length": MAX_MESSAGE_BYTES, "grpc.default_authority": "localhost" };
  const clients = new Map(
    Object.entries(SERVICES).map(([name, path]) => {
      const constructor = path.split(".").reduce<unknown>((at, part) => (at as Record<string, unknown>)[part], loaded);
      return [
        name,
        new (constructor as ClientConstructor)(`unix://${socketPath}`, credentials.createInsecure(), options),
      ];
    }),
  );
  const metadata = new Metadata();
  metadata.set("containerd-namespace", namespace);
  const method = (service: ServiceName, name: string): Method => {
    const client = clients.get(service);
    const found = client?.[name];
    if (!client || !found) throw new Error(`no such call: ${service}.${name}`);
    return found.bind(client);
  };
  return {
    call: (service, name, request, deadlineMs) =>
      new Promise((resolve, reject) => {
        const limits = Number.isFinite(deadlineMs) ? { deadline: clock.now() + deadlineMs } : {};
        method(service, name)(request, metadata, limits, (error, response) => {
          if (error) reject(runtimeError(error));
          else resolve(response as never);
        });
      }),
    stream: (service, name, request) => method(service, name)(request, metadata, {}) as ClientReadableStream<never>,
    decode: (type, bytes) => {
      const found = root.lookupType(type);
      return found.toObject(found.decode(bytes), { defaults: true });
    },
    close: () => {
      for (const client of clients.values()) client.close();
    },
  };
}

function runtimeError(error: ServiceError): RuntimeError {
  return new RuntimeError(codeOf(error), error.details === "" ? error.message : error.details);
}

function codeOf(error: ServiceError): RuntimeErrorCode {
  // containerd 1.6 answers some missing containers with "unknown" and a text.
  if (error.code === grpcStatus.UNKNOWN && error.details.endsWith("not found")) return "NotFound";
  switch (error.code) {
    case grpcStatus.NOT_FOUND:
      return "NotFound";
    case grpcStatus.ALREADY_EXISTS:
      return "AlreadyExists";
    case grpcStatus.INVALID_ARGUMENT:
      return "InvalidArgument";
    case grpcStatus.UNAVAILABLE:
      return "Unavailable";
    case grpcStatus.DEADLINE_EXCEEDED:
      return "DeadlineExceeded";
    default:
      return "Other";
  }
}
