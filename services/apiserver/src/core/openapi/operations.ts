/** Every operation that a kind's definition makes possible, free of any OpenAPI dialect. */
import { schemaOf } from "@pilothouse/api/schema";
import type { GroupVersionKind, KindDefinition } from "@pilothouse/kinds/kind";

export type Method = "get" | "put" | "post" | "delete" | "patch" | "head" | "options";
export type Action = "get" | "list" | "post" | "put" | "patch" | "delete" | "deletecollection" | "connect";

export interface Operation {
  readonly path: string;
  readonly method: Method;
  readonly action: Action;
  /** `readCoreV1NamespacedPod` */
  readonly id: string;
  /** `core_v1` */
  readonly tag: string;
  readonly description: string;
  /** What is spoken: the resource's kind, or the subresource's own. */
  readonly kind: GroupVersionKind;
  /** In the path: `name`, `namespace`. */
  readonly pathParameters: readonly string[];
  readonly queryParameters: readonly string[];
  /** The subresource, for parameters whose description differs. */
  readonly subresource: string;
  /** The structure's full name, `patch`, or nothing. */
  readonly body: string | undefined;
  /** Of a 2xx answer; undefined: a string. */
  readonly answer: string | undefined;
  readonly codes: readonly number[];
  readonly produces: "object" | "stream" | "text" | "anything";
}

