/** The words of pod security: a check, what it finds, and how findings are worded. Pure. */
import type { Container, PodSpec } from "@pilothouse/api/types/core-v1";

export interface Checked {
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: PodSpec;
}

export interface Finding {
  /** `host namespaces` */
  readonly reason: string;
  /** `hostNetwork=true` */
  readonly detail: string;
}

export interface Check {
  /** As upstream names it; findings are told in this order. */
  readonly id: string;
  /** From which minor version of Kubernetes on this is asked; the newest that is not newer than the version asked for is. */
  readonly versions: readonly VersionedCheck[];
  /** Baseline checks that this one, of the restricted level, makes needless. */
  readonly overrides?: readonly string[];
}

export interface VersionedCheck {
  readonly sinceMinor: number;
  readonly find: (pod: Checked) => Finding | undefined;
}

/** All of a pod's containers, those that run first first. */
export function containersOf({ initContainers = [], containers, ephemeralContainers = [] }: PodSpec): Container[] {
  return [...initContainers, ...containers, ...(ephemeralContainers as Container[])];
}

/** Names of the containers of which it is true. */
export function namesWhere(spec: PodSpec, isSo: (container: Container) => boolean): string[] {
  return containersOf(spec)
    .filter(isSo)
    .map(({ name }) => name);
}

/** `container "a"`, `containers "a", "b"` */
export function named(what: string, names: readonly string[]): string {
  return `${plural(what, names)} ${quoted(names)}`;
}

export function plural(word: string, of: readonly unknown[]): string {
  return of.length === 1 ? word : `${word}s`;
}

export function quoted(names: readonly string[]): string {
  return `"${names.join('", "')}"`;
}

/** Each once, in order. */
export function distinct(values: readonly string[]): string[] {
  return [...new Set(values)].sort();
}

/** `pod and container "a"`; undefined if neither does. */
export function settersOf(isPod: boolean, containers: readonly string[]): string | undefined {
  const setters = [...(isPod ? ["pod"] : []), ...(containers.length > 0 ? [named("container", containers)] : [])];
  return setters.length === 0 ? undefined : setters.join(" and ");
}
