/**
 * Static pods: what a node runs because a file of its own says so, and the mirror pods by which the API shows them. Upstream's names,
 * annotations and refusals. Pure.
 */
import { decodeValue, parseYaml, schemaOf } from "@pilothouse/api";
import type { Node, Pod } from "@pilothouse/api/types/core-v1";
import { fieldErrorBody } from "@pilothouse/errors";
import { fnv128Hex } from "@pilothouse/kinds/fnv";
import { validateObjectMeta } from "@pilothouse/kinds/meta";
import type { ApiObject } from "@pilothouse/kinds";
import { pod as podKind } from "@pilothouse/kinds/core/pod";
import { apiReferenceOf } from "@pilothouse/kinds/core/pod-references";
import { qosClassOf } from "@pilothouse/kinds/core/resource-rules";

export const ANNOTATION_SOURCE = "kubernetes.io/config.source";
export const ANNOTATION_CONFIG_HASH = "kubernetes.io/config.hash";
export const ANNOTATION_SEEN = "kubernetes.io/config.seen";
export const ANNOTATION_MIRROR = "kubernetes.io/config.mirror";

/** A file as it was found. */
export interface Manifest {
  readonly path: string;
  readonly content: Uint8Array;
}

/** The file describes no pod that a node may run; the message says why. */
export class ManifestError extends Error {
  override readonly name = "ManifestError";
}

/**
 * The pod that a manifest describes, as this node runs it. Its uid follows from node, path and contents: a kubelet that starts anew
 * knows it again, and a file that changes is another pod. Throws a ManifestError.
 */
export function staticPod({ path, content }: Manifest, nodeName: string, seenAt: string): Pod {
  const pod = decodedPod(content);
  const { metadata } = pod;
  if (!metadata.name) throw new ManifestError("invalid pod: metadata.name is required");
  const uid = metadata.uid || fnv128Hex(JSON.stringify([nodeName, path, pod]));
  const annotations = {
    ...metadata.annotations,
    [ANNOTATION_CONFIG_HASH]: uid,
    [ANNOTATION_SEEN]: seenAt,
    [ANNOTATION_SOURCE]: "file",
  };
  const own: Pod = {
    ...pod,
    metadata: {
      ...metadata,
      name: `${metadata.name}-${nodeName.toLowerCase()}`,
      namespace: metadata.namespace || "default",
      uid,
      annotations,
    },
    spec: {
      ...pod.spec,
      nodeName,
      // The node's own pods are not driven away from it.
      tolerations: [...(pod.spec.tolerations ?? []), { operator: "Exists", effect: "NoExecute" }],
    },
  };
  podKind.defaults?.(own);
  const problems = [...validateObjectMeta(podKind, own as unknown as ApiObject), ...(podKind.validate?.(own) ?? [])];
  if (problems.length > 0)
    throw new ManifestError(`invalid pod: ${problems.map((it) => `${it.field}: ${fieldErrorBody(it)}`).join(", ")}`);
  const reference = apiReferenceOf(own);
  if (reference !== undefined) throw new ManifestError(`static pods may not reference ${reference}`);
  return { ...own, status: { phase: "Pending", qosClass: qosClassOf(own) } };
}

function decodedPod(content: Uint8Array): Pod {
  const schema = schemaOf("v1", "Pod");
  let value: unknown;
  try {
    value = parseYaml(content);
    const { kind, apiVersion } = (value ?? {}) as { kind?: unknown; apiVersion?: unknown };
    if (kind === "Pod" && apiVersion === "v1" && schema) {
      const { metadata = {}, spec = { containers: [] } } = decodeValue(value, schema).object as Partial<Pod>;
      return { kind: "Pod", apiVersion: "v1", metadata, spec };
    }
  } catch (error) {
    throw new ManifestError(error instanceof Error ? error.message : String(error), { cause: error });
  }
  throw new ManifestError("it is no Pod of v1");
}

/** `namespace/name`: by it a static pod and its mirror belong together. */
export function fullNameOf({ metadata }: Pod): string {
  return `${metadata.namespace}/${metadata.name}`;
}

export function isMirror({ metadata }: Pod): boolean {
  return metadata.annotations?.[ANNOTATION_MIRROR] !== undefined;
}

/** Whether this mirror shows this very pod, and not what an older file said. */
export function mirrors(mirror: Pod, pod: Pod): boolean {
  return mirror.metadata.annotations?.[ANNOTATION_MIRROR] === pod.metadata.annotations?.[ANNOTATION_CONFIG_HASH];
}

/** What stands in the API for a static pod. It belongs to the node, and goes with it. */
export function mirrorOf(pod: Pod, { metadata: { name = "", uid = "" } }: Node): Pod {
  const { metadata, spec } = pod;
  const { uid: _own, ...shown } = metadata;
  return {
    kind: "Pod",
    apiVersion: "v1",
    metadata: {
      ...shown,
      annotations: {
        ...metadata.annotations,
        [ANNOTATION_MIRROR]: metadata.annotations?.[ANNOTATION_CONFIG_HASH] ?? "",
      },
      ownerReferences: [{ apiVersion: "v1", kind: "Node", name, uid, controller: true }],
    },
    spec,
  };
}

export type MirrorStep = "none" | "create" | "delete";

/** What to do in the API about one name. A mirror that is being deleted, or that shows another pod, makes room for a new one. */
export function planMirror(pod: Pod | undefined, mirror: Pod | undefined): MirrorStep {
  if (mirror === undefined) return pod === undefined ? "none" : "create";
  if (pod === undefined || mirror.metadata.deletionTimestamp !== undefined) return "delete";
  return mirrors(mirror, pod) ? "none" : "delete";
}
