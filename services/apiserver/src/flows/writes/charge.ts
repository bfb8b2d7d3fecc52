/**
 * Quotas. What a write costs is charged in the transaction of the write itself: it compares each quota's revision and puts the
 * quota with its new usage. So nothing is ever written beyond a quota, however many apiservers write at once, and nothing is
 * charged that was not written. What is used less is given back by the resourcequota controller, which counts.
 *
 * Does not promise: quotas that nobody has counted for yet (their status is empty), and ones so new that this apiserver has not
 * heard of them, refuse nothing; upstream's do neither.
 */
import type { ResourceQuota } from "@pilothouse/api/types/core-v1";
import type { Clock } from "@pilothouse/clock";
import { conflict, forbidden, OBJECT_MODIFIED } from "@pilothouse/errors";
import type { ApiObject, KindDefinition } from "@pilothouse/kinds/kind";
import { chargeOf } from "@pilothouse/kinds/quota/charge";
import { evaluatorOf, type Evaluator } from "@pilothouse/kinds/quota/usage";
import type { RequestContext } from "../../core/model.ts";
import { known } from "../../registry/known.ts";
import type { CachedObjects } from "../reads/cached.ts";
import { Turns } from "../turns.ts";
import { keyBeside, together, type Alongside, type Beside } from "./beside.ts";
import { AlongsideRefused } from "./object-store.ts";

export interface Chargeable {
  readonly context: RequestContext;
  readonly kind: KindDefinition;
  readonly object: ApiObject;
  /** Undefined for creates. */
  readonly old: ApiObject | undefined;
}

export interface Charges {
  /**
   * Runs `write` with what belongs into its transaction; again, if a quota has changed meanwhile.
   *
   * @param revisionOf the resourceVersion at which the answer was written; undefined if it was not
   * @throws StatusError 403 when a quota refuses it
   */
  charged<T>(
    wanted: Chargeable,
    write: (alongside: Alongside | undefined) => Promise<T>,
    revisionOf: (answer: T) => number | undefined,
  ): Promise<T>;
  /** For dry runs: charges nothing. Throws as `charged` does. */
  check(wanted: Chargeable): Promise<void>;
}

export interface ChargePorts {
  readonly cached: CachedObjects;
  readonly clock: Clock;
  readonly beside: Beside;
}

const QUOTAS = known.resourceQuotas.kind;
/** Each lost race is another apiserver's write that went through. */
const MAX_RACES = 64;

export function createCharges({ cached, clock, beside }: ChargePorts): Charges {
  const ledger = new Ledger(cached);
  const turns = new Turns();

  const judge = async (evaluator: Evaluator, wanted: Chargeable): Promise<readonly ResourceQuota[]> => {
    const { context, kind, object } = wanted;
    const { namespace = "", name = "" } = object.metadata;
    const verdict = () => chargeOf(evaluator, wanted, ledger.quotas(namespace), clock.now());
    let judged = verdict();
    if (judged.kind === "refused") {
      await cached.cache.waitUntilCurrent(context.request.signal);
      judged = verdict();
    }
    if (judged.kind === "refused") throw forbidden(kind, name, judged.why);
    return judged.quotas;
  };

  return {
    async check(wanted) {
      const evaluator = evaluatorFor(wanted);
      if (evaluator) await judge(evaluator, wanted);
    },

    async charged(wanted, write, revisionOf) {
      const evaluator = evaluatorFor(wanted);
      if (!evaluator || (await judge(evaluator, wanted)).length === 0) return write(undefined);
      const { namespace = "" } = wanted.object.metadata;
      const trace = wanted.context.span.context;
      // One after the other: at once they would only lose races against each other.
      return turns.take(namespace, async () => {
        for (let race = 0; race < MAX_RACES; race++) {
          const quotas = await judge(evaluator, wanted);
          try {
            const answer = await write(together(...quotas.map((quota) => beside(QUOTAS, quota, quota, trace))));
            const revision = revisionOf(answer);
            if (revision !== undefined) ledger.charged(namespace, quotas, revision);
            return answer;
          } catch (error) {
            const isOurs =
              error instanceof AlongsideRefused && quotas.some((quota) => keyBeside(QUOTAS, quota) === error.key);
            if (!isOurs) throw error;
          }
          await cached.cache.waitUntilCurrent(wanted.context.request.signal);
        }
        throw conflict(wanted.kind, wanted.object.metadata.name ?? "", OBJECT_MODIFIED);
      });
    },
  };
}

function evaluatorFor({ kind, context }: Chargeable): Evaluator | undefined {
  const { subresource } = context.info;
  return kind.namespaced && (subresource === "" || subresource === "resize") ? evaluatorOf(kind) : undefined;
}

function revisionIn({ metadata }: ResourceQuota): number {
  return Number(metadata.resourceVersion ?? "0");
}

/** The newest that is known of each quota: what the cache shows, or what was charged here since. */
class Ledger {
  readonly #cached: CachedObjects;
  /** By namespace and name; each only until the cache has caught up. */
  readonly #charged = new Map<string, Map<string, ResourceQuota>>();

  constructor(cached: CachedObjects) {
    this.#cached = cached;
  }

  quotas(namespace: string): readonly ResourceQuota[] {
    const shown = [...this.#cached.list(known.resourceQuotas, namespace)];
    const charged = this.#charged.get(namespace);
    if (!charged) return shown;
    const newest = shown.map((quota) => {
      const ours = charged.get(quota.metadata.name ?? "");
      return ours && revisionIn(ours) > revisionIn(quota) ? ours : quota;
    });
    const stillNewer = newest.filter((quota, index) => quota !== shown[index]);
    if (stillNewer.length === 0) this.#charged.delete(namespace);
    return newest;
  }

  charged(namespace: string, quotas: readonly ResourceQuota[], revision: number): void {
    const charged = this.#charged.get(namespace) ?? new Map<string, ResourceQuota>();
    this.#charged.set(namespace, charged);
    for (const quota of quotas) {
      const { metadata } = quota;
      charged.set(metadata.name ?? "", { ...quota, metadata: { ...metadata, resourceVersion: String(revision) } });
    }
  }
}
