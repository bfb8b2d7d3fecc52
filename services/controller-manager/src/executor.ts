/**
 * Carries actions out: one span each, own writes remembered, outcomes that are unclear settled.
 *
 * Promises: `create` makes at most one object, also when an answer is lost: the name is chosen here, and a lost answer is
 * settled by asking for the same name again (C3, seen from the client).
 */
import { sleep, type Clock } from "@pilothouse/clock";
import {
  Unreachable,
  type ApiClient,
  type DeleteCallOptions,
  type KubernetesObject,
  type ResourceType,
  type WriteOptions,
} from "@pilothouse/client";
import type { OwnWrites } from "@pilothouse/controller";
import { isStatus, StatusError } from "@pilothouse/errors";
import type { Informer } from "@pilothouse/informer";
import { span, type SpanAttributes, type TraceContext, type Tracer } from "@pilothouse/telemetry";
import { controllerOf } from "./core/ownership.ts";

export interface ExecutorPorts {
  readonly client: ApiClient;
  readonly clock: Clock;
  readonly tracer: Tracer;
}

/** For which key something is done, and what caused it. */
export interface Cause {
  readonly key: string;
  readonly trace: TraceContext;
  readonly signal: AbortSignal;
  readonly ownWrites: OwnWrites;
}

export const FIELD_MANAGER = "kube-controller-manager";

const SETTLE_TRIES = 5;
const SETTLE_DELAY_MS = 200;

export class Executor {
  readonly #ports: ExecutorPorts;

  constructor(ports: ExecutorPorts) {
    this.#ports = ports;
  }

  /** `object` has its name. */
  create<T extends KubernetesObject>(informer: Informer<T>, object: T, cause: Cause): Promise<T> {
    return this.#do("create", informer.type, object, cause, async (options) => {
      const created = await this.#createOnce(informer.type, object, options);
      cause.ownWrites.wrote(cause.key, informer, created);
      return created;
    });
  }

  update<T extends KubernetesObject>(informer: Informer<T>, object: T, cause: Cause): Promise<T> {
    return this.#do("update", informer.type, object, cause, async (options) => {
      const updated = await this.#ports.client.update(informer.type, object, options);
      cause.ownWrites.wrote(cause.key, informer, updated);
      return updated;
    });
  }

  updateStatus<T extends KubernetesObject>(informer: Informer<T>, object: T, cause: Cause): Promise<T> {
    return this.updateSubresource(informer, "status", object, cause);
  }

  updateSubresource<T extends KubernetesObject>(
    informer: Informer<T>,
    subresource: "status" | "approval",
    object: T,
    cause: Cause,
  ): Promise<T> {
    return this.#do(`update ${subresource}`, informer.type, object, cause, async (options) => {
      const updated = await this.#ports.client.update(informer.type, object, { ...options, subresource });
      cause.ownWrites.wrote(cause.key, informer, updated);
      return updated;
    });
  }

  /** A merge patch; `object` is what it was decided upon and goes with it as precondition. */
  patch<T extends KubernetesObject>(informer: Informer<T>, object: T, body: object, cause: Cause): Promise<T> {
    const { namespace = "", name = "" } = object.metadata;
    return this.#do("patch", informer.type, object, cause, async (options) => {
      const patch = { type: "application/merge-patch+json", body } as const;
      const patched = await this.#ports.client.patch(informer.type, namespace, name, patch, options);
      cause.ownWrites.wrote(cause.key, informer, patched);
      return patched;
    });
  }

  /** Deletes this very object (by uid); gone already is as good. */
  async delete<T extends KubernetesObject>(
    informer: Informer<T>,
    object: T,
    cause: Cause,
    options: Pick<DeleteCallOptions, "resourceVersion" | "propagationPolicy" | "gracePeriodSeconds"> = {},
  ): Promise<void> {
    const { namespace = "", name = "", uid } = object.metadata;
    await this.#do("delete", informer.type, object, cause, async ({ trace, signal }) => {
      const call = { trace, ...(signal ? { signal } : {}), ...(uid === undefined ? {} : { uid }), ...options };
      try {
        await this.#ports.client.delete(informer.type, namespace, name, call);
      } catch (error) {
        if (!isStatus(error, "NotFound")) throw error;
      }
      cause.ownWrites.deleted(cause.key, informer, object);
    });
  }

  /** What is there right now, by a consistent read (C13); undefined when it is absent. */
  async read<T extends KubernetesObject>(
    type: ResourceType<T>,
    namespace: string,
    name: string,
    { trace, signal }: Pick<Cause, "trace" | "signal">,
  ): Promise<T | undefined> {
    try {
      return await this.#ports.client.get(type, namespace, name, { trace, signal });
    } catch (error) {
      if (isStatus(error, "NotFound")) return undefined;
      throw error;
    }
  }

  async #createOnce<T extends KubernetesObject>(type: ResourceType<T>, object: T, options: WriteOptions): Promise<T> {
    const { namespace = "", name = "" } = object.metadata;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#ports.client.create(type, object, options);
      } catch (error) {
        if (attempt > 1 && isStatus(error, "AlreadyExists")) {
          const existing = await this.#ports.client.get(type, namespace, name, options);
          if (controllerOf(existing)?.uid === controllerOf(object)?.uid) return existing;
        }
        if (!isOutcomeUnknown(error) || options.signal?.aborted || attempt === SETTLE_TRIES) throw error;
        await sleep(this.#ports.clock, SETTLE_DELAY_MS * attempt, options.signal);
      }
    }
  }

  #do<T>(
    verb: string,
    type: ResourceType,
    { metadata }: KubernetesObject,
    { trace, signal }: Cause,
    act: (options: WriteOptions) => Promise<T>,
  ): Promise<T> {
    const name = metadata.namespace ? `${metadata.namespace}/${metadata.name ?? ""}` : (metadata.name ?? "");
    const attributes: SpanAttributes = { resource: type.resource, object: name };
    return span(
      this.#ports.tracer,
      `${verb} ${type.resource}`,
      { parent: trace, attributes, kind: "client" },
      (current) => act({ trace: current.context, signal, fieldManager: FIELD_MANAGER }),
    );
  }
}

/** True when the write may have been done although no answer says so. */
export function isOutcomeUnknown(error: unknown): boolean {
  if (error instanceof StatusError) return error.code === 504 || error.reason === "Timeout";
  return !(error instanceof Unreachable);
}
