/**
 * Admission: what may still change a write, or refuse it, once it is decoded, defaulted and authorised. A plugin is one file of
 * this folder and bears upstream's name; plugins.ts lists them in upstream's order. Plugins that mutate (`admit`) run before the
 * object is validated, those that only judge (`validate`) after it.
 */
import type { TimeAndChance } from "@pilothouse/clock";
import type { ApiObject, KindDefinition } from "@pilothouse/kinds/kind";
import type { ObjectStore, RequestContext } from "../../core/model.ts";
import type { CachedObjects } from "../reads/cached.ts";

export interface AdmissionDeps {
  /** Lookups; a refusal that rests on one is judged twice (C7): `cached.judge`. */
  readonly cached: CachedObjects;
  /** For what must not rest on a cache. */
  readonly objects: ObjectStore;
  readonly time: TimeAndChance;
}

interface Asked {
  /** Who asks, for which path. `context.info.subresource` is "eviction" when a delete comes from there. */
  readonly context: RequestContext;
  readonly kind: KindDefinition;
  readonly isDryRun: boolean;
}

export interface CreateRequest extends Asked {
  readonly operation: "CREATE";
  /** Changed in place by `admit`. */
  readonly object: ApiObject;
  readonly old: undefined;
}

export interface UpdateRequest extends Asked {
  readonly operation: "UPDATE";
  readonly object: ApiObject;
  /** Read-only. A guess where the cache lags (C2): nothing may be done here that outlives a refused write. */
  readonly old: ApiObject;
}

export interface DeleteRequest extends Asked {
  readonly operation: "DELETE";
  readonly object: undefined;
  readonly old: ApiObject;
}

export type AdmissionRequest = CreateRequest | UpdateRequest | DeleteRequest;

type Hook = (deps: AdmissionDeps, request: AdmissionRequest) => Promise<void> | void;

export interface AdmissionPlugin {
  /** As upstream names it. */
  readonly name: string;
  readonly operations: readonly AdmissionRequest["operation"][];
  /** `<resource>` of the core group, `<group>/<resource>` of others; undefined: every resource. */
  readonly resources?: readonly string[];
  /** Subresources it looks at; undefined: whole objects only; "*": those as well. */
  readonly subresources?: readonly string[] | "*";
  /** Fills in, or refuses with the error that it throws, before validation. */
  readonly admit?: Hook;
  /** Refuses what is complete and valid. Changes nothing. */
  readonly validate?: Hook;
}

export interface Admission {
  admit(request: AdmissionRequest): Promise<void>;
  validate(request: AdmissionRequest): Promise<void>;
}

/** @throws StatusError what the first plugin that refuses throws */
export function createAdmission(deps: AdmissionDeps, plugins: readonly AdmissionPlugin[]): Admission {
  const run = async (phase: "admit" | "validate", request: AdmissionRequest): Promise<void> => {
    for (const plugin of plugins) {
      const hook = plugin[phase];
      if (hook && concerns(plugin, request)) await hook(deps, request);
    }
  };
  return { admit: (request) => run("admit", request), validate: (request) => run("validate", request) };
}

function concerns(plugin: AdmissionPlugin, { operation, kind, context }: AdmissionRequest): boolean {
  if (!plugin.operations.includes(operation)) return false;
  if (plugin.resources && !plugin.resources.includes(resourceOf(kind))) return false;
  const { subresource } = context.info;
  if (plugin.subresources === "*" || subresource === "") return true;
  return plugin.subresources?.includes(subresource) ?? false;
}

function resourceOf({ group, resource }: KindDefinition): string {
  return group === "" ? resource : `${group}/${resource}`;
}
