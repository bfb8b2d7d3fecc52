import { fieldErrorBody, type FieldError } from "@pilothouse/errors";
import type { Container, Pod, PodSpec, Volume } from "@pilothouse/api/types/core-v1";
import { describe, expect, test } from "vitest";
import { deployment } from "../apps/deployment.ts";
import { pod } from "./pod.ts";

const WEB: Container = { name: "web", image: "web:1" };
type Case = readonly [what: string, spec: Partial<PodSpec>, errors: readonly string[]];

/** A pod as it stands in the store after its creation. */
function created(spec: Partial<PodSpec> = {}, metadata: Partial<Pod["metadata"]> = {}): Pod {
  const object: Pod = {
    metadata: { name: "web", namespace: "default", ...metadata },
    spec: { serviceAccountName: "default", containers: [structuredClone(WEB)], ...structuredClone(spec) },
  };
  pod.defaults?.(object);
  pod.prepareForCreate?.(object);
  return object;
}

function errorsOf(object: Pod): string[] {
  return texts([...(pod.validate?.(object) ?? []), ...(pod.validateCreate?.(object) ?? [])]);
}

function texts(errors: readonly FieldError[]): string[] {
  return errors.map((error) => `${error.field}: ${fieldErrorBody(error)}`);
}

const container = (fields: Partial<Container>): Partial<PodSpec> => ({ containers: [{ ...WEB, ...fields }] });
const volume = (source: Omit<Volume, "name">): Partial<PodSpec> => ({ volumes: [{ name: "v", ...source }] });
const mounted = (fields: object, source: Omit<Volume, "name"> = { emptyDir: {} }): Partial<PodSpec> => ({
  ...volume(source),
  ...container({ volumeMounts: [{ name: "v", mountPath: "/v", ...fields }] }),
});

const LEGAL: readonly (readonly [what: string, spec: Partial<PodSpec>])[] = [
  ["a search domain with underscores, as Consul has them", { dnsConfig: { searches: ["_tcp.service.consul.", "."] } }],
  [
    "a key of a ConfigMap that is not judged until it is looked for",
    volume({ configMap: { name: "c", items: [{ key: "a/b", path: "a" }] } }),
  ],
  [
    "sidecars with probes, hooks and a port that another init container has",
    {
      initContainers: [
        {
          ...WEB,
          name: "istio-proxy",
          restartPolicy: "Always",
          startupProbe: { httpGet: { port: 15021 } },
          ports: [{ containerPort: 80, hostPort: 80 }],
        },
        { ...WEB, name: "init", ports: [{ containerPort: 80, hostPort: 80 }] },
      ],
    },
  ],
  ["a hook that sleeps no time at all", container({ lifecycle: { preStop: { sleep: { seconds: 0 } } } })],
  [
    "a preferred node label that no label can be",
    {
      affinity: {
        nodeAffinity: {
          preferredDuringSchedulingIgnoredDuringExecution: [
            { weight: 1, preference: { matchExpressions: [{ key: "a", operator: "In", values: ["not valid"] }] } },
          ],
        },
      },
    },
  ],
  [
    "the name that spec.nodeName once had",
    container({ env: [{ name: "N", valueFrom: { fieldRef: { fieldPath: "spec.host" } } }] }),
  ],
  [
    "a raw device",
    {
      ...volume({ persistentVolumeClaim: { claimName: "c" } }),
      ...container({ volumeDevices: [{ name: "v", devicePath: "/dev/xvda" }] }),
    },
  ],
  ["a part of an image", mounted({ subPath: "etc", readOnly: true }, { image: { reference: "data:1" } })],
  [
    "a projected bundle beside a token",
    volume({
      projected: {
        sources: [
          { serviceAccountToken: { path: "token" } },
          { clusterTrustBundle: { signerName: "a.b/c", path: "ca.crt" } },
        ],
      },
    }),
  ],
  [
    "keys whose values the pod brings itself",
    {
      topologySpreadConstraints: [
        {
          maxSkew: 1,
          topologyKey: "zone",
          whenUnsatisfiable: "ScheduleAnyway",
          labelSelector: { matchLabels: { app: "web" } },
          matchLabelKeys: ["pod-template-hash"],
        },
      ],
    },
  ],
  [
    "a node port's own sysctl without the host's network",
    { securityContext: { sysctls: [{ name: "net.ipv4.ip_unprivileged_port_start", value: "0" }] } },
  ],
  [
    "an unmasked /proc with users of its own",
    { hostUsers: false, ...container({ securityContext: { procMount: "Unmasked" } }) },
  ],
  ["a variable with dots and dashes", container({ env: [{ name: "spring.datasource-url", value: "x" }] })],
];

