/** What the write flows work with, and the cause that every write carries. */
import type { TimeAndChance } from "@pilothouse/clock";
import type { ApiObject, KindDefinition } from "@pilothouse/kinds/kind";
import type { ObjectStore, RequestContext, WriteCause } from "../../core/model.ts";
import type { Admission } from "../admission/admission.ts";
import type { Allocations } from "./allocate.ts";
import type { Beside } from "./beside.ts";
import type { Charges } from "./charge.ts";
import type { Turns } from "../turns.ts";
import type { Authorizer } from "../access/authorizer.ts";
import type { CachedObjects } from "../reads/cached.ts";

export interface WriteDeps {
  readonly objects: ObjectStore;
  readonly cached: CachedObjects;
  readonly time: TimeAndChance;
  readonly allocations: Allocations;
  readonly beside: Beside;
  readonly charges: Charges;
  /** For evictions, which spend from budgets one after the other. */
  readonly turns: Turns;
  readonly admission: Admission;
  /** Refuses roles and bindings that would give away more than the user has. */
  readonly judgeEscalation: (context: RequestContext, kind: KindDefinition, object: ApiObject) => Promise<void>;
  /** Refuses verdicts on certificate requests by who may not approve, or sign, for the signer asked. */
  readonly judgeSigner: Authorizer["judgeSigner"];
}

export function causeOf({ request, span, fence }: RequestContext): WriteCause {
  return { trace: span.context, signal: request.signal, ...(fence ? { fence } : {}) };
}

/** Optimistic writes give up after this many lost races. */
export const MAX_ATTEMPTS = 12;
