/** The part of a path that a proxied request keeps, percent-encoded as it came. Pure. */

export interface ProxiedPath {
  /** What stands before: links of the backend's own get it put in front. */
  readonly prefix: string;
  /** What the backend is asked for: "" or from a slash on. */
  readonly path: string;
}

const PREFIX = /^\/api\/v1\/(?:namespaces\/[^/]+\/(?:pods|services)|nodes)\/[^/]+\/proxy(?=\/|$)/;

/** Undefined for a path that is no proxy's. */
export function proxiedPath(path: string): ProxiedPath | undefined {
  const prefix = PREFIX.exec(path)?.[0];
  return prefix === undefined ? undefined : { prefix, path: path.slice(prefix.length) };
}