const WRONG: readonly Case[] = [
  [
    "a restart policy that is none",
    container({ restartPolicy: "Sometimes" }),
    [
      'spec.containers[0].restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure"',
    ],
  ],
  [
    "a resize policy twice, and for a pod that never restarts",
    {
      restartPolicy: "Never",
      ...container({
        resizePolicy: [
          { resourceName: "cpu", restartPolicy: "NotRequired" },
          { resourceName: "cpu", restartPolicy: "RestartContainer" },
        ],
      }),
    },
    [
      'spec.containers[0].resizePolicy[1]: Duplicate value: "cpu"',
      `spec.containers[0].resizePolicy: Invalid value: "RestartContainer": must be 'NotRequired' when \`restartPolicy\` is 'Never'`,
    ],
  ],
  [
    "a hook that outlives its pod",
    { terminationGracePeriodSeconds: 5, ...container({ lifecycle: { preStop: { sleep: { seconds: 10 } } } }) },
    [
      "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 10: must be non-negative and less than terminationGracePeriodSeconds (5)",
    ],
  ],
  [
    "a readiness probe that ends the pod",
    container({ readinessProbe: { tcpSocket: { port: 1 }, terminationGracePeriodSeconds: 0 } }),
    [
      "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0",
      "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 0: must not be set for readinessProbes",
    ],
  ],
  [
    "two handlers, of which the first is judged",
    container({ livenessProbe: { exec: {}, httpGet: { port: 0 } } }),
    [
      "spec.containers[0].livenessProbe.exec.command: Required value",
      "spec.containers[0].livenessProbe.httpGet: Forbidden: may not specify more than 1 handler type",
    ],
  ],
  [
    "a divisor of thirds",
    container({ env: [{ name: "M", valueFrom: { resourceFieldRef: { resource: "limits.cpu", divisor: "3" } } }] }),
    [
      `spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.cpu": only divisor's values 1m and 1 are supported with the cpu resource`,
    ],
  ],
  [
    "a device that is a directory",
    { ...volume({ emptyDir: {} }), ...container({ volumeDevices: [{ name: "v", devicePath: "/dev/../x" }] }) },
    [
      'spec.containers[0].volumeDevices[0].name: Invalid value: "v": can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode',
      `spec.containers[0].volumeDevices[0].devicePath: Invalid value: "/dev/../x": can not contain backsteps ('..')`,
    ],
  ],
  [
    "a mount of what is no volume",
    { ...volume({ secret: {} }), ...container({ volumeMounts: [{ name: "v", mountPath: "/v" }] }) },
    ["spec.volumes[0].secret.secretName: Required value", 'spec.containers[0].volumeMounts[0].name: Not found: "v"'],
  ],
  [
    "a mount that is read-only all the way down, and not so itself",
    mounted({ recursiveReadOnly: "Enabled" }),
    ["spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true"],
  ],
  [
    "a propagation of its own",
    mounted({ mountPropagation: "Bidirectional" }),
    [
      "spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers",
    ],
  ],
  [
    "two sources of one volume",
    volume({ emptyDir: {}, hostPath: { path: "/x" } }),
    ["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
  ],
  [
    "a driver that is no name",
    volume({ csi: { driver: "a_b" } }),
    [
      expect.stringMatching(
        /^spec\.volumes\[0\]\.csi\.driver: Invalid value: "a_b": a lowercase RFC 1123 subdomain/,
      ) as string,
    ],
  ],
  [
    "two files of one name",
    volume({
      projected: {
        sources: [
          { secret: { name: "a", items: [{ key: "k", path: "p" }] } },
          { configMap: { name: "b", items: [{ key: "k", path: "p" }] } },
        ],
      },
    }),
    ['spec.volumes[0].projected: Invalid value: "b": conflicting duplicate paths'],
  ],
  [
    "two sources in one",
    volume({ projected: { sources: [{ secret: { name: "a" }, configMap: { name: "b" } }] } }),
    ["spec.volumes[0].projected.sources[0]: Forbidden: may not specify more than 1 volume type per source"],
  ],
  [
    "a claim of the pod's own that asks for nothing",
    volume({ ephemeral: { volumeClaimTemplate: { spec: { accessModes: ["ReadWriteOnce"] } } } }),
    ["spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value"],
  ],
  [
    "users of its own on the host's network",
    { hostUsers: false, hostNetwork: true },
    ["spec.hostNetwork: Forbidden: when `pod.Spec.HostUsers` is false"],
  ],
  [
    "a sysctl of the host's",
    { hostNetwork: true, securityContext: { sysctls: [{ name: "net.core.somaxconn", value: "1" }] } },
    [
      `spec.securityContext.sysctls[0].name: Invalid value: "net.core.somaxconn": may not be specified when 'hostNetwork' is true`,
    ],
  ],
  [
    "a group policy that is none",
    { securityContext: { fsGroupChangePolicy: "Never", supplementalGroupsPolicy: "Some" } },
    [
      'spec.securityContext.fsGroupChangePolicy: Unsupported value: "Never": supported values: "Always", "OnRootMismatch"',
      'spec.securityContext.supplementalGroupsPolicy: Unsupported value: "Some": supported values: "Merge", "Strict"',
    ],
  ],
  [
    "a profile without a type",
    { securityContext: { seccompProfile: { type: "" } } },
    ["spec.securityContext.seccompProfile.type: Required value: type is required when seccompProfile is set"],
  ],
  [
    "pages that are no whole number",
    container({ resources: { limits: { "hugepages-2Mi": "3Mi" }, requests: {} } }),
    expect.arrayContaining([
      'spec.containers[0].resources.limits[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi',
      "spec.containers[0].resources: Forbidden: HugePages require cpu or memory",
    ]) as string[],
  ],
  [
    "a claim nobody has made",
    container({ resources: { claims: [{ name: "gpu" }] } }),
    [
      'spec.containers[0].resources.claims[0]: Not found: "gpu": must be one of the names in pod.spec.resourceClaims which is empty',
    ],
  ],
  [
    "less for the pod than for its containers",
    { resources: { requests: { cpu: "1" } }, ...container({ resources: { requests: { cpu: "2" } } }) },
    [
      'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests of 2',
    ],
  ],
  [
    "a label that cannot be",
    {
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchExpressions: [{ key: "a", operator: "In", values: ["not valid"] }] }],
          },
        },
      },
    },
    [
      expect.stringContaining(
        'nodeSelectorTerms[0].matchExpressions[0].values[0]: Invalid value: "not valid": a valid label must be',
      ) as string,
    ],
  ],
  [
    "keys of labels without a selector",
    {
      affinity: {
        podAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: "zone", matchLabelKeys: ["a"] }],
        },
      },
    },
    [
      "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set",
    ],
  ],
  [
    "an alias that is no name",
    { hostAliases: [{ ip: "1.2.3.4", hostnames: ["a", "B"] }] },
    [expect.stringContaining('spec.hostAliases[0].hostnames[1]: Invalid value: "B"') as string],
  ],
  [
    "a node, and a gate before it",
    { nodeName: "a", schedulingGates: [{ name: "b" }] },
    ["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
  ],
  [
    "what is another system's",
    { os: { name: "windows" }, hostPID: true, ...container({ securityContext: { runAsUser: 1 } }) },
    [
      "spec.hostPID: Forbidden: cannot be set for a windows pod",
      "spec.containers[0].securityContext.runAsUser: Forbidden: cannot be set for a windows pod",
    ],
  ],
  [
    "a system that is none",
    { os: { name: "plan9" } },
    ['spec.os: Unsupported value: "plan9": supported values: "linux", "windows"'],
  ],
  [
    "a key of a ConfigMap with no name",
    container({ env: [{ name: "A", valueFrom: { configMapKeyRef: { key: "k" } } }] }),
    [
      expect.stringContaining(
        'spec.containers[0].env[0].valueFrom.configMapKeyRef.name: Invalid value: "": a lowercase RFC 1123 subdomain',
      ) as string,
    ],
  ],
  [
    "an annotation's key that is none",
    container({ env: [{ name: "A", valueFrom: { fieldRef: { fieldPath: "metadata.annotations['a/b/c']" } } }] }),
    [expect.stringContaining('spec.containers[0].env[0].valueFrom.fieldRef: Invalid value: "a/b/c"') as string],
  ],
];

