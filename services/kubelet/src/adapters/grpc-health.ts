/**
 * A probe by grpc.health.v1.Health/Check: one unary call over HTTP/2 without TLS, as upstream makes it. Its two messages have one
 * field each, so that a whole gRPC client would be more than the question.
 */
import { connect, constants, type IncomingHttpHeaders } from "node:http2";
import type { Clock } from "@pilothouse/clock";
import type { GrpcProbe, ProbeOutcome } from "../flows/ports.ts";

const PATH = "/grpc.health.v1.Health/Check";
const SERVING_STATUS = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"] as const;
const UNIMPLEMENTED = "12";
const DEADLINE_EXCEEDED = "4";
const MAX_ANSWER_BYTES = 64 * 1024;

/** Never rejects. */
export function grpcProbe(clock: Clock, probe: GrpcProbe): Promise<ProbeOutcome> {
  const { host, port, service, timeoutMs } = probe;
  return new Promise((resolve) => {
    const session = connect(`http://${host.includes(":") ? `[${host}]` : host}:${port}`);
    let connected = false;
    const end = (outcome: ProbeOutcome): void => {
      timer.cancel();
      session.destroy();
      resolve(outcome);
    };
    const failed = (detail: string): void => end({ ok: false, detail });
    const seconds = `${timeoutMs / 1000}s`;
    const timer = clock.setTimer(timeoutMs, () =>
      failed(
        connected
          ? `timeout: health rpc did not complete within ${seconds}`
          : `timeout: failed to connect service "${host}:${port}" within ${seconds}: context deadline exceeded`,
      ),
    );
    const check = (): void => {
      const call = session.request({
        [constants.HTTP2_HEADER_METHOD]: "POST",
        [constants.HTTP2_HEADER_PATH]: PATH,
        "content-type": "application/grpc",
        te: "trailers",
        "user-agent": "kube-probe/1.36",
      });
      const chunks: Buffer[] = [];
      let size = 0;
      let headers: IncomingHttpHeaders = {};
      call.on("response", (told) => void (headers = { ...headers, ...told }));
      call.on("trailers", (told: IncomingHttpHeaders) => void (headers = { ...headers, ...told }));
      call.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size <= MAX_ANSWER_BYTES) chunks.push(chunk);
        else failed("error: health rpc probe failed: the answer is too long");
      });
      // A call that fails makes the session fail, which is heard above; one that is reset alone ends here.
      call.on("error", (error) => failed(`error: health rpc probe failed: ${error.message}`));
      call.on("close", () => end(outcomeOf(headers, Buffer.concat(chunks), seconds)));
      call.end(frame(request(service)));
    };
    session.on("connect", () => {
      connected = true;
      check();
    });
    session.on("error", (error) =>
      failed(
        connected
          ? `error: health rpc probe failed: ${error.message}`
          : `error: failed to connect service at "${host}:${port}": ${error.message}`,
      ),
    );
  });
}

function outcomeOf(headers: IncomingHttpHeaders, body: Buffer, seconds: string): ProbeOutcome {
  const status = headers["grpc-status"];
  const message = decodeURIComponentOr(String(headers["grpc-message"] ?? ""));
  if (status === UNIMPLEMENTED) {
    const detail = `error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ${message}`;
    return { ok: false, detail };
  }
  if (status === DEADLINE_EXCEEDED)
    return { ok: false, detail: `timeout: health rpc did not complete within ${seconds}` };
  if (status !== "0")
    return { ok: false, detail: `error: health rpc probe failed: ${message || `status ${String(status)}`}` };
  const serving = servingStatus(body);
  if (serving === "SERVING") return { ok: true, detail: "" };
  return { ok: false, detail: `service unhealthy (responded with "${serving}")` };
}

/** HealthCheckRequest { string service = 1; } */
function request(service: string): Buffer {
  const name = Buffer.from(service);
  if (name.length === 0) return name;
  return Buffer.concat([Buffer.from([0x0a, ...varint(name.length)]), name]);
}

function frame(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** HealthCheckResponse { ServingStatus status = 1; }: an absent field is UNKNOWN. */
function servingStatus(body: Buffer): string {
  const message = body.subarray(5);
  if (message[0] !== 0x08) return SERVING_STATUS[0];
  return SERVING_STATUS[message[1] ?? 0] ?? SERVING_STATUS[0];
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return [...bytes, rest];
    bytes.push((rest & 0x7f) | 0x80);
  }
}

function decodeURIComponentOr(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
