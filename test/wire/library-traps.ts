/** Wire traps as @kubernetes/client-node meets them: an informer, leases, and objects of any kind by discovery. */
import {
  CoordinationV1Api,
  CoreV1Api,
  KubeConfig,
  KubernetesObjectApi,
  makeInformer,
  PatchStrategy,
  V1MicroTime,
  type KubernetesObject,
  type V1ConfigMap,
} from "@kubernetes/client-node";
import { beforeAll, expect, test } from "vitest";
import { until } from "../harness/index.ts";
import type { WireRig } from "./rig.ts";

const NAMESPACE = "libraries";

export function libraryTraps(rig: () => WireRig): void {
  const config = new KubeConfig();

  beforeAll(async () => {
    config.loadFromFile(rig().kubeconfig);
    await config.makeApiClient(CoreV1Api).createNamespace({ body: { metadata: { name: NAMESPACE } } });
  });

  test("wire trap 15: client-node's informer lists, watches from there, and tells each change once", async () => {
    const core = config.makeApiClient(CoreV1Api);
    const create = (name: string): Promise<V1ConfigMap> =>
      core.createNamespacedConfigMap({ namespace: NAMESPACE, body: { metadata: { name }, data: { k: "v" } } });
    await create("before");
    const heard: string[] = [];
    const informer = makeInformer<V1ConfigMap>(config, `/api/v1/namespaces/${NAMESPACE}/configmaps`, () =>
      core.listNamespacedConfigMap({ namespace: NAMESPACE }),
    );
    for (const verb of ["add", "update", "delete"] as const) {
      informer.on(verb, ({ metadata }) => void heard.push(`${verb} ${metadata?.name ?? ""}`));
    }
    const connected = new Promise<void>((resolve) => informer.on("connect", () => resolve()));
    await informer.start();
    await connected;
    await create("after");
    const target = { name: "after", namespace: NAMESPACE };
    await core.replaceNamespacedConfigMap({ ...target, body: { metadata: { name: "after" }, data: { k: "w" } } });
    await core.deleteNamespacedConfigMap(target);
    await until("the end is told", () => heard.includes("delete after"));
    expect(heard).toEqual(["add before", "add after", "update after", "delete after"]);
    expect(informer.list(NAMESPACE).map(({ metadata }) => metadata?.name)).toEqual(["before"]);
    await informer.stop();
  });

  test("wire trap 49: client-node holds a lease, and loses it to whoever was faster", async () => {
    const leases = config.makeApiClient(CoordinationV1Api);
    const renewTime = new V1MicroTime("2026-01-02T03:04:05.678Z");
    const body = {
      metadata: { name: "library" },
      spec: { holderIdentity: "one", leaseDurationSeconds: 15, renewTime },
    };
    const made = await leases.createNamespacedLease({ namespace: NAMESPACE, body });
    expect(JSON.stringify(made.spec)).toContain('"2026-01-02T03:04:05.678000Z"');
    const target = { name: "library", namespace: NAMESPACE };
    const taken = {
      metadata: made.metadata ?? {},
      spec: { holderIdentity: "two", leaseDurationSeconds: 15, renewTime },
    };
    await leases.replaceNamespacedLease({ ...target, body: taken });
    await expect(leases.replaceNamespacedLease({ ...target, body: taken })).rejects.toMatchObject({ code: 409 });
  });

  test("wire trap 9: client-node finds kinds by discovery: create, apply, read, delete", async () => {
    const objects = KubernetesObjectApi.makeApiClient(config);
    const role: KubernetesObject & { rules: object[] } = {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "Role",
      metadata: { name: "found", namespace: NAMESPACE },
      rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["get"] }],
    };
    await objects.create(role);
    const applied = { ...role, rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["list"] }] };
    await objects.patch(applied, undefined, undefined, "library", true, PatchStrategy.ServerSideApply);
    const header = {
      apiVersion: role.apiVersion ?? "",
      kind: "Role",
      metadata: { name: "found", namespace: NAMESPACE },
    };
    expect(await objects.read(header)).toMatchObject({ rules: applied.rules });
    expect(await objects.delete(role)).toMatchObject({ status: "Success" });
  });
}
