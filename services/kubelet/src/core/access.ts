/** What a request to the kubelet's own server is about, as upstream's kubelet asks the API server for leave. Pure. */

export interface Caller {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

const VERBS: Readonly<Record<string, string>> = {
  POST: "create",
  GET: "get",
  HEAD: "get",
  PUT: "update",
  PATCH: "patch",
  DELETE: "delete",
};

/** Of an HTTP method; "" for one that nobody may use. */
export function verbOf(method: string): string {
  return VERBS[method] ?? "";
}

/** The first row that the path begins with decides. Who may use any of the subresources of `nodes` may make the request. */
const SUBRESOURCES: readonly (readonly [path: string, subresources: readonly string[]])[] = [
  ["/stats", ["stats"]],
  ["/metrics", ["metrics"]],
  ["/logs", ["log"]],
  ["/checkpoint", ["checkpoint"]],
  ["/pods", ["pods", "proxy"]],
  ["/runningpods", ["pods", "proxy"]],
  ["/healthz", ["healthz", "proxy"]],
  ["/configz", ["configz", "proxy"]],
];

/** Of a path without its query. What reaches into pods, and all that nobody has named, is `proxy`. */
export function subresourcesOf(path: string): readonly string[] {
  const row = SUBRESOURCES.find(([prefix]) => path === prefix || path.startsWith(`${prefix}/`));
  return row?.[1] ?? ["proxy"];
}

export function forbiddenText({ name }: Caller, verb: string, subresources: readonly string[]): string {
  return `Forbidden (user=${name}, verb=${verb}, resource=nodes, subresource(s)=[${subresources.join(" ")}])\n`;
}