describe("a pod", () => {
  test.each(LEGAL)("may have %s", (_what, spec) => {
    expect(errorsOf(created(spec, { labels: { app: "web", "pod-template-hash": "a" } }))).toEqual([]);
  });

  test.each(WRONG)("may not have %s", (_what, spec, errors) => {
    expect(errorsOf(created(spec))).toEqual(errors);
  });

  test.each<[string, Record<string, string>, Partial<PodSpec>, string[]]>([
    [
      "its deletion costs a number",
      { "controller.kubernetes.io/pod-deletion-cost": "+5" },
      {},
      [
        'metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "+5": must be a 32bit integer',
      ],
    ],
    ["it costs less than nothing", { "controller.kubernetes.io/pod-deletion-cost": "-100" }, {}, []],
    [
      "AppArmor knows the container",
      { "container.apparmor.security.beta.kubernetes.io/db": "unconfined" },
      {},
      [
        'metadata.annotations[container.apparmor.security.beta.kubernetes.io/db]: Invalid value: "db": container not found',
      ],
    ],
    [
      "annotation and field are of one mind",
      { "container.apparmor.security.beta.kubernetes.io/web": "unconfined" },
      container({ securityContext: { appArmorProfile: { type: "RuntimeDefault" } } }),
      [
        "spec.containers[0].securityContext.appArmorProfile.type: Forbidden: apparmor type in annotation and field must match",
      ],
    ],
  ])("says in annotations that %s", (_what, annotations, spec, errors) => {
    expect(errorsOf(created(spec, { annotations }))).toEqual(errors);
  });
});

