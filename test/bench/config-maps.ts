/** ConfigMaps of 10 kB, the objects of all figures about the API. */
import type { Request } from "./client.ts";

/** As they are served: about 10,000 bytes of JSON. */
export const OBJECT_BYTES = 10_000;
const OWN_BYTES = 380;

/** Requests about the ConfigMaps of one namespace. */
export class ConfigMaps {
  readonly path: string;
  readonly #namespace: string;

  constructor(namespace: string) {
    this.#namespace = namespace;
    this.path = `/api/v1/namespaces/${namespace}/configmaps`;
  }

  namespace(): Request {
    const body = JSON.stringify({ apiVersion: "v1", kind: "Namespace", metadata: { name: this.#namespace } });
    return { method: "POST", path: "/api/v1/namespaces", body };
  }

  create(index: number): Request {
    return { method: "POST", path: this.path, body: this.#body(index, "created") };
  }

  /** Without a resourceVersion: replaces whatever is there. */
  replace(index: number, content: string): Request {
    return { method: "PUT", path: this.#one(index), body: this.#body(index, content) };
  }

  mergePatch(index: number, content: string): Request {
    const body = JSON.stringify({ data: { changed: content } });
    return { method: "PATCH", path: this.#one(index), type: "application/merge-patch+json", body };
  }

  apply(index: number, content: string): Request {
    const path = `${this.#one(index)}?fieldManager=bench&force=true`;
    return { method: "PATCH", path, type: "application/apply-patch+yaml", body: this.#body(index, content) };
  }

  delete(index: number): Request {
    return { method: "DELETE", path: this.#one(index) };
  }

  /** "at hand": a revision so old that nobody has to be asked for a newer one. */
  get(index: number, from: "cache" | "consistent" | "at hand"): Request {
    const query = { cache: "?resourceVersion=0", consistent: "", "at hand": "?resourceVersion=1" }[from];
    return { method: "GET", path: `${this.#one(index)}${query}` };
  }

  /** Where etcd has it. */
  storeKey(index: number): string {
    return `/registry/core/configmaps/${this.#namespace}/c-${index}`;
  }

  #one(index: number): string {
    return `${this.path}/c-${index}`;
  }

  #body(index: number, content: string): string {
    const data = { changed: content, filler: "f".repeat(OBJECT_BYTES - OWN_BYTES) };
    const metadata = { name: `c-${index}`, namespace: this.#namespace, labels: { app: `app-${index % 10}` } };
    return JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata, data });
  }
}
