/**
 * What each controller does in its scenario: which caches it looks into, what it asks the API for beside them, what it creates and
 * deletes, and which fields it changes. Taken at what it is handed (informers, executor, client) in an undisturbed run, so that
 * two controllers of one process are told apart.
 */
import type { KubernetesObject, ResourceType } from "@pilothouse/client";
import { controllers, type StartController } from "@pilothouse/controller-manager";
import type { Informer } from "@pilothouse/informer";
import { applyMergePatch } from "@pilothouse/patch";
import { setTraps } from "../traps.ts";
import { changedFields } from "./fields.ts";
import type { Scenario } from "./scenario.ts";
import { controllerManager } from "./subjects.ts";
import { tryScenario } from "./trial.ts";

export interface Deeds {
  readonly watches: Set<string>;
  /** Read from the API itself, not from a cache. */
  readonly reads: Set<string>;
  readonly creates: Set<string>;
  readonly deletes: Set<string>;
  /** `<resource> <field>`, with the subresource: `pods/status status.conditions[Ready]`. */
  readonly changes: Set<string>;
}

/** By controller. @throws what went wrong in a scenario */
export async function deedsOf(scenarios: readonly Scenario[]): Promise<ReadonlyMap<string, Deeds>> {
  const deeds = new Map<string, Deeds>();
  const freeTraps = setTraps();
  try {
    for (const scenario of scenarios) {
      const { controllers: names } = scenario.subject;
      if (!names) continue;
      const recorded = names.map((name) => recordedController(name, deedsIn(deeds, name)));
      const { failure } = await tryScenario({ ...scenario, subject: controllerManager(...recorded) });
      if (failure) throw failure;
    }
  } finally {
    freeTraps();
  }
  return deeds;
}

function deedsIn(all: Map<string, Deeds>, name: string): Deeds {
  const known = all.get(name);
  if (known) return known;
  const none = (): Set<string> => new Set();
  const made = { watches: none(), reads: none(), creates: none(), deletes: none(), changes: none() };
  all.set(name, made);
  return made;
}

function recordedController(name: string, deeds: Deeds): StartController {
  const start = controllers[name];
  if (!start) throw new RangeError(`no controller named ${name}`);
  return (ports) =>
    start({
      ...ports,
      informers: listened(ports.informers, (_member, informer) => void deeds.watches.add(nameOf(informer.type))),
      executor: called(ports.executor, (member, args) => executed(deeds, member, args)),
      client: called(ports.client, (member, args) => asked(deeds, member, args)),
    });
}

/** Arguments of the executor's methods begin with an informer and an object; `read` and deletes apart. */
function executed(deeds: Deeds, member: string, args: readonly unknown[]): void {
  if (member === "read") return void deeds.reads.add(nameOf(args[0] as ResourceType));
  const [informer] = args as [Informer<KubernetesObject>];
  const before = ({ metadata }: KubernetesObject): KubernetesObject =>
    informer.get(metadata.namespace ?? "", metadata.name ?? "") ?? { metadata: {} };
  const changed = (old: KubernetesObject, next: object, subresource = ""): void => {
    for (const field of changedFields(old, next)) deeds.changes.add(`${nameOf(informer.type, subresource)} ${field}`);
  };
  switch (member) {
    case "create":
      return void deeds.creates.add(nameOf(informer.type));
    case "delete":
      return void deeds.deletes.add(nameOf(informer.type));
    case "patch": {
      const [, object, body] = args as [unknown, KubernetesObject, object];
      return changed(object, applyMergePatch(object, body));
    }
    case "update":
    case "updateStatus": {
      const object = args[1] as KubernetesObject;
      return changed(before(object), object, member === "update" ? "" : "status");
    }
    case "updateSubresource": {
      const object = args[2] as KubernetesObject;
      return changed(before(object), object, args[1] as string);
    }
    default:
      throw new RangeError(`what does ${member} of the executor do?`);
  }
}

function asked(deeds: Deeds, member: string, args: readonly unknown[]): void {
  if (member === "raw") {
    const [method, path] = args as [string, string];
    const [scaled] = /[^/]+(?=\/[^/]+\/scale(\?|$))/.exec(path) ?? [];
    if (scaled !== undefined && method === "PUT") deeds.changes.add(`${scaled}/scale spec.replicas`);
    else if (scaled !== undefined) deeds.reads.add(`${scaled}/scale`);
    else if (method === "DELETE") deeds.deletes.add("whatever a namespace holds");
    else if (method === "GET") deeds.reads.add("discovery");
    else deeds.creates.add(path.split("/").at(-1) ?? path);
    return;
  }
  const name = nameOf(args[0] as ResourceType);
  if (member === "get" || member === "list" || member === "watch") deeds.reads.add(name);
  else if (member === "delete") deeds.deletes.add(name);
  else if (member === "update") deeds.changes.add(`${name}/finalize spec.finalizers`);
  else throw new RangeError(`what does ${member} of the client do?`);
}

function nameOf({ group, resource }: Pick<ResourceType, "group" | "resource">, subresource = ""): string {
  return `${resource}${group === "" ? "" : `.${group}`}${subresource === "" ? "" : `/${subresource}`}`;
}

/** Tells each member that is looked at. */
function listened<T extends object>(target: T, tell: (member: string, value: T[keyof T]) => void): T {
  return new Proxy(target, {
    get(_target, member) {
      const value = Reflect.get(target, member) as T[keyof T];
      if (typeof member === "string" && value !== undefined) tell(member, value);
      return value;
    },
  });
}

/** Tells each call of a method, before it is made. */
function called<T extends object>(target: T, tell: (member: string, args: readonly unknown[]) => void): T {
  return new Proxy(target, {
    get(_target, member) {
      const value: unknown = Reflect.get(target, member, target);
      if (typeof value !== "function" || typeof member !== "string") return value;
      return (...args: unknown[]): unknown => {
        tell(member, args);
        return Reflect.apply(value, target, args);
      };
    },
  });
}