describe("what a pod becomes when it is made", () => {
  test("an AppArmor annotation becomes the field that kubelets read", () => {
    const annotations = { "container.apparmor.security.beta.kubernetes.io/web": "localhost/strict" };
    expect(created({}, { annotations }).spec.containers[0]?.securityContext).toEqual({
      appArmorProfile: { type: "Localhost", localhostProfile: "strict" },
    });
  });

  test("selectors take the values of the pod's own labels", () => {
    const term = {
      topologyKey: "zone",
      labelSelector: {},
      matchLabelKeys: ["hash", "none"],
      mismatchLabelKeys: ["app"],
    };
    const { spec } = created(
      { affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } } },
      { labels: { app: "web", hash: "1" } },
    );
    expect(spec.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.[0]?.labelSelector).toEqual({
      matchExpressions: [
        { key: "hash", operator: "In", values: ["1"] },
        { key: "app", operator: "NotIn", values: ["web"] },
      ],
    });
  });

  test("what asks for resources as a whole is classed as a whole", () => {
    const whole = { cpu: "1", memory: "1Gi" };
    expect(created({ resources: { requests: whole, limits: whole } }).status?.qosClass).toBe("Guaranteed");
  });
});

describe("a gated pod is narrowed down", () => {
  const gated = { schedulingGates: [{ name: "a" }] };
  const nodes = (...terms: object[]): Partial<PodSpec> => ({
    affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } } },
  });
  const inZone = { matchExpressions: [{ key: "zone", operator: "In", values: ["a"] }] };
  const onSsd = { matchExpressions: [...inZone.matchExpressions, { key: "disk", operator: "Exists" }] };
  const PATH = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";

  test.each<[string, Partial<PodSpec>, Partial<PodSpec>, string[]]>([
    ["by a first node affinity", {}, nodes(inZone), []],
    ["by one more requirement", nodes(inZone), nodes(onSsd), []],
    [
      "not by one less",
      nodes(onSsd),
      nodes(inZone),
      [
        expect.stringMatching(
          /nodeSelectorTerms\[0\]: Invalid value: .*: only additions are allowed \(no mutations or deletions\)$/,
        ) as string,
      ],
    ],
    [
      "not by a choice more",
      nodes(inZone),
      nodes(inZone, onSsd),
      [expect.stringContaining(`${PATH}: Invalid value: `) as string],
    ],
    ["by a label more", { nodeSelector: { a: "1" } }, { nodeSelector: { a: "1", b: "2" } }, []],
    [
      "not by another label",
      { nodeSelector: { a: "1" } },
      { nodeSelector: { a: "2" } },
      [
        'spec.nodeSelector: Invalid value: {"a":"2"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)',
      ],
    ],
    [
      "not by other pods",
      {},
      { affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: "zone" }] } } },
      [expect.stringMatching(/^spec: Forbidden: pod updates may not change fields/) as string],
    ],
  ])("%s", (_what, before, after, errors) => {
    const old = created({ ...gated, ...before });
    const now = created({ ...gated, ...after });
    pod.prepareForUpdate?.(now, old);
    expect(texts(pod.validateUpdate?.(now, old) ?? [])).toEqual(errors);
  });
});

