/**
 * The state that a cluster came to, in words that are the same whenever it is the same in all that matters: without uids, times,
 * resourceVersions and random suffixes of names. Pure. One line of JSON an object, sorted.
 */
import type { KubernetesObject } from "@pilothouse/client";

type Fields = Readonly<Record<string, unknown>>;

/** Each says who wrote or when, not what is so. */
const UNTOLD: ReadonlySet<string> = new Set(["managedFields", "resourceVersion", "generation"]);
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

export function stateOf(objects: readonly KubernetesObject[]): string[] {
  const names = new Map<string, string>();
  for (const object of objects) {
    names.set(object.metadata.name ?? "", steadyName(object));
    names.set(object.metadata.uid ?? "", `${object.kind ?? ""} ${steadyName(object)}`);
  }
  return objects.map((object) => JSON.stringify(told(withSteadyStatus(object), names))).sort();
}

/** Lines of one state that the other has not: what to read when two runs differ. */
export function difference(wanted: readonly string[], found: readonly string[]): string {
  return [
    ...without(wanted, found).map((line) => `- ${line}`),
    ...without(found, wanted).map((line) => `+ ${line}`),
  ].join("\n");
}

/** Each line takes away one like it. */
function without(lines: readonly string[], taken: readonly string[]): string[] {
  const left = [...taken];
  return lines.filter((line) => {
    const index = left.indexOf(line);
    if (index >= 0) left.splice(index, 1);
    return index < 0;
  });
}

/** What an owner's controller names at random is told by the owner's name. */
function steadyName({ metadata }: KubernetesObject): string {
  const { name = "", ownerReferences = [] } = metadata;
  const owner = ownerReferences.find(({ controller }) => controller === true);
  return owner && name.startsWith(`${owner.name}-`) ? `${owner.name}-*` : name;
}

/**
 * How often an object was changed on the way does not matter, but whether its controller has seen the last change does. The
 * order of conditions means nothing.
 */
function withSteadyStatus(object: KubernetesObject & { readonly status?: Fields }): object {
  const { status, metadata } = object;
  if (status === undefined) return object;
  const { observedGeneration, conditions } = status as { observedGeneration?: number; conditions?: { type: string }[] };
  const seen = observedGeneration === metadata.generation ? "the last" : "an earlier one";
  const byType = conditions?.toSorted((a, b) => (a.type < b.type ? -1 : 1));
  return {
    ...object,
    status: {
      ...status,
      ...(byType ? { conditions: byType } : {}),
      ...(observedGeneration === undefined ? {} : { observedGeneration: seen }),
    },
  };
}

function told(value: unknown, names: ReadonlyMap<string, string>): unknown {
  if (typeof value === "string") return toldText(value, names);
  if (Array.isArray(value)) return value.map((item) => told(item, names));
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value)
    .filter(([name, field]) => !UNTOLD.has(name) && field !== undefined)
    .map(([name, field]) => [toldText(name, names), told(field, names)] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(fields);
}

function toldText(text: string, names: ReadonlyMap<string, string>): string {
  if (TIME.test(text)) return "<a time>";
  return names.get(text) ?? (UUID.test(text) ? "<nobody>" : text);
}
