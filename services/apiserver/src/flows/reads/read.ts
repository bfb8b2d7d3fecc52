/** GET of one object, from the cache's bytes. */
import type { Clock } from "@pilothouse/clock";
import { notFound, serviceUnavailable } from "@pilothouse/errors";
import { storedKindOf, type KindDefinition } from "@pilothouse/kinds/kind";
import { StoreUnavailable, type Store } from "@pilothouse/store";
import type { Encodings } from "../../cache/encodings.ts";
import { isTooLargeResourceVersion } from "../../cache/revision-gate.ts";
import type { WatchCache } from "../../cache/watch-cache.ts";
import type { Form, Shown } from "../../core/forms/form.ts";
import { EVENT_TRACES_HEADER, formOf, withEventTraces } from "../../core/forms/forms.ts";
import { parseResourceVersion } from "../../core/list-options.ts";
import { APISERVER_HEADER, EPOCH_HEADER, type Flow, type ObjectStore, type RequestContext } from "../../core/model.ts";

/** What the reading flows (get, list, watch) work with. */
export interface ReadPorts {
  readonly cache: WatchCache;
  readonly objects: ObjectStore;
  readonly store: Store;
  readonly clock: Clock;
  readonly encodings: Encodings;
  /** This apiserver's name: whose bus feed follows what is read here. */
  readonly apiserver: string;
  /** What resourceVersions are ahead of etcd's revisions (C8). */
  readonly rvBase: number;
}

/**
 * resourceVersion: none → as new as the store, X → at least X, 0 → as new as the store while it answers (C7).
 *
 * @throws StatusError 400, 404, 406, 504
 */
export function getFlow(ports: ReadPorts): Flow {
  return async (context) => {
    const { kind, form } = readOf(ports, context, "get");
    const { namespace, name } = context.info;
    const found = await find(ports, context, kind, namespace, name);
    if (!found) throw notFound(kind, name);
    return {
      status: 200,
      headers: { "content-type": form.contentType },
      body: shared(ports.encodings, form.shareKey, "object", found, () => form.object(found)),
    };
  };
}

/** The kind whose objects are stored, the one that was asked for, and the form that a reading request is about. */
export function readOf(
  { clock }: ReadPorts,
  { request, kind }: RequestContext,
  verb: "get" | "list" | "watch",
): { readonly kind: KindDefinition; readonly asked: KindDefinition; readonly form: Form } {
  if (!kind) throw new Error("a resource request without a kind reached the reading flows");
  const form = formOf(kind, request.headers["accept"], request.query, verb, clock.now());
  const wantsTraces = verb === "watch" && request.headers[EVENT_TRACES_HEADER] === "true";
  return { kind: storedKindOf(kind), asked: kind, form: wantsTraces ? withEventTraces(form) : form };
}

/** Encodes at most once for each subject (an entry or a change) and key; without a key, each time. */
export function shared(
  encodings: Encodings,
  key: string | undefined,
  use: string,
  subject: object,
  encode: () => Uint8Array,
): Uint8Array {
  return key === undefined ? encode() : encodings.get(subject, `${use} ${key}`, encode);
}

/**
 * Waits until the cache is as new as the store is now.
 *
 * @returns false when the cache did not get there in time and the store itself has to be read
 * @throws StatusError 503 when the store does not answer
 */
export async function reachedCurrent({ cache }: ReadPorts, signal: AbortSignal): Promise<boolean> {
  try {
    await cache.waitUntilCurrent(signal);
    return true;
  } catch (error) {
    if (isTooLargeResourceVersion(error)) return false;
    if (error instanceof StoreUnavailable) throw serviceUnavailable(error.message);
    throw error;
  }
}

/** As `reachedCurrent` for those who take anything: they get what there is when the store does not answer. */
export async function reachedCurrentIfUp(ports: ReadPorts, signal: AbortSignal): Promise<void> {
  try {
    await ports.cache.waitUntilCurrent(signal);
  } catch (error) {
    if (!(error instanceof StoreUnavailable) && !isTooLargeResourceVersion(error)) throw error;
  }
}

/** By which a follower of the bus learns whose feed continues what it has read (C15). */
export function feedHeaders({ apiserver, cache }: ReadPorts): Readonly<Record<string, string>> {
  return { [APISERVER_HEADER]: apiserver, [EPOCH_HEADER]: cache.epoch };
}

async function find(
  ports: ReadPorts,
  { request }: RequestContext,
  kind: KindDefinition,
  namespace: string,
  name: string,
): Promise<Shown | undefined> {
  const asked = request.query.get("resourceVersion") ?? "";
  const revision = asked === "" ? undefined : parseResourceVersion(asked);
  if (revision === 0) await reachedCurrentIfUp(ports, request.signal);
  else if (revision !== undefined) await ports.cache.waitFor(revision, request.signal);
  else if (!(await reachedCurrent(ports, request.signal))) return ports.objects.read(kind, namespace, name);
  return ports.cache.get(kind, namespace, name);
}
