/**
 * The history of a template: ControllerRevisions, each a patch that brings a former state back. Pure; upstream's history package.
 * Clients apply that patch to undo a rollout, and compare it byte by byte: its keys are sorted.
 */
import type { ControllerRevision } from "@pilothouse/api/types/apps-v1";
import type { PodTemplateSpec } from "@pilothouse/api/types/core-v1";
import type { Controller } from "./ownership.ts";
import { controllerReference } from "./ownership.ts";
import { hashSuffix } from "./names.ts";
import { canonicalJson } from "./values.ts";

/** On pods: the revision that they were made of. */
export const POD_REVISION_LABEL = "controller-revision-hash";

/** So that the hash, and what is put behind a pod's ordinal, fit into a name. */
const MAX_PREFIX = 223;

export interface RevisionOwner extends Controller {
  readonly spec: { readonly template: PodTemplateSpec };
}

export interface NewRevision {
  readonly owner: RevisionOwner;
  readonly revision: number;
  /** How many names were found taken by other contents. */
  readonly collisionCount: number;
  /** Which label says the hash. */
  readonly hashLabel: string;
}

export function newRevision({ owner, revision, collisionCount, hashLabel }: NewRevision): ControllerRevision {
  const { template } = owner.spec;
  const data = templatePatch(template);
  const hash = hashSuffix(`${canonicalJson(data)}${collisionCount}`);
  const { name = "", namespace = "", annotations } = owner.metadata;
  return {
    metadata: {
      name: `${name.slice(0, MAX_PREFIX)}-${hash}`,
      namespace,
      labels: { ...template.metadata?.labels, [hashLabel]: hash },
      ...(annotations ? { annotations } : {}),
      ownerReferences: [controllerReference(owner)],
    },
    data,
    revision,
  };
}

/** The template that the revision brings back; undefined when somebody else wrote something else into it. */
export function templateOf({ data }: ControllerRevision): PodTemplateSpec | undefined {
  const { template } =
    (data as { spec?: { template?: PodTemplateSpec & { $patch?: string } } } | undefined)?.spec ?? {};
  if (!template) return undefined;
  const { $patch: _how, ...rest } = template;
  return rest;
}

export interface RevisionPlan {
  /** What the template is now: there already and the newest; there, but older than others (a rollback); or not there yet. */
  readonly current:
    | { readonly is: "newest"; readonly revision: ControllerRevision }
    | { readonly is: "rolled back to"; readonly revision: ControllerRevision; readonly number: number }
    | { readonly is: "new"; readonly number: number };
  /** Others with the same contents. */
  readonly duplicates: readonly ControllerRevision[];
  /** What the template was, oldest first. */
  readonly old: readonly ControllerRevision[];
}

export function planRevision(template: PodTemplateSpec, revisions: readonly ControllerRevision[]): RevisionPlan {
  const wanted = canonicalJson(templatePatch(template));
  const sorted = inOrder(revisions);
  const old = sorted.filter(({ data }) => canonicalJson(data) !== wanted);
  const same = sorted.filter(({ data }) => canonicalJson(data) === wanted);
  const next = (old.at(-1)?.revision ?? 0) + 1;
  const revision = same.at(-1);
  if (!revision) return { current: { is: "new", number: next }, duplicates: [], old };
  const duplicates = same.slice(0, -1);
  const isNewest = revision.revision >= next;
  return {
    current: isNewest ? { is: "newest", revision } : { is: "rolled back to", revision, number: next },
    duplicates,
    old,
  };
}

/** By number, then age, then name. */
export function inOrder(revisions: readonly ControllerRevision[]): ControllerRevision[] {
  const key = ({ metadata }: ControllerRevision): string =>
    `${metadata.creationTimestamp ?? ""} ${metadata.name ?? ""}`;
  return revisions.toSorted((a, b) => a.revision - b.revision || (key(a) < key(b) ? -1 : 1));
}

export function sameContents(a: ControllerRevision, b: ControllerRevision): boolean {
  return canonicalJson(a.data) === canonicalJson(b.data);
}

function templatePatch(template: PodTemplateSpec): unknown {
  return JSON.parse(canonicalJson({ spec: { template: { ...template, $patch: "replace" } } }));
}
