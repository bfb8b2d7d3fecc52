import type { Pod, PodSpec } from "@pilothouse/api/types/core-v1";
import { expect, test } from "vitest";
import { ManifestError, planMirror, staticPod } from "./static-pods.ts";

const SEEN = "2026-01-01T00:00:00.000Z";
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const manifestOf = (spec: Partial<PodSpec>, metadata: Pod["metadata"] = { name: "web" }): Uint8Array =>
  encode(
    JSON.stringify({
      apiVersion: "v1",
      kind: "Pod",
      metadata,
      spec: { containers: [{ name: "c", image: "i" }], ...spec },
    }),
  );
const read = (content: Uint8Array, path = "/m/a.yaml", node = "node-1"): Pod =>
  staticPod({ path, content }, node, SEEN);

test("the same file on the same node is the same pod; another path, node or text is another", () => {
  const uid = (pod: Pod): string | undefined => pod.metadata.uid;
  const first = read(manifestOf({}));
  expect(uid(first)).toMatch(/^[0-9a-f]{32}$/);
  expect(uid(read(manifestOf({})))).toBe(uid(first));
  const others = [read(manifestOf({}), "/m/b.yaml"), read(manifestOf({}), "/m/a.yaml", "node-2")];
  others.push(read(manifestOf({ hostNetwork: true })));
  expect(new Set([first, ...others].map(uid)).size).toBe(4);
});

test("the node's name is part of the pod's; the namespace is default unless it is said", () => {
  expect(read(manifestOf({})).metadata).toMatchObject({ name: "web-node-1", namespace: "default" });
  expect(read(manifestOf({}, { name: "web", namespace: "kube-system" })).metadata.namespace).toBe("kube-system");
});

test("defaults are filled in, and the class of service is known", () => {
  const { spec, status } = read(manifestOf({}));
  expect(spec).toMatchObject({ restartPolicy: "Always", dnsPolicy: "ClusterFirst", terminationGracePeriodSeconds: 30 });
  expect(status).toEqual({ phase: "Pending", qosClass: "BestEffort" });
});

test.each<[string, Partial<PodSpec>]>([
  ["serviceaccounts", { serviceAccountName: "a" }],
  ["secrets", { imagePullSecrets: [{ name: "a" }] }],
  ["secrets", { containers: [{ name: "c", image: "i", envFrom: [{ secretRef: { name: "a" } }] }] }],
  ["secrets", { volumes: [{ name: "v", secret: { secretName: "a" } }] }],
  ["configmaps", { volumes: [{ name: "v", configMap: { name: "a" } }] }],
  ["persistentvolumeclaims", { volumes: [{ name: "v", persistentVolumeClaim: { claimName: "a" } }] }],
])("a static pod may not reference %s", (what, spec) => {
  expect(() => read(manifestOf(spec))).toThrow(new ManifestError(`static pods may not reference ${what}`));
});

test("a token is refused before, since there is no account", () => {
  const spec = { volumes: [{ name: "v", projected: { sources: [{ serviceAccountToken: { path: "t" } }] } }] };
  expect(() => read(manifestOf(spec))).toThrow(
    "invalid pod: spec.volumes[0].projected.sources[0].serviceAccountToken: Forbidden: must not be specified when serviceAccountName is not set",
  );
});

test("a mirror of another pod, or one that is being deleted, makes room", () => {
  const pod = read(manifestOf({}));
  const hash = pod.metadata.uid ?? "";
  const mirror = (value: string, deletionTimestamp?: string): Pod => ({
    ...pod,
    metadata: {
      ...pod.metadata,
      annotations: { "kubernetes.io/config.mirror": value },
      ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    },
  });
  expect(planMirror(pod, undefined)).toBe("create");
  expect(planMirror(pod, mirror(hash))).toBe("none");
  expect(planMirror(pod, mirror("older"))).toBe("delete");
  expect(planMirror(pod, mirror(hash, SEEN))).toBe("delete");
  expect(planMirror(undefined, mirror(hash))).toBe("delete");
  expect(planMirror(undefined, undefined)).toBe("none");
});
