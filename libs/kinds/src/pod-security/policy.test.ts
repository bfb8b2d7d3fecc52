import type { PodSpec } from "@pilothouse/api/types/core-v1";
import { describe, expect, test } from "vitest";
import { detailsOf, findingsOf, labelProblems, nameOf, policyOf, type Level } from "./policy.ts";

const HARDENED: PodSpec = {
  securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
  containers: [
    {
      name: "c",
      securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"], add: ["NET_BIND_SERVICE"] } },
    },
  ],
};

const container = (fields: object) => ({ containers: [{ name: "c", ...fields }] });
const secured = (securityContext: object) => container({ securityContext });

function told(spec: object, level: Level, minor?: number, annotations: Record<string, string> = {}): string {
  return detailsOf(findingsOf({ annotations, spec: spec as PodSpec }, { level, minor }));
}

describe("the baseline", () => {
  const rows: readonly (readonly [string, object, string])[] = [
    ["a plain pod", container({}), ""],
    [
      "the node's namespaces",
      { ...container({}), hostNetwork: true, hostIPC: true },
      "host namespaces (hostNetwork=true, hostIPC=true)",
    ],
    [
      "the node's files",
      { ...container({}), volumes: [{ name: "v", hostPath: { path: "/" } }] },
      'hostPath volumes (volume "v")',
    ],
    [
      "the node's ports",
      container({
        ports: [
          { containerPort: 1, hostPort: 80 },
          { containerPort: 2, hostPort: 81 },
        ],
      }),
      'hostPorts (container "c" uses hostPorts 80, 81)',
    ],
    [
      "all rights",
      secured({ privileged: true }),
      'privileged (container "c" must not set securityContext.privileged=true)',
    ],
    [
      "more rights",
      secured({ capabilities: { add: ["SYS_ADMIN", "CHOWN"] } }),
      'non-default capabilities (container "c" must not include "SYS_ADMIN" in securityContext.capabilities.add)',
    ],
    [
      "all of /proc",
      secured({ procMount: "Unmasked" }),
      'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
    ],
    [
      "no seccomp",
      secured({ seccompProfile: { type: "Unconfined" } }),
      'seccompProfile (container "c" must not set securityContext.seccompProfile.type to "Unconfined")',
    ],
    [
      "no AppArmor",
      secured({ appArmorProfile: { type: "Unconfined" } }),
      'forbidden AppArmor profile (container "c" must not set AppArmor profile type to "Unconfined")',
    ],
    [
      "another SELinux type",
      secured({ seLinuxOptions: { type: "spc_t", user: "u" } }),
      'seLinuxOptions (container "c" set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set)',
    ],
    [
      "the node's kernel settings",
      { ...container({}), securityContext: { sysctls: [{ name: "kernel.msgmax", value: "1" }] } },
      "forbidden sysctls (kernel.msgmax)",
    ],
    [
      "a probe of another host",
      container({ livenessProbe: { tcpSocket: { port: 1, host: "h" } } }),
      'probe or lifecycle host (container "c" uses probe or lifecycle host "h")',
    ],
    [
      "the host of Windows",
      { ...container({}), securityContext: { windowsOptions: { hostProcess: true } } },
      "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
    ],
  ];
  test.each(rows)("%s", (_what, spec, wanted) => {
    expect(told(spec, "baseline")).toBe(wanted);
    expect(told(spec, "privileged")).toBe("");
  });

  test("init containers come first", () => {
    const privileged = { securityContext: { privileged: true } };
    const spec = { containers: [{ name: "b", ...privileged }], initContainers: [{ name: "a", ...privileged }] };
    expect(told(spec, "baseline")).toBe(
      'privileged (containers "a", "b" must not set securityContext.privileged=true)',
    );
  });

  test("is what it was in the version asked for", () => {
    const probing = container({ readinessProbe: { httpGet: { port: 1, host: "h" } } });
    expect(told(probing, "baseline", 33)).toBe("");
    const keepAlive = {
      ...container({}),
      securityContext: { sysctls: [{ name: "net.ipv4.tcp_keepalive_time", value: "1" }] },
    };
    expect([told(keepAlive, "baseline", 28), told(keepAlive, "baseline", 29)]).toEqual([
      "forbidden sysctls (net.ipv4.tcp_keepalive_time)",
      "",
    ]);
    const annotation = { "seccomp.security.alpha.kubernetes.io/pod": "unconfined" };
    expect(told(container({}), "baseline", 18, annotation)).toContain(
      'forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined"',
    );
    expect(told(container({}), "baseline", 19, annotation)).toBe("");
  });
});

describe("the restricted level", () => {
  test("takes a hardened pod, and tells a plain one all that it lacks, as upstream's documents show it", () => {
    expect(told(HARDENED, "restricted")).toBe("");
    expect(told(container({}), "restricted")).toBe(
      'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), ' +
        'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), ' +
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), ' +
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
    );
  });

  test("root, host paths and what a container takes back", () => {
    const spec = {
      ...HARDENED,
      securityContext: { ...HARDENED.securityContext, runAsUser: 0 },
      volumes: [{ name: "v", hostPath: { path: "/" } }],
      containers: [
        {
          ...HARDENED.containers[0],
          securityContext: { ...HARDENED.containers[0]?.securityContext, runAsNonRoot: false },
        },
      ],
    };
    expect(told(spec, "restricted")).toBe(
      'restricted volume types (volume "v" uses restricted volume type "hostPath"), ' +
        'runAsNonRoot != true (container "c" must not set securityContext.runAsNonRoot=false), runAsUser=0 (pod must not set runAsUser=0)',
    );
  });

  test("asks pods of Windows for nothing that Windows has not", () => {
    const windows = { ...container({}), os: { name: "windows" }, securityContext: { runAsNonRoot: true } };
    expect(told(windows, "restricted")).toBe("");
    expect(told(windows, "restricted", 24)).toContain("allowPrivilegeEscalation != false");
  });
});

describe("a namespace's labels", () => {
  const PREFIX = "pod-security.kubernetes.io/";

  test("say the level and its version; who says nothing of warnings is warned of what is enforced", () => {
    const { enforce, warn } = policyOf({ [`${PREFIX}enforce`]: "baseline", [`${PREFIX}enforce-version`]: "v1.25" });
    expect([nameOf(enforce), nameOf(warn)]).toEqual(["baseline:v1.25", "baseline:v1.25"]);
    expect(nameOf(policyOf(undefined).enforce)).toBe("privileged:latest");
    expect(nameOf(policyOf({ [`${PREFIX}warn`]: "restricted" }).warn)).toBe("restricted:latest");
  });

  test("that say nothing are told, and enforce the most", () => {
    const labels = { [`${PREFIX}enforce`]: "safe", [`${PREFIX}warn-version`]: "1.25" };
    expect(labelProblems(labels).map(({ field, detail }) => [field, detail])).toEqual([
      [`metadata.labels[${PREFIX}enforce]`, "must be one of privileged, baseline, restricted"],
      [`metadata.labels[${PREFIX}warn-version]`, 'must be "latest" or "v1.x"'],
    ]);
    expect(policyOf(labels).enforce.level).toBe("restricted");
  });
});
