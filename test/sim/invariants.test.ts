/** The judge of deletes (I5), on planted commits: what it must notice, and what only looks like it. */
import type { KubernetesObject } from "@pilothouse/client";
import type { StoreChange } from "@pilothouse/store";
import { expect, test } from "vitest";
import { Invariants } from "./invariants.ts";
import { World } from "./world.ts";

const CONTROLLERS = "system:kube-controller-manager";
const DEPLOYMENT = "/registry/apps/deployments/default/web";
const REPLICA_SET = "/registry/apps/replicasets/default/web-1";
const pod = (name: string): string => `/registry/core/pods/default/${name}`;

const deployment = (uid: string) => ({ metadata: { name: "web", uid }, spec: { replicas: 2 } });
const replicaSet = {
  metadata: {
    namespace: "default",
    name: "web-1",
    uid: "rs",
    ownerReferences: [{ kind: "Deployment", name: "web", uid: "one", controller: true }],
  },
  spec: { replicas: 2 },
};

function podOn(nodeName: string, phase: string, marked = false) {
  const deletionTimestamp = marked ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {};
  const ownerReferences = [{ kind: "ReplicaSet", name: "web-1", uid: "rs", controller: true }];
  return {
    metadata: { namespace: "default", ownerReferences, ...deletionTimestamp },
    spec: { nodeName },
    status: { phase },
  };
}

/** A Deployment of two pods on one node, and all that is complained of after that. */
function planted() {
  const complaints: string[] = [];
  const world = new World("planted");
  world.fail = (error) => void complaints.push((error as Error).message);
  const invariants = new Invariants(world);
  let revision = 0;
  const commit = (user: string, key: string, object?: object): void => {
    revision++;
    const entry = { key, value: new Uint8Array(), createRevision: revision, modRevision: revision, version: 1 };
    const change = (object ? { type: "put", entry } : { type: "delete", key, modRevision: revision }) as StoreChange;
    const objects = new Map(object ? [[key, withNames(key, object)]] : []);
    const cause = { client: "planted", user, method: "", path: "", fence: "kube-controller-manager/1" };
    invariants.judge({ revision, changes: [change], objects, life: "planted", cause });
  };
  commit("planted", "/pilothouse/elections/kube-controller-manager", {});
  commit("admin", "/registry/core/namespaces/default", {});
  commit("admin", DEPLOYMENT, deployment("one"));
  commit(CONTROLLERS, REPLICA_SET, replicaSet);
  for (const name of ["a", "b"]) commit(CONTROLLERS, pod(name), podOn("n1", "Running"));
  expect(complaints).toEqual([]);
  return { commit, complaints };
}

function withNames(key: string, object: object): KubernetesObject {
  const { metadata = {} } = object as { metadata?: object };
  return { ...object, metadata: { uid: key, name: key.split("/").at(-1), ...metadata } } as KubernetesObject;
}

test("a ReplicaSet that asks for pods is deleted while its Deployment lives", () => {
  const { commit, complaints } = planted();
  commit(CONTROLLERS, REPLICA_SET);
  expect(complaints).toEqual([`I5: ${REPLICA_SET}, which asks for 2 pods, was deleted by ${CONTROLLERS}`]);
});

test("a Deployment that was made again owns nothing of the first one: its ReplicaSet may go", () => {
  const { commit, complaints } = planted();
  commit("admin", DEPLOYMENT);
  commit("admin", DEPLOYMENT, deployment("two"));
  commit(CONTROLLERS, REPLICA_SET);
  expect(complaints).toEqual([]);
});

test("a pod too many is marked; a user's wish is none too many", () => {
  const { commit, complaints } = planted();
  commit("admin", pod("a"), podOn("n1", "Running", true));
  expect(complaints).toEqual([]);
  const other = planted();
  other.commit(CONTROLLERS, pod("a"), podOn("n1", "Running", true));
  expect(other.complaints).toEqual([
    `I5: ${CONTROLLERS} deletes ${pod("a")}, one of 2 active pods of web-1, which asked for 2`,
  ]);
});

test.each([true, false])("a running pod is removed by another than its kubelet (marked before: %s)", (isMarked) => {
  const { commit, complaints } = planted();
  if (isMarked) commit("admin", pod("a"), podOn("n1", "Running", true));
  commit("admin", pod("a"));
  expect(complaints).toEqual([`I5: ${pod("a")} runs on n1 and was removed by admin`]);
});

test("its own kubelet removes a marked pod, anybody an ended one", () => {
  const { commit, complaints } = planted();
  commit("admin", pod("a"), podOn("n1", "Running", true));
  commit("system:node:n1", pod("a"));
  commit("system:node:n1", pod("b"), podOn("n1", "Succeeded"));
  commit(CONTROLLERS, pod("b"));
  expect(complaints).toEqual([]);
});