describe("a template leaves to its pods", () => {
  test("which ports of the node they take, and which image is mounted", () => {
    const template = {
      metadata: { labels: { app: "web" } },
      spec: {
        hostNetwork: true,
        containers: [{ ...WEB, ports: [{ containerPort: 80 }] }],
        volumes: [{ name: "v", image: {} }],
      },
    };
    const object = { metadata: { name: "web" }, spec: { selector: { matchLabels: { app: "web" } }, template } };
    deployment.defaults?.(object);
    expect(texts(deployment.validate?.(object) ?? [])).toEqual([]);
  });
});

describe("what is hardly meant is warned of", () => {
  test.each<[string, Partial<PodSpec>, string[]]>([
    [
      "old labels of nodes",
      { nodeSelector: { "beta.kubernetes.io/os": "linux" } },
      ['spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead'],
    ],
    [
      "a spread over nobody",
      { topologySpreadConstraints: [{ maxSkew: 1, topologyKey: "zone", whenUnsatisfiable: "ScheduleAnyway" }] },
      ["spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod"],
    ],
    [
      "one port twice",
      {
        containers: [
          {
            ...WEB,
            ports: [
              { containerPort: 80, name: "a" },
              { containerPort: 80, name: "b" },
            ],
          },
        ],
      },
      ["spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]"],
    ],
    [
      "a plugin that is gone",
      volume({ rbd: { monitors: ["a"], image: "b" } }),
      ["spec.volumes[0].rbd: deprecated in v1.28, non-functional in v1.31+"],
    ],
    [
      "half a byte",
      container({ resources: { limits: { memory: "1500m" } } }),
      [
        'spec.containers[0].resources.limits[memory]: fractional byte value "1500m" is invalid, must be an integer',
        'spec.containers[0].resources.requests[memory]: fractional byte value "1500m" is invalid, must be an integer',
      ],
    ],
    [
      "a value built upon the one before is meant",
      container({
        env: [
          { name: "PATH", value: "/a" },
          { name: "PATH", value: "$(PATH):/b" },
        ],
      }),
      [],
    ],
  ])("%s", (_what, spec, warnings) => {
    expect(pod.warnings?.(created(spec), undefined)).toEqual(warnings);
    expect(pod.warnings?.(created(spec), created(spec))).toEqual([]);
  });
});
