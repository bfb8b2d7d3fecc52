/** What pods may wish, and nodes refuse, for tests of refusals. */
import type { Pod, PodSpec } from "@pilothouse/api/types/core-v1";

export const ZONE = "topology.kubernetes.io/zone";
export const HOST = "kubernetes.io/hostname";
export const web = { matchLabels: { app: "web" } };
export const db = { matchLabels: { app: "db" } };

export const labelled = (one: Pod, labels: Record<string, string>): Pod => ({
  ...one,
  metadata: { ...one.metadata, labels },
});
export const placed = (one: Pod, nodeName: string): Pod => ({ ...one, spec: { ...one.spec, nodeName } });
export const told = (one: Pod): Pod => ({
  ...one,
  metadata: { ...one.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" },
});
export const port = (hostPort: number): Partial<PodSpec> => ({
  containers: [{ name: "c", image: "web", ports: [{ containerPort: 80, hostPort }] }],
});
export const dedicated = { key: "dedicated", value: "db", effect: "NoSchedule" };
export const spread = (topologyKey: string): Partial<PodSpec> => ({
  topologySpreadConstraints: [{ maxSkew: 1, topologyKey, whenUnsatisfiable: "DoNotSchedule", labelSelector: web }],
});
export const near = (topologyKey: string): Partial<PodSpec> => ({
  affinity: {
    podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey, labelSelector: db }] },
  },
});
export const apart = (topologyKey: string): Partial<PodSpec> => ({
  affinity: {
    podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey, labelSelector: web }] },
  },
});
/** Near its own like: the first of them may go anywhere. */
export const together: Partial<PodSpec> = {
  affinity: {
    podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: ZONE, labelSelector: web }] },
  },
};
export const claiming: Partial<PodSpec> = {
  volumes: [{ name: "data", persistentVolumeClaim: { claimName: "data" } }],
};