/** All operations of these kinds, in the order of their paths. */
export function operationsOf(kinds: readonly KindDefinition[]): Operation[] {
  return kinds.flatMap(operationsOfKind).sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

/** `/api/v1`, `/apis/apps/v1` */
export function basePath({ group, version }: Pick<GroupVersionKind, "group" | "version">): string {
  return group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
}

const LIST = ["continue", "fieldSelector", "labelSelector", "limit", "resourceVersion", "resourceVersionMatch"];
const LIST_OR_WATCH = ["allowWatchBookmarks", ...LIST, "sendInitialEvents", "timeoutSeconds", "watch"];
const WRITE = ["dryRun", "fieldManager", "fieldValidation"];
const DELETE = ["dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"];
const DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
const STATUS = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";

/** Whose deletion answers with the object instead of a Status, by upstream's documents. */
const ANSWERS_DELETED = new Set([
  "PersistentVolumeClaim",
  "Pod",
  "PodTemplate",
  "ResourceQuota",
  "ServiceAccount",
  "Service",
  "PersistentVolume",
  "DeviceClass",
  "ResourceClaim",
  "ResourceClaimTemplate",
  "ResourceSlice",
  "CSIDriver",
  "CSINode",
  "StorageClass",
  "VolumeAttachment",
  "VolumeAttributesClass",
]);

/** Query parameters of the subresources that stream. */
const STREAM_PARAMETERS: Readonly<Record<string, readonly string[]>> = {
  log: [
    "container",
    "follow",
    "insecureSkipTLSVerifyBackend",
    "limitBytes",
    "previous",
    "sinceSeconds",
    "stream",
    "tailLines",
    "timestamps",
  ],
  exec: ["command", "container", "stderr", "stdin", "stdout", "tty"],
  attach: ["container", "stderr", "stdin", "stdout", "tty"],
  portforward: ["ports"],
};

function operationsOfKind(kind: KindDefinition): Operation[] {
  return [...collectionOperations(kind), ...objectOperations(kind), ...subresourceOperations(kind)];
}

function collectionOperations(kind: KindDefinition): Operation[] {
  const make = maker(kind, collectionPath(kind), scopeParameters(kind));
  const own = structureName(kind);
  const noun = kind.kind;
  const operations: Operation[] = [];
  if (kind.verbs.includes("list")) {
    const list = { queryParameters: LIST_OR_WATCH, answer: `${own}List`, produces: "stream" } as const;
    const description = `list or watch objects of kind ${noun}`;
    operations.push(make("get", "list", `list${nameIn(kind)}`, description, list));
    if (kind.namespaced) {
      const id = `list${groupTitle(kind)}${noun}ForAllNamespaces`;
      const anywhere = maker(kind, `${basePath(kind)}/${kind.resource}`, []);
      operations.push(anywhere("get", "list", id, description, list));
    }
  }
  if (kind.verbs.includes("create")) {
    const more = { queryParameters: WRITE, body: own, answer: own, codes: [200, 201, 202] };
    operations.push(make("post", "post", `create${nameIn(kind)}`, `create ${withArticle(noun)}`, more));
  }
  if (kind.verbs.includes("deletecollection")) {
    const queryParameters = [...DELETE, ...LIST, "sendInitialEvents", "timeoutSeconds"];
    const id = `delete${groupTitle(kind)}Collection${scopeTitle(kind)}${noun}`;
    const more = { queryParameters, body: DELETE_OPTIONS, answer: STATUS };
    operations.push(make("delete", "deletecollection", id, `delete collection of ${noun}`, more));
  }
  return operations;
}

function objectOperations(kind: KindDefinition): Operation[] {
  const make = maker(kind, `${collectionPath(kind)}/{name}`, ["name", ...scopeParameters(kind)]);
  const own = structureName(kind);
  const noun = kind.kind;
  const operations: Operation[] = [];
  if (kind.verbs.includes("get")) {
    operations.push(make("get", "get", `read${nameIn(kind)}`, `read the specified ${noun}`, { answer: own }));
  }
  if (kind.verbs.includes("update")) {
    const more = { queryParameters: WRITE, body: own, answer: own, codes: [200, 201] };
    operations.push(make("put", "put", `replace${nameIn(kind)}`, `replace the specified ${noun}`, more));
  }
  if (kind.verbs.includes("patch")) {
    const more = { ...PATCH, answer: own };
    operations.push(make("patch", "patch", `patch${nameIn(kind)}`, `partially update the specified ${noun}`, more));
  }
  if (kind.verbs.includes("delete")) {
    const answer = ANSWERS_DELETED.has(noun) ? own : STATUS;
    const more = { queryParameters: DELETE, body: DELETE_OPTIONS, answer, codes: [200, 202] };
    operations.push(make("delete", "delete", `delete${nameIn(kind)}`, `delete ${withArticle(noun)}`, more));
  }
  return operations;
}

const PATCH = { queryParameters: [...WRITE, "force"], body: "patch", codes: [200, 201] } as const;

function subresourceOperations(kind: KindDefinition): Operation[] {
  return kind.subresources.flatMap((subresource) => {
    const spoken: GroupVersionKind = {
      group: subresource.group ?? kind.group,
      version: subresource.version ?? kind.version,
      kind: subresource.kind ?? kind.kind,
    };
    const path = `${collectionPath(kind)}/{name}/${subresource.name}`;
    const make = maker(spoken, path, ["name", ...scopeParameters(kind)], kind, subresource.name);
    const name = `${nameIn(kind)}${upperFirst(subresource.name)}`;
    if (subresource.name === "proxy") return proxyOperations(kind, spoken, path);
    return subresource.verbs.flatMap((verb) => subresourceOperation(verb, make, kind, spoken, subresource.name, name));
  });
}

function subresourceOperation(
  verb: string,
  make: Make,
  kind: KindDefinition,
  spoken: GroupVersionKind,
  subresource: string,
  name: string,
): Operation[] {
  const own = structureName(spoken);
  const noun = kind.kind;
  const queryParameters = STREAM_PARAMETERS[subresource] ?? [];
  if (spoken.kind.endsWith("Options")) {
    const method = CONNECT_METHODS[verb];
    if (!method) return [];
    const id = `connect${groupTitle(kind)}${method === "get" ? "Get" : "Post"}${name.slice(groupTitle(kind).length)}`;
    const description = `connect ${method.toUpperCase()} requests to ${subresource} of ${noun}`;
    return [make(method, "connect", id, description, { queryParameters, produces: "anything" })];
  }
  switch (verb) {
    case "get": {
      const answer = subresource === "log" ? {} : { answer: own };
      const description = `read ${subresource} of the specified ${noun}`;
      const produces = subresource === "log" ? "text" : "object";
      return [make("get", "get", `read${name}`, description, { queryParameters, produces, ...answer })];
    }
    case "create": {
      const more = { queryParameters: WRITE, body: own, answer: own, codes: [200, 201, 202] };
      return [make("post", "post", `create${name}`, `create ${subresource} of ${withArticle(noun)}`, more)];
    }
    case "update": {
      const more = { queryParameters: WRITE, body: own, answer: own, codes: [200, 201] };
      return [make("put", "put", `replace${name}`, `replace ${subresource} of the specified ${noun}`, more)];
    }
    case "patch": {
      const description = `partially update ${subresource} of the specified ${noun}`;
      return [make("patch", "patch", `patch${name}`, description, { ...PATCH, answer: own })];
    }
    default:
      return [];
  }
}

/** Every method, with and without a path below. */
function proxyOperations(kind: KindDefinition, spoken: GroupVersionKind, path: string): Operation[] {
  const names = ["name", ...scopeParameters(kind)];
  const bare = maker(spoken, path, names, kind, "proxy");
  const below = maker(spoken, `${path}/{path}`, [...names, "path"], kind, "proxy");
  return PROXY_METHODS.flatMap((method) => {
    const id = `connect${groupTitle(kind)}${upperFirst(method)}${scopeTitle(kind)}${kind.kind}Proxy`;
    const description = `connect ${method.toUpperCase()} requests to proxy of ${kind.kind}`;
    const more = { queryParameters: ["path"], produces: "anything" } as const;
    return [
      bare(method, "connect", id, description, more),
      below(method, "connect", `${id}WithPath`, description, more),
    ];
  });
}

const PROXY_METHODS: readonly Method[] = ["delete", "get", "head", "options", "patch", "post", "put"];

const CONNECT_METHODS: Readonly<Record<string, Method>> = { get: "get", create: "post" };

type More = Partial<Pick<Operation, "queryParameters" | "body" | "answer" | "codes" | "produces">>;
type Make = (method: Method, action: Action, id: string, description: string, more: More) => Operation;

function maker(
  spoken: GroupVersionKind,
  path: string,
  pathParameters: readonly string[],
  owner: GroupVersionKind = spoken,
  subresource = "",
): Make {
  const kind = { group: spoken.group, version: spoken.version, kind: spoken.kind };
  const tag = `${lowerFirst(groupWord(owner.group))}_${owner.version}`;
  const same = { path, tag, kind, pathParameters, subresource };
  return (method, action, id, description, more) => ({
    ...same,
    method,
    action,
    id,
    description,
    queryParameters: more.queryParameters ?? [],
    body: more.body,
    answer: more.answer,
    codes: more.codes ?? [200],
    produces: more.produces ?? "object",
  });
}

function collectionPath(kind: KindDefinition): string {
  const scope = kind.namespaced ? "/namespaces/{namespace}" : "";
  return `${basePath(kind)}${scope}/${kind.resource}`;
}

function scopeParameters(kind: KindDefinition): readonly string[] {
  return kind.namespaced ? ["namespace"] : [];
}

function structureName({ group, version, kind }: GroupVersionKind): string {
  return schemaOf(group === "" ? version : `${group}/${version}`, kind)?.name ?? "";
}

function nameIn(kind: KindDefinition): string {
  return `${groupTitle(kind)}${scopeTitle(kind)}${kind.kind}`;
}

function scopeTitle(kind: KindDefinition): string {
  return kind.namespaced ? "Namespaced" : "";
}

/** `CoreV1`, `RbacAuthorizationV1` */
function groupTitle({ group, version }: Pick<GroupVersionKind, "group" | "version">): string {
  return `${groupWord(group)}${upperFirst(version)}`;
}

/** `rbac.authorization.k8s.io` → `RbacAuthorization`; "" → `Core`. */
function groupWord(group: string): string {
  if (group === "") return "Core";
  return group
    .replace(/\.k8s\.io$/, "")
    .split(".")
    .map(upperFirst)
    .join("");
}

/** `a Pod`, `an Event`, `Endpoints` */
function withArticle(noun: string): string {
  if (/[^s]s$/.test(noun)) return noun;
  return /^[AEIOU]/.test(noun) ? `an ${noun}` : `a ${noun}`;
}

function upperFirst(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

function lowerFirst(word: string): string {
  return word.charAt(0).toLowerCase() + word.slice(1);
}
