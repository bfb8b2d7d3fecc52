import type { PersistentVolume, PersistentVolumeClaim } from "@pilothouse/api/types/core-v1";
import { expect, test } from "vitest";
import { node, pod } from "../../core/cluster.fixture.ts";
import { ClusterState } from "../../core/snapshot.ts";
import { volumeZone, ZONE_REASON } from "./volume-zone.ts";

const ZONE = "topology.kubernetes.io/zone";
const OLD_ZONE = "failure-domain.beta.kubernetes.io/zone";
const REGION = "topology.kubernetes.io/region";
const user = pod("db", { volumes: [{ name: "data", persistentVolumeClaim: { claimName: "data" } }] });
const claim: PersistentVolumeClaim = { metadata: { name: "data", namespace: "default" }, spec: { volumeName: "disk" } };

/** Of a node with these labels, for a volume with those: why not, or "fits". */
function verdict(ofNode: Record<string, string>, ofVolume: Record<string, string>): string {
  const volume: PersistentVolume = { metadata: { name: "disk", labels: ofVolume }, spec: {} };
  const state = new ClusterState({
    storage: { claim: () => claim, volumes: () => [volume], storageClass: () => undefined },
  });
  state.setNode(node("a", { labels: ofNode }));
  const snapshot = state.snapshot();
  const [only] = snapshot.nodes;
  if (!only) throw new Error("there is no node");
  const found = volumeZone.filter?.(user, only, volumeZone.prepare(user, snapshot));
  return !found || found.verdict === "fits" ? "fits" : `${found.verdict}: ${found.reasons.join()}`;
}

test.each([
  [{ [ZONE]: "east" }, { [ZONE]: "east" }, true],
  [{ [ZONE]: "west" }, { [ZONE]: "east" }, false],
  [{ [ZONE]: "west" }, { [ZONE]: "east__west" }, true],
  [{ [ZONE]: "west" }, { [OLD_ZONE]: "west" }, true],
  [{ [ZONE]: "east" }, { [OLD_ZONE]: "west" }, false],
  [{ [ZONE]: "east", [REGION]: "eu" }, { [REGION]: "us" }, false],
  // It says where it is, but not in which region.
  [{ [ZONE]: "east" }, { [REGION]: "eu" }, false],
  // A cluster without zones.
  [{}, { [ZONE]: "east" }, true],
  [{ [ZONE]: "east" }, {}, true],
  [{ [ZONE]: "east" }, { [ZONE]: "west__" }, true],
])("a node with %j takes a volume with %j: %s", (ofNode, ofVolume, fits) => {
  expect(verdict(ofNode, ofVolume)).toBe(fits ? "fits" : `unresolvable: ${ZONE_REASON}`);
});
