/**
 * What a kind is, beyond its structure: names, defaults, validation, immutability, columns, selectable fields.
 * One file per kind under src/<group>/; the list of all is src/index.ts. Pure: time and ids come in as values.
 */
import type { ObjectMeta } from "@pilothouse/api/types/meta-v1";
import type { FieldError } from "@pilothouse/errors";

export type { ObjectMeta, OwnerReference } from "@pilothouse/api/types/meta-v1";

/** Any API object as plain JSON. */
export interface ApiObject {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
  [field: string]: unknown;
}

/** Group, version and kind; group is "" for core. */
export interface GroupVersionKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

export interface KindDefinition<T = ApiObject> extends GroupVersionKind {
  /** Plural, lower case: the path segment. */
  readonly resource: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  /** `["all"]` for what `kubectl get all` shows. */
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  readonly verbs: readonly Verb[];
  /** Subresources served, e.g. status, scale, binding. `kind` when they speak another kind than the resource's. */
  readonly subresources: readonly SubresourceDefinition[];
  /** How much of this kind is done, for docs/kinds.md: "stored" = structure, CRUD, watch and discovery only. */
  readonly depth: "full" | "stored";

  /** Fills in what the user left out; runs on every decode of input, before validation. Changes the object in place. */
  readonly defaults?: (object: T) => void;
  /** Before validation of a create: drops what a creator may not set (status), sets generation. In place. */
  readonly prepareForCreate?: (object: T) => void;
  /** The name that was generated is taken, and another one drawn: what was derived from `before` follows. In place. */
  readonly renamed?: (object: T, before: string) => void;
  /** Before validation of an update of the main resource: keeps status and what is the server's own from `old`. In place. */
  readonly prepareForUpdate?: (object: T, old: T) => void;
  /** Before validation of an update of the status subresource: everything but status comes from `old`. In place. */
  readonly prepareForStatusUpdate?: (object: T, old: T, now: string) => void;
  /** The same for the approval subresource; `now` is a timestamp as objects hold them. */
  readonly prepareForApprovalUpdate?: (object: T, old: T, now: string) => void;
  /** Updates through further subresources that speak the whole object, by the subresource's name. */
  readonly subresourceUpdates?: Readonly<Record<string, SubresourceUpdate<T>>>;
  /** Beyond metadata, which is validated for all kinds alike. */
  readonly validate?: (object: T) => readonly FieldError[];
  /** What only a creation may not say; `validate` runs as well. */
  readonly validateCreate?: (object: T) => readonly FieldError[];
  /** Immutable fields and allowed transitions; `validate` runs as well. */
  readonly validateUpdate?: (object: T, old: T) => readonly FieldError[];
  readonly validateStatusUpdate?: (object: T, old: T) => readonly FieldError[];
  readonly validateApprovalUpdate?: (object: T, old: T) => readonly FieldError[];
  /** A `Warning:` header that every request for this kind gets, reads too. */
  readonly deprecation?: string;
  /** What `Warning:` headers a write of this object gets. */
  readonly warnings?: (object: T, old: T | undefined) => readonly string[];
  /** How names are judged; the default is a DNS subdomain. Returns upstream's texts. */
  readonly validateName?: (name: string, isGenerateName: boolean) => readonly string[];
  /** Seconds a graceful deletion takes when the client says nothing; undefined: deleted at once. */
  readonly gracePeriodSeconds?: (object: T, asked: number | undefined) => number;
  /** Whether what it controls outlives it where a DELETE says nothing: so with the oldest kinds. */
  readonly orphansByDefault?: true;
  /** Fields that field selectors may name besides metadata.name and metadata.namespace. Same keys for every object. */
  readonly selectableFields?: (object: T) => Readonly<Record<string, string>>;
  /** `kubectl get`'s columns after Name, and before Age (which every kind has unless `ageColumn` is false). */
  readonly columns?: readonly Column<T>[];
  readonly ageColumn?: false;
  /** False where the columns say themselves whether and where the name is (events). */
  readonly nameColumn?: false;
  /** Set for a second version of a kind: its objects are another one's, in another shape. */
  readonly view?: KindView;
}

/** How a second version shows and takes the objects that are stored in the first. The stored kind's rules hold for both. */
export interface KindView {
  readonly of: KindDefinition;
  /** Of a whole object or of a part of one (an applied configuration): what is absent stays absent. Changes neither tree. */
  readonly toStored: (object: ApiObject) => ApiObject;
  readonly fromStored: (object: ApiObject) => ApiObject;
  /** By what field selectors of this version say: the stored kind's selectable field. */
  readonly selectableFields?: Readonly<Record<string, string>>;
  /** What this version asks of the stored shape beside the stored kind's own rules. */
  readonly validate?: (stored: ApiObject) => readonly FieldError[];
  readonly validateUpdate?: (stored: ApiObject, old: ApiObject) => readonly FieldError[];
}

/** The kind whose objects are stored: itself, but for second versions. */
export function storedKindOf(kind: KindDefinition): KindDefinition {
  return kind.view?.of ?? kind;
}

export interface SubresourceUpdate<T> {
  /** Before validation: whatever the subresource is not about comes from `old`. In place. */
  readonly prepare: (object: T, old: T) => void;
  /** Instead of `validateUpdate`; `validate` runs as well. */
  readonly validate: (object: T, old: T) => readonly FieldError[];
}

export type Verb = "get" | "list" | "watch" | "create" | "update" | "patch" | "delete" | "deletecollection";

export const ALL_VERBS: readonly Verb[] = [
  "create",
  "delete",
  "deletecollection",
  "get",
  "list",
  "patch",
  "update",
  "watch",
];

export interface SubresourceDefinition {
  readonly name: string;
  readonly verbs: readonly string[];
  readonly group?: string;
  readonly version?: string;
  readonly kind?: string;
}

export interface Column<T> {
  readonly name: string;
  readonly type: "string" | "integer" | "number" | "boolean" | "date";
  readonly format?: string;
  readonly description: string;
  /** 0 always shown, 1 with `-o wide`. */
  readonly priority: 0 | 1;
  /** `nowMs` for ages. A cell is printed as it is. */
  readonly cell: (object: T, nowMs: number) => string | number | boolean;
}
