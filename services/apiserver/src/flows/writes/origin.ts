/**
 * Where a write starts from (C2).
 *
 * The cache's copy of an object is a guess, and often a good one: a transaction computed on it compares its revision, so
 * a write that is carried out was right whatever the cache said, and costs the store one call. What is told without a
 * transaction (a no-op, a dry run, every error) has no such proof: it is never told of a guess, but decided again on what
 * the store itself holds.
 */
import { conflict, OBJECT_MODIFIED } from "@pilothouse/errors";
import type { ApiObject, KindDefinition } from "@pilothouse/kinds/kind";
import type { RequestContext, StoredObject, WriteOutcome } from "../../core/model.ts";
import type { CachedObjects } from "../reads/cached.ts";
import { MAX_ATTEMPTS, type WriteDeps } from "./write-deps.ts";

export interface Origin {
  /** Where it comes from: the cache, which may lag, or the store. */
  readonly kind: "guess" | "read";
  /** Undefined: there is none. A guess always has one, for absence is never concluded from a cache (C13). */
  readonly stored: StoredObject | undefined;
}

/** What is to be done about an origin: tell something, or write. */
export type Decision<T> =
  /** Rests on the origin alone. */
  | { readonly kind: "tell"; readonly answer: T }
  /** One transaction, or several, that compare the origin's revision; run once the decision stands. */
  | { readonly kind: "write"; run(): Promise<WriteEnd<T>> };

export type WriteEnd<T> =
  | { readonly kind: "done"; readonly answer: T }
  /** Somebody was faster: decide again, on what was found there or else on what the store then says. */
  | { readonly kind: "lost"; readonly found?: Origin };

/** The end of a write that was one transaction. */
export function ended<S, T>(outcome: WriteOutcome<S>, answer: (stored: S) => T): WriteEnd<T> {
  if (outcome.kind === "written") return { kind: "done", answer: answer(outcome.stored) };
  return { kind: "lost", found: { kind: "read", stored: outcome.found } };
}

export interface Target {
  readonly kind: KindDefinition;
  readonly namespace: string;
  readonly name: string;
}

/**
 * Decides and writes until it is done. `decide` gets a context whose warnings count only when its decision does.
 *
 * @throws StatusError what `decide` throws of an origin that was read, what the write throws, and 409 after too many lost races
 */
export async function writeFromOrigin<T>(
  deps: WriteDeps,
  context: RequestContext,
  target: Target,
  decide: (stored: StoredObject | undefined, context: RequestContext) => Promise<Decision<T>>,
): Promise<T> {
  const { kind, namespace, name } = target;
  const read = async (): Promise<Origin> => ({ kind: "read", stored: await deps.objects.read(kind, namespace, name) });
  let origin = guessed(deps.cached, target) ?? (await read());
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const warnings: string[] = [];
    const heard = { ...context, warn: (text: string) => void warnings.push(text) };
    const decision = await standing(origin, (stored) => decide(stored, heard));
    if (!decision) {
      origin = await read();
      continue;
    }
    warnings.forEach(context.warn);
    if (decision.kind === "tell") return decision.answer;
    const end = await decision.run();
    if (end.kind === "done") return end.answer;
    origin = end.found ?? (await read());
  }
  throw conflict(kind, name, OBJECT_MODIFIED);
}

/** The decision, if it stands; undefined when only a guess says so and no transaction would prove it. */
async function standing<T>(
  { kind, stored }: Origin,
  decide: (stored: StoredObject | undefined) => Promise<Decision<T>>,
): Promise<Decision<T> | undefined> {
  if (kind === "read") return decide(stored);
  try {
    const decision = await decide(stored);
    return decision.kind === "tell" ? undefined : decision;
  } catch {
    return undefined;
  }
}

/** Undefined when the cache has none, or one that it cannot read: both are the store's to tell. */
function guessed({ cache }: CachedObjects, { kind, namespace, name }: Target): Origin | undefined {
  try {
    const entry = cache.get(kind, namespace, name);
    if (!entry) return undefined;
    const { bytes, revision } = entry;
    return { kind: "guess", stored: { object: objectOf(bytes), revision, bytes } };
  } catch {
    return undefined;
  }
}

/** A fresh tree of an object's served bytes. */
export function objectOf(bytes: Uint8Array): ApiObject {
  return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8")) as ApiObject;
}
