import { fieldErrorBody, type FieldError } from "@pilothouse/errors";
import type { Container, Pod, PodSpec, Volume } from "@pilothouse/api/types/core-v1";
import { describe, expect, test } from "vitest";
import { pod } from "./pod.ts";
import { pullPolicyFor } from "./pod-defaults.ts";
import { qosClassOf } from "./resource-rules.ts";

const CONTAINER: Container = { name: "web", image: "web:1" };

/** A pod as it stands in the store after its creation. */
function created(spec: Partial<PodSpec> = {}): Pod {
  const object: Pod = {
    metadata: { name: "web", namespace: "default" },
    spec: { containers: [{ ...CONTAINER }], ...spec },
  };
  pod.defaults?.(object);
  pod.prepareForCreate?.(object);
  return object;
}

function errorsOf(spec: Partial<PodSpec>): string[] {
  return texts(pod.validate?.(created(spec)) ?? []);
}

describe("a pod that says only its image", () => {
  test("gets what Kubernetes fills in", () => {
    expect(created()).toEqual({
      metadata: { name: "web", namespace: "default", generation: 1 },
      spec: {
        containers: [
          {
            name: "web",
            image: "web:1",
            resources: {},
            imagePullPolicy: "IfNotPresent",
            terminationMessagePath: "/dev/termination-log",
            terminationMessagePolicy: "File",
          },
        ],
        dnsPolicy: "ClusterFirst",
        restartPolicy: "Always",
        securityContext: {},
        terminationGracePeriodSeconds: 30,
        schedulerName: "default-scheduler",
        enableServiceLinks: true,
      },
      status: { phase: "Pending", qosClass: "BestEffort" },
    });
    expect(errorsOf({})).toEqual([]);
  });

  test.each([
    ["web", "Always"],
    ["web:latest", "Always"],
    ["registry.example:5000/web", "Always"],
    ["registry.example:5000/web:1", "IfNotPresent"],
    ["web@sha256:0123", "IfNotPresent"],
    [`web@sha256:${"0".repeat(64)}`, "IfNotPresent"],
    [`web:1@sha256:${"0".repeat(64)}`, "IfNotPresent"],
    [`web:latest@sha256:${"0".repeat(64)}`, "Always"],
    ["", "IfNotPresent"],
    ["Web:latest", "IfNotPresent"],
    ["registry.example:5000/team__a/web", "Always"],
  ])("%s is pulled %s", (image, policy) => {
    expect(pullPolicyFor(image)).toBe(policy);
  });

  test("probes, ports, limits and volumes are completed", () => {
    const { spec } = created({
      hostNetwork: true,
      volumes: [
        { name: "a" },
        { name: "b", secret: { secretName: "s" } },
        { name: "c", projected: { sources: [{ serviceAccountToken: { path: "t" } }] } },
      ],
      containers: [
        {
          ...CONTAINER,
          ports: [{ containerPort: 80 }],
          livenessProbe: { httpGet: { port: 80 } },
          resources: { limits: { cpu: "1", memory: "1Gi" }, requests: { cpu: "500m" } },
          env: [{ name: "NODE", valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } }],
        },
      ],
    });
    const [web] = spec.containers;
    expect(web?.ports).toEqual([{ containerPort: 80, hostPort: 80, protocol: "TCP" }]);
    expect(web?.livenessProbe).toEqual({
      httpGet: { port: 80, path: "/", scheme: "HTTP" },
      timeoutSeconds: 1,
      periodSeconds: 10,
      successThreshold: 1,
      failureThreshold: 3,
    });
    expect(web?.resources?.requests).toEqual({ cpu: "500m", memory: "1Gi" });
    expect(web?.env?.[0]?.valueFrom?.fieldRef?.apiVersion).toBe("v1");
    expect(spec.volumes).toEqual([
      { name: "a", emptyDir: {} },
      { name: "b", secret: { secretName: "s", defaultMode: 420 } },
      {
        name: "c",
        projected: { sources: [{ serviceAccountToken: { path: "t", expirationSeconds: 3600 } }], defaultMode: 420 },
      },
    ]);
  });

  test("both names of the service account say the same", () => {
    expect(created({ serviceAccount: "robot" }).spec).toMatchObject({
      serviceAccountName: "robot",
      serviceAccount: "robot",
    });
  });

  test("scheduling gates are told in a condition", () => {
    expect(created({ schedulingGates: [{ name: "a.b/c" }] }).status?.conditions?.[0]).toMatchObject({
      type: "PodScheduled",
      status: "False",
      reason: "SchedulingGated",
    });
  });
});

