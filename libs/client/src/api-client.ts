import { StatusError, type Status, type StatusReason } from "@pilothouse/errors";
import { formatTraceparent, parseTraceparent, type TraceContext } from "@pilothouse/telemetry";
import type {
  ApiClient,
  ApiserverIdentity,
  CallOptions,
  DeleteCallOptions,
  KubernetesObject,
  ListOptions,
  ListResult,
  PatchType,
  ResourceType,
  WatchCallOptions,
  WatchEvent,
  WriteOptions,
} from "./contract.ts";
import { jsonLines, readAll } from "./json-lines.ts";
import { query, resourcePath } from "./paths.ts";
import { Unreachable, type Transport, type TransportRequest, type TransportResponse } from "./transport.ts";

export interface ApiClientOptions {
  /** At least one; asked in turn when one cannot be reached. The client does not close them. */
  readonly transports: readonly Transport[];
  /** `<election>/<createRevision>` while this process leads, for the fence of its writes (C11). */
  readonly fence?: () => string | undefined;
  readonly userAgent: string;
}

/** How long a watch lasts when nobody says; the server ends it then and the caller resumes. */
const WATCH_SECONDS = 300;
const JSON_TYPE = "application/json";

export function createApiClient(options: ApiClientOptions): ApiClient {
  return new TransportClient(options);
}

interface Call extends CallOptions {
  readonly method: string;
  readonly path: string;
  readonly body?: Uint8Array;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly resumable?: boolean;
}

class TransportClient implements ApiClient {
  readonly #options: ApiClientOptions;
  /** The transport that answered last. */
  #preferred = 0;

  constructor(options: ApiClientOptions) {
    if (options.transports.length === 0) throw new RangeError("a client needs an apiserver to talk to");
    this.#options = options;
  }

  get<T extends KubernetesObject>(type: ResourceType<T>, namespace: string, name: string, options: CallOptions = {}) {
    return this.#json<T>({ ...options, method: "GET", path: resourcePath(type, namespace, name) });
  }

  async list<T extends KubernetesObject>(
    type: ResourceType<T>,
    namespace: string,
    options: ListOptions = {},
  ): Promise<ListResult<T>> {
    const { labelSelector, fieldSelector, limit, resourceVersion } = options;
    const parameters = { labelSelector, fieldSelector, limit, continue: options.continue, resourceVersion };
    const path = resourcePath(type, namespace) + query(parameters);
    const response = await this.#send({ ...options, method: "GET", path });
    const list = parseJson(await okBody(response)) as ListBody<T>;
    const apiserver = identityOf(response);
    return {
      items: list.items ?? [],
      resourceVersion: list.metadata.resourceVersion ?? "",
      ...(list.metadata.continue ? { continue: list.metadata.continue } : {}),
      ...(apiserver ? { apiserver } : {}),
    };
  }

  create<T extends KubernetesObject>(type: ResourceType<T>, object: T, options: WriteOptions = {}): Promise<T> {
    const path = resourcePath(type, object.metadata.namespace ?? "");
    return this.#write<T>("POST", path, withType(type, object), options);
  }

  update<T extends KubernetesObject>(
    type: ResourceType<T>,
    object: T,
    options: WriteOptions & { readonly subresource?: string } = {},
  ): Promise<T> {
    const { namespace = "", name = "" } = object.metadata;
    const path = resourcePath(type, namespace, name, options.subresource);
    return this.#write<T>("PUT", path, withType(type, object), options);
  }

  patch<T extends KubernetesObject>(
    type: ResourceType<T>,
    namespace: string,
    name: string,
    patch: { readonly type: PatchType; readonly body: unknown },
    options: WriteOptions & { readonly subresource?: string } = {},
  ): Promise<T> {
    const path = resourcePath(type, namespace, name, options.subresource);
    return this.#write<T>("PATCH", path, patch.body, options, patch.type);
  }

  async delete<T extends KubernetesObject>(
    type: ResourceType<T>,
    namespace: string,
    name: string,
    options: DeleteCallOptions = {},
  ): Promise<void> {
    const { uid, resourceVersion, gracePeriodSeconds, propagationPolicy } = options;
    const preconditions =
      uid === undefined && resourceVersion === undefined
        ? {}
        : {
            preconditions: {
              ...(uid === undefined ? {} : { uid }),
              ...(resourceVersion === undefined ? {} : { resourceVersion }),
            },
          };
    const body = {
      kind: "DeleteOptions",
      apiVersion: "v1",
      ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
      ...(propagationPolicy === undefined ? {} : { propagationPolicy }),
      ...preconditions,
    };
    await this.#write("DELETE", resourcePath(type, namespace, name), body, options);
  }

  createSubresource<R>(
    type: ResourceType,
    namespace: string,
    name: string,
    subresource: string,
    body: unknown,
    options: WriteOptions = {},
  ): Promise<R> {
    return this.#write<R>("POST", resourcePath(type, namespace, name, subresource), body, options);
  }

  async *watch<T extends KubernetesObject>(
    type: ResourceType<T>,
    namespace: string,
    options: WatchCallOptions,
  ): AsyncGenerator<WatchEvent<T>> {
    const { labelSelector, fieldSelector, resourceVersion, timeoutSeconds = WATCH_SECONDS } = options;
    const parameters = { watch: true, allowWatchBookmarks: true, resourceVersion, timeoutSeconds };
    const path = resourcePath(type, namespace) + query({ ...parameters, labelSelector, fieldSelector });
    const headers = { "pilothouse-event-traces": "true" };
    const response = await this.#send({ ...options, method: "GET", path, headers, resumable: true });
    if (response.status !== 200) await okBody(response);
    options.onOpen?.(identityOf(response));
    for await (const line of jsonLines(response.body)) yield watchEvent<T>(line as WatchLine<T>);
  }

