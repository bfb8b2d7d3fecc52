import type { Pod, PodSpec, ServiceAccount, Volume } from "@pilothouse/api/types/core-v1";
import { describe, expect, test } from "vitest";
import { admitPriority, admitServiceAccount, admitTolerations, serviceAccountNameOf } from "./pod-admission.ts";

const ACCOUNT: ServiceAccount = { metadata: { name: "default" } };
const DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount";

function given(spec: Partial<PodSpec> = {}): Pod {
  return { metadata: { name: "web" }, spec: { containers: [{ name: "web" }], ...spec } };
}

describe("service account", () => {
  test("its token is mounted where clients look for it", () => {
    const pod = given({ initContainers: [{ name: "init" }] });
    admitServiceAccount(pod, ACCOUNT, "abcde");
    expect(pod.spec).toEqual({
      serviceAccountName: "default",
      serviceAccount: "default",
      initContainers: [
        { name: "init", volumeMounts: [{ name: "kube-api-access-abcde", readOnly: true, mountPath: DIRECTORY }] },
      ],
      containers: [
        { name: "web", volumeMounts: [{ name: "kube-api-access-abcde", readOnly: true, mountPath: DIRECTORY }] },
      ],
      volumes: [
        {
          name: "kube-api-access-abcde",
          projected: {
            defaultMode: 420,
            sources: [
              { serviceAccountToken: { path: "token", expirationSeconds: 3607 } },
              { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
              {
                downwardAPI: {
                  items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }],
                },
              },
            ],
          },
        },
      ],
    });
  });

  test.each<[string, Partial<PodSpec>, Partial<ServiceAccount>]>([
    ["the pod does not want it", { automountServiceAccountToken: false }, {}],
    ["the account does not give it", {}, { automountServiceAccountToken: false }],
    [
      "something else is mounted there",
      { containers: [{ name: "web", volumeMounts: [{ name: "own", mountPath: DIRECTORY }] }] },
      {},
    ],
  ])("no token when %s", (_name, spec, account) => {
    const pod = given(spec);
    admitServiceAccount(pod, { ...ACCOUNT, ...account }, "abcde");
    expect(pod.spec.volumes).toBeUndefined();
  });

  test("a volume without a name, which validation will refuse, is no obstacle", () => {
    const pod = given({ volumes: [{} as Volume] });
    admitServiceAccount(pod, ACCOUNT, "abcde");
    expect(pod.spec.volumes?.map(({ name }) => name)).toEqual([undefined, "kube-api-access-abcde"]);
  });

  test("the pod's word counts more than the account's", () => {
    const pod = given({ automountServiceAccountToken: true });
    admitServiceAccount(pod, { ...ACCOUNT, automountServiceAccountToken: false }, "abcde");
    expect(pod.spec.volumes).toHaveLength(1);
  });

  test("its pull secrets are lent, unless the pod has its own", () => {
    const account = { ...ACCOUNT, imagePullSecrets: [{ name: "robot" }] };
    const [without, withOwn] = [given(), given({ imagePullSecrets: [{ name: "own" }] })];
    admitServiceAccount(without, account, "abcde");
    admitServiceAccount(withOwn, account, "abcde");
    expect(without.spec.imagePullSecrets).toEqual([{ name: "robot" }]);
    expect(withOwn.spec.imagePullSecrets).toEqual([{ name: "own" }]);
  });

  test("is named by either name of the field", () => {
    expect(serviceAccountNameOf(given({ serviceAccount: "robot" }))).toBe("robot");
    expect(serviceAccountNameOf(given())).toBe("default");
  });
});

describe("tolerations", () => {
  test("five minutes for a node that is not ready or not reachable", () => {
    const pod = given();
    admitTolerations(pod);
    expect(pod.spec.tolerations).toEqual([
      { key: "node.kubernetes.io/not-ready", operator: "Exists", effect: "NoExecute", tolerationSeconds: 300 },
      { key: "node.kubernetes.io/unreachable", operator: "Exists", effect: "NoExecute", tolerationSeconds: 300 },
    ]);
  });

  test("nothing is added to a pod that tolerates everything, or that has its own time", () => {
    const everything = given({ tolerations: [{ operator: "Exists" }] });
    admitTolerations(everything);
    expect(everything.spec.tolerations).toHaveLength(1);
    const own = given({
      tolerations: [
        { key: "node.kubernetes.io/not-ready", operator: "Exists", effect: "NoExecute", tolerationSeconds: 5 },
      ],
    });
    admitTolerations(own);
    expect(own.spec.tolerations?.map(({ tolerationSeconds }) => tolerationSeconds)).toEqual([5, 300]);
  });
});

test("priority is zero, or the class's", () => {
  const [plain, classed] = [given(), given()];
  admitPriority(plain);
  admitPriority(classed, { name: "high", value: 1000, preemptionPolicy: "Never" });
  expect(plain.spec).toMatchObject({ priority: 0, preemptionPolicy: "PreemptLowerPriority" });
  expect(classed.spec).toMatchObject({ priority: 1000, priorityClassName: "high", preemptionPolicy: "Never" });
});