describe("what is wrong with a pod is said as upstream says it", () => {
  const volume = (source: Omit<Volume, "name">): Partial<PodSpec> => ({ volumes: [{ name: "v", ...source }] });
  const container = (fields: Partial<Container>): Partial<PodSpec> => ({ containers: [{ ...CONTAINER, ...fields }] });
  const mount = { name: "v", mountPath: "/data" };

  test.each<[string, Partial<PodSpec>, string[]]>([
    ["no containers", { containers: [] }, ["spec.containers: Required value"]],
    ["no image", { containers: [{ name: "web" }] }, ["spec.containers[0].image: Required value"]],
    [
      "spaces round the image",
      container({ image: " web " }),
      ['spec.containers[0].image: Invalid value: " web ": must not have leading or trailing whitespace'],
    ],
    [
      "the same name twice",
      { containers: [CONTAINER, CONTAINER] },
      ['spec.containers[1].name: Duplicate value: "web"'],
    ],
    [
      "an init container of the same name",
      { initContainers: [{ ...CONTAINER }] },
      ['spec.initContainers[0].name: Duplicate value: "web"'],
    ],
    [
      "a probed init container",
      { initContainers: [{ name: "i", image: "i:1", livenessProbe: { tcpSocket: { port: 1 } } }] },
      [
        "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
      ],
    ],
    [
      "another restart policy",
      { restartPolicy: "Sometimes" },
      ['spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'],
    ],
    [
      "a port too high",
      container({ ports: [{ containerPort: 70000 }] }),
      ["spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"],
    ],
    [
      "one host port twice",
      container({
        ports: [
          { containerPort: 1, hostPort: 1 },
          { containerPort: 2, hostPort: 1 },
        ],
      }),
      ['spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//1"'],
    ],
    [
      "a mount of nothing",
      container({ volumeMounts: [mount] }),
      ['spec.containers[0].volumeMounts[0].name: Not found: "v"'],
    ],
    [
      "two mounts in one place",
      { ...container({ volumeMounts: [mount, mount] }), ...volume({ emptyDir: {} }) },
      ['spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/data": must be unique'],
    ],
    [
      "a sub path that climbs",
      { ...container({ volumeMounts: [{ ...mount, subPath: "../x" }] }), ...volume({ emptyDir: {} }) },
      ["spec.containers[0].volumeMounts.subPath: Invalid value: \"../x\": must not contain '..'"],
    ],
    [
      "two sources of a volume",
      volume({ emptyDir: {}, hostPath: { path: "/x" } }),
      ["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
    ],
    ["a secret volume of no secret", volume({ secret: {} }), ["spec.volumes[0].secret.secretName: Required value"]],
    [
      "a mode that is none",
      volume({ configMap: { name: "c", defaultMode: 1000 } }),
      [
        "spec.volumes[0].configMap.defaultMode: Invalid value: 1000: must be a number between 0 and 0777 (octal), both inclusive",
      ],
    ],
    [
      "a token for five minutes",
      {
        serviceAccountName: "default",
        ...volume({ projected: { sources: [{ serviceAccountToken: { path: "t", expirationSeconds: 300 } }] } }),
      },
      [
        "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 300: may not specify a duration less than 10 minutes",
      ],
    ],
    [
      "more asked for than allowed",
      container({ resources: { limits: { cpu: "1" }, requests: { cpu: "1500m" } } }),
      ['spec.containers[0].resources.requests: Invalid value: "1500m": must be less than or equal to cpu limit of 1'],
    ],
    [
      "less than nothing",
      container({ resources: { requests: { memory: "-1" } } }),
      ['spec.containers[0].resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0'],
    ],
    [
      "half a device",
      container({ resources: { limits: { "example.com/gpu": "500m" } } }),
      [
        'spec.containers[0].resources.limits[example.com/gpu]: Invalid value: "500m": must be an integer',
        'spec.containers[0].resources.requests[example.com/gpu]: Invalid value: "500m": must be an integer',
      ],
    ],
    [
      "a resource nobody knows",
      container({ resources: { requests: { gpu: "1" } } }),
      [
        'spec.containers[0].resources.requests[gpu]: Invalid value: "gpu": must be a standard resource type or fully qualified',
        'spec.containers[0].resources.requests[gpu]: Invalid value: "gpu": must be a standard resource for containers',
      ],
    ],
    [
      "a probe of nothing",
      container({ readinessProbe: {} }),
      ["spec.containers[0].readinessProbe: Required value: must specify a handler type"],
    ],
    [
      "a liveness probe that must succeed twice",
      container({ livenessProbe: { tcpSocket: { port: 1 }, successThreshold: 2 } }),
      ["spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"],
    ],
    [
      "a variable with an equals sign",
      container({ env: [{ name: "A=B" }] }),
      [
        "spec.containers[0].env[0].name: Invalid value: \"A=B\": a valid environment variable name must consist only of printable ASCII characters other than '='",
      ],
    ],
    [
      "a value and a source",
      container({ env: [{ name: "A", value: "1", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }] }),
      ['spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
    ],
    [
      "a field that is none",
      container({ env: [{ name: "A", valueFrom: { fieldRef: { fieldPath: "spec.x" } } }] }),
      [
        'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.x": error converting fieldPath: field label not supported: spec.x',
      ],
    ],
    [
      "a toleration of everything by value",
      { tolerations: [{ operator: "Equal" }] },
      [
        'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means "match all values and all keys"',
      ],
    ],
    [
      "DNS policy None without servers",
      { dnsPolicy: "None" },
      ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
    ],
    [
      "a seccomp profile from nowhere",
      { securityContext: { seccompProfile: { type: "Localhost" } } },
      [
        "spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost",
      ],
    ],
    [
      "no time to live",
      { activeDeadlineSeconds: 0 },
      ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
    ],
    [
      "spreading without skew",
      { topologySpreadConstraints: [{ maxSkew: 0, topologyKey: "zone", whenUnsatisfiable: "DoNotSchedule" }] },
      ["spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"],
    ],
  ])("%s", (_name, spec, errors) => {
    expect(errorsOf(spec)).toEqual(errors);
  });
});

describe("a pod that exists", () => {
  function update(change: (pod: Pod) => void, spec: Partial<PodSpec> = {}): { errors: string[]; pod: Pod } {
    const old = created(spec);
    const now = JSON.parse(JSON.stringify(old)) as Pod;
    change(now);
    pod.prepareForUpdate?.(now, old);
    return { errors: texts(pod.validateUpdate?.(now, old) ?? []), pod: now };
  }

  test("may get another image, which is a new generation", () => {
    const { errors, pod } = update(({ spec }) => ((spec.containers[0] as Container).image = "web:2"));
    expect(errors).toEqual([]);
    expect(pod.metadata.generation).toBe(2);
  });

  test("may get labels, which is no new generation", () => {
    const { errors, pod } = update(({ metadata }) => (metadata.labels = { a: "b" }));
    expect(errors).toEqual([]);
    expect(pod.metadata.generation).toBe(1);
  });

  test("may not move, and is told what may change and what it tried", () => {
    const { errors } = update(({ spec }) => (spec.nodeName = "b"));
    expect(errors).toEqual([
      "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`," +
        "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations)," +
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n" +
        '  nodeName: unset -> "b"',
    ]);
  });

  test("may not gain a container", () => {
    const { errors } = update(({ spec }) => spec.containers.push({ name: "b", image: "b:1" }));
    expect(errors).toEqual(["spec.containers: Forbidden: pod updates may not add or remove containers"]);
  });

  test("may tolerate more, never less", () => {
    const toleration = { key: "a", operator: "Exists" };
    expect(update(({ spec }) => (spec.tolerations = [toleration])).errors).toEqual([]);
    expect(update(({ spec }) => (spec.tolerations = []), { tolerations: [toleration] }).errors).toEqual([
      "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
    ]);
  });

  test("may have its deadline shortened, not lengthened, not lifted", () => {
    const shorten = (seconds: number | undefined) =>
      update(
        ({ spec }) => {
          if (seconds === undefined) delete spec.activeDeadlineSeconds;
          else spec.activeDeadlineSeconds = seconds;
        },
        { activeDeadlineSeconds: 10 },
      ).errors;
    expect(shorten(5)).toEqual([]);
    expect(shorten(20)).toEqual([
      "spec.activeDeadlineSeconds: Invalid value: 20: must be less than or equal to previous value",
    ]);
    expect(shorten(undefined)).toEqual([
      "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value",
    ]);
  });

  test("may be freed of its gates, and narrowed down while it has one", () => {
    const gated = { schedulingGates: [{ name: "a" }], nodeSelector: { disk: "ssd" } };
    expect(update(({ spec }) => delete spec.schedulingGates, gated).errors).toEqual([]);
    expect(update(({ spec }) => (spec.nodeSelector = { disk: "ssd", zone: "a" }), gated).errors).toEqual([]);
    expect(update(({ spec }) => (spec.nodeSelector = {}), gated).errors).toHaveLength(1);
  });

  test("may not get another gate", () => {
    expect(update(({ spec }) => (spec.schedulingGates = [{ name: "b" }])).errors).toEqual([
      "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'b'",
    ]);
  });

  test("keeps its status in an update, and its spec in an update of the status", () => {
    const old = created();
    const now = created({ nodeName: "b" });
    now.status = { phase: "Running" };
    pod.prepareForUpdate?.(now, old);
    expect(now.status?.phase).toBe("Pending");
    now.status = { phase: "Running", qosClass: "Guaranteed" };
    pod.prepareForStatusUpdate?.(now, old, "2026-01-01T00:00:00Z");
    expect(now.spec.nodeName).toBeUndefined();
    expect(texts(pod.validateStatusUpdate?.(now, old) ?? [])).toEqual([
      'status.qosClass: Invalid value: "Guaranteed": field is immutable',
    ]);
  });

  test("keeps what old kubelets leave out of its status", () => {
    const old = created();
    const time = "2026-01-01T00:00:00Z";
    old.status = {
      observedGeneration: 3,
      qosClass: "BestEffort",
      conditions: [{ type: "Ready", status: "False", observedGeneration: 2 }],
    };
    const now = created();
    now.status = { phase: "Running", conditions: [{ type: "Ready", status: "True" }] };
    pod.prepareForStatusUpdate?.(now, old, time);
    expect(now.status).toEqual({
      phase: "Running",
      qosClass: "BestEffort",
      observedGeneration: 3,
      conditions: [{ type: "Ready", status: "True", observedGeneration: 2 }],
    });
  });

  test("a container that has ended for good stays ended", () => {
    const state = (terminated: boolean) => (terminated ? { terminated: { exitCode: 0 } } : { running: {} });
    const withState = (terminated: boolean): Pod => ({
      ...created({ restartPolicy: "Never" }),
      status: {
        containerStatuses: [
          { name: "web", ready: false, restartCount: 0, image: "", imageID: "", state: state(terminated) },
        ],
      },
    });
    expect(texts(pod.validateStatusUpdate?.(withState(false), withState(true)) ?? [])).toEqual([
      "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state",
    ]);
  });

  test.each<[string, Partial<Pod>, number | undefined, number]>([
    ["its own time", {}, undefined, 30],
    ["the time asked for", {}, 5, 5],
    ["no time", {}, 0, 0],
    ["the shortest time there is", {}, -1, 1],
    ["no time when it has ended", { status: { phase: "Succeeded" } }, 30, 0],
    ["no time when no node has it", { spec: { containers: [] } }, 30, 0],
  ])("gets %s to end", (_name, fields, asked, seconds) => {
    expect(pod.gracePeriodSeconds?.({ ...created({ nodeName: "a" }), ...fields }, asked)).toBe(seconds);
  });
});

describe("class of service", () => {
  const amounts = { cpu: "1", memory: "1Gi" };
  test.each<[string, Container["resources"], string]>([
    ["nothing asked for", {}, "BestEffort"],
    ["zero asked for", { requests: { cpu: "0" } }, "BestEffort"],
    ["only storage asked for", { requests: { "ephemeral-storage": "1Gi" } }, "BestEffort"],
    ["some asked for", { requests: { cpu: "1" } }, "Burstable"],
    ["limits above requests", { requests: { ...amounts, cpu: "500m" }, limits: amounts }, "Burstable"],
    ["limits that are requests", { requests: { cpu: "1000m", memory: "1024Mi" }, limits: amounts }, "Guaranteed"],
    ["one limit only", { requests: { cpu: "1" }, limits: { cpu: "1" } }, "Burstable"],
  ])("%s", (_name, resources, qosClass) => {
    expect(qosClassOf({ spec: { containers: [{ ...CONTAINER, resources: resources ?? {} }] } })).toBe(qosClass);
  });
});

test("what is hardly meant is warned of", () => {
  const object = created({
    containers: [{ ...CONTAINER, env: [{ name: "A" }, { name: "A" }] }],
    terminationGracePeriodSeconds: -1,
  });
  object.metadata.name = "web.1";
  expect(pod.warnings?.(object, undefined)).toEqual([
    "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]",
    'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',
    "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
  ]);
});

function texts(errors: readonly FieldError[]): string[] {
  return errors.map((error) => `${error.field}: ${fieldErrorBody(error)}`);
}