  async raw(
    method: string,
    path: string,
    options: CallOptions & { readonly body?: Uint8Array; readonly contentType?: string } = {},
  ): Promise<Uint8Array> {
    return okBody(await this.#send({ ...options, method, path }));
  }

  #write<R>(
    method: string,
    path: string,
    body: unknown,
    options: WriteOptions,
    contentType: string = JSON_TYPE,
  ): Promise<R> {
    const bytes = new TextEncoder().encode(JSON.stringify(body));
    const withManager = path + query({ fieldManager: options.fieldManager });
    return this.#json<R>({ ...options, method, path: withManager, body: bytes, contentType });
  }

  async #json<R>(call: Call): Promise<R> {
    return parseJson(await okBody(await this.#send(call))) as R;
  }

  /** Asks the apiserver that answered last; only if it cannot be reached, the next, each once. */
  async #send(call: Call): Promise<TransportResponse> {
    const { transports } = this.#options;
    const request = this.#request(call);
    const first = this.#preferred;
    for (let i = 0; ; i++) {
      const index = (first + i) % transports.length;
      try {
        const response = await (transports[index] as Transport).send(request);
        this.#preferred = index;
        return response;
      } catch (error) {
        // Whatever went wrong, the next call begins elsewhere: an apiserver that does not answer is no good one.
        if (!call.signal?.aborted) this.#preferred = (index + 1) % transports.length;
        if (!(error instanceof Unreachable) || i + 1 >= transports.length) throw error;
      }
    }
  }

  #request({ method, path, body, contentType, headers, trace, signal, deadlineMs, resumable }: Call): TransportRequest {
    const fence = method === "GET" ? undefined : this.#options.fence?.();
    return {
      method,
      path,
      headers: {
        accept: JSON_TYPE,
        "user-agent": this.#options.userAgent,
        ...(contentType === undefined ? {} : { "content-type": contentType }),
        ...(trace === undefined ? {} : { traceparent: formatTraceparent(trace) }),
        ...(fence === undefined ? {} : { "pilothouse-fence": fence }),
        ...headers,
      },
      ...(body === undefined ? {} : { body }),
      ...(signal === undefined ? {} : { signal }),
      ...(deadlineMs === undefined ? {} : { deadlineMs }),
      ...(resumable === undefined ? {} : { resumable }),
    };
  }
}

interface ListBody<T> {
  readonly items?: readonly T[] | null;
  readonly metadata: { readonly resourceVersion?: string; readonly continue?: string };
}

interface WatchLine<T> {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";
  readonly object: T;
  /** Ours, for those who ask with `pilothouse-event-traces`: what caused the change. */
  readonly traceparent?: string;
}

function watchEvent<T extends KubernetesObject>({ type, object, traceparent }: WatchLine<T>): WatchEvent<T> {
  switch (type) {
    case "BOOKMARK":
      return { type, resourceVersion: object.metadata.resourceVersion ?? "" };
    case "ERROR":
      throw statusError(object as unknown as Partial<Status>, 500);
    case "ADDED":
    case "MODIFIED":
    case "DELETED": {
      const trace: TraceContext | undefined = parseTraceparent(traceparent);
      return { type, object, ...(trace ? { trace } : {}) };
    }
  }
}

/** The body of a successful answer; throws the Status of another. */
async function okBody(response: TransportResponse): Promise<Uint8Array> {
  const body = await readAll(response.body);
  if (response.status >= 200 && response.status < 300) return body;
  let status: Partial<Status> = {};
  try {
    const parsed: unknown = parseJson(body);
    if (typeof parsed === "object" && parsed !== null) status = parsed;
  } catch {
    // Not from an apiserver: a balancer, say. The code has to do.
  }
  throw statusError(status, response.status);
}

function statusError(status: Partial<Status>, code: number): StatusError {
  const message = status.message ?? `the server answered ${status.code ?? code} without saying why`;
  return new StatusError(
    status.code ?? code,
    status.reason ?? reasonOf(status.code ?? code),
    message,
    status.details,
    status.metadata,
  );
}

const REASONS: Readonly<Record<number, StatusReason>> = {
  400: "BadRequest",
  401: "Unauthorized",
  403: "Forbidden",
  404: "NotFound",
  409: "Conflict",
  410: "Expired",
  422: "Invalid",
  429: "TooManyRequests",
  503: "ServiceUnavailable",
  504: "Timeout",
};

function reasonOf(code: number): StatusReason {
  return REASONS[code] ?? "InternalError";
}

function identityOf({ headers }: TransportResponse): ApiserverIdentity | undefined {
  const name = headers["pilothouse-apiserver"];
  const epoch = headers["pilothouse-epoch"];
  return name === undefined || epoch === undefined ? undefined : { name, epoch };
}

function withType<T extends KubernetesObject>(type: ResourceType<T>, object: T): T {
  const apiVersion = type.group === "" ? type.version : `${type.group}/${type.version}`;
  return { ...object, apiVersion, kind: type.kind };
}

const decoder = new TextDecoder();

function parseJson(body: Uint8Array): unknown {
  return JSON.parse(decoder.decode(body));
}
