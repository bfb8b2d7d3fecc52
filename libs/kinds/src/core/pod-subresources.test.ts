import { fieldErrorBody, type FieldError } from "@pilothouse/errors";
import type { Container, EphemeralContainer, Pod, PodSpec } from "@pilothouse/api/types/core-v1";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { deployment } from "../apps/deployment.ts";
import { pod } from "./pod.ts";

const CONTAINER: Container = { name: "web", image: "web:1" };
const DEBUG: EphemeralContainer = { name: "debug", image: "toolbox:1" };

/** A pod as it stands in the store. */
function stored(spec: Partial<PodSpec> = {}, metadata: Pod["metadata"] = {}): Pod {
  const object: Pod = {
    metadata: { name: "web", namespace: "default", ...metadata },
    spec: { containers: [{ ...CONTAINER }], ...spec },
  };
  pod.defaults?.(object);
  pod.prepareForCreate?.(object);
  return object;
}

/** What becomes of `old` when a client sends `given` to a subresource, and what is said against it. */
function sent(subresource: string, given: Pod, old: Pod): { readonly pod: Pod; readonly errors: string[] } {
  const now = structuredClone(given);
  pod.defaults?.(now);
  const update = pod.subresourceUpdates?.[subresource];
  update?.prepare(now, old);
  return { pod: now, errors: texts([...(pod.validate?.(now) ?? []), ...(update?.validate(now, old) ?? [])]) };
}

describe("ephemeral containers", () => {
  const add = (containers: readonly EphemeralContainer[], old = stored()): ReturnType<typeof sent> =>
    sent("ephemeralcontainers", { ...old, spec: { ...old.spec, ephemeralContainers: [...containers] } }, old);

  test("are added through their subresource, which changes nothing else", () => {
    const old = stored();
    const given = stored({ ephemeralContainers: [{ ...DEBUG }], nodeName: "elsewhere" }, { labels: { a: "b" } });
    const { pod: now, errors } = sent("ephemeralcontainers", given, old);
    expect(errors).toEqual([]);
    expect(now.spec.ephemeralContainers).toMatchObject([{ name: "debug", imagePullPolicy: "IfNotPresent" }]);
    expect({ ...now.spec, ephemeralContainers: undefined }).toEqual({ ...old.spec, ephemeralContainers: undefined });
    expect([now.metadata.labels, now.metadata.generation]).toEqual([undefined, 2]);
  });

  test("are neither changed nor taken away", () => {
    const old = add([DEBUG]).pod;
    expect(add([{ ...DEBUG, image: "other" }], old).errors).toEqual([
      'spec.ephemeralContainers: Forbidden: existing ephemeral containers "debug" may not be changed\nimage\nimagePullPolicy',
    ]);
    expect(add([{ ...DEBUG, name: "another" }], old).errors).toEqual([
      'spec.ephemeralContainers: Forbidden: existing ephemeral containers "debug" may not be removed\n',
    ]);
  });

  test.each<[string, EphemeralContainer, string]>([
    ["a taken name", { ...DEBUG, name: "web" }, 'name: Duplicate value: "web"'],
    ["an unknown target", { ...DEBUG, targetContainerName: "no" }, 'targetContainerName: Not found: "no"'],
    [
      "ports",
      { ...DEBUG, ports: [{ containerPort: 1, protocol: "TCP" }] },
      "ports: Forbidden: cannot be set for an Ephemeral Container",
    ],
    [
      "resources",
      { ...DEBUG, resources: { limits: { cpu: "1" } } },
      "resources: Forbidden: cannot be set for an Ephemeral Container",
    ],
    [
      "a hook",
      { ...DEBUG, lifecycle: { preStop: { sleep: { seconds: 1 } } } },
      "lifecycle: Forbidden: cannot be set for an Ephemeral Container",
    ],
    [
      "a subPath",
      { ...DEBUG, volumeMounts: [{ name: "v", mountPath: "/v", subPath: "x" }] },
      "volumeMounts[0].subPath: Forbidden: cannot be set for an Ephemeral Container",
    ],
  ])("are refused with %s", (_name, container, error) => {
    expect(add([container], stored({ volumes: [{ name: "v", emptyDir: {} }] })).errors).toEqual([
      `spec.ephemeralContainers[0].${error}`,
    ]);
  });

  test("are no part of a new pod, of a template or of a static pod", () => {
    const given = stored({ ephemeralContainers: [{ ...DEBUG }] });
    expect(texts(pod.validateCreate?.(given) ?? [])).toEqual([
      "spec.ephemeralContainers: Forbidden: cannot be set on create",
    ]);
    const template = { metadata: { labels: { a: "b" } }, spec: given.spec };
    const object = { metadata: { name: "d" }, spec: { selector: { matchLabels: { a: "b" } }, template } };
    expect(texts(deployment.validate?.(object) ?? [])).toContain(
      "spec.template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template",
    );
    const mirror = stored({ nodeName: "n" }, { annotations: { "kubernetes.io/config.mirror": "x" } });
    expect(add([DEBUG], mirror).errors).toEqual([": Forbidden: static pods do not support ephemeral containers"]);
  });
});

describe("a resize", () => {
  const amounts = { requests: { cpu: "100m", memory: "64Mi" }, limits: { cpu: "200m", memory: "128Mi" } };
  const resize = (
    resources: Container["resources"],
    old = stored({ containers: [{ ...CONTAINER, resources: amounts }] }),
  ) =>
    sent("resize", { ...old, spec: { ...old.spec, containers: [{ ...CONTAINER, resources: resources ?? {} }] } }, old);

  test("changes cpu and memory, and counts as a new generation", () => {
    const { pod: now, errors } = resize({ ...amounts, requests: { cpu: "150m", memory: "32Mi" } });
    expect(errors).toEqual([]);
    expect(now.spec.containers[0]?.resources?.requests).toEqual({ cpu: "150m", memory: "32Mi" });
    expect(now.metadata.generation).toBe(2);
  });

  test("changes nothing else, whatever is sent", () => {
    const old = stored();
    const given = stored({ containers: [{ ...CONTAINER, image: "other", command: ["x"] }], nodeName: "x" });
    const { pod: now, errors } = sent("resize", given, old);
    expect([errors, now.spec, now.metadata.generation]).toEqual([[], old.spec, 1]);
  });

  test.each<[string, Container["resources"], string[]]>([
    [
      "taking a request away",
      { ...amounts, requests: { cpu: "100m" }, limits: { cpu: "200m" } },
      [
        "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
        "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed",
      ],
    ],
    [
      "another class of service",
      { requests: amounts.requests, limits: amounts.requests },
      ['spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing'],
    ],
    [
      "another resource",
      { ...amounts, limits: { ...amounts.limits, "ephemeral-storage": "1Gi" } },
      ["spec: Forbidden: only cpu and memory resources are mutable"],
    ],
    [
      "a request above its limit",
      { ...amounts, requests: { cpu: "300m", memory: "64Mi" } },
      ['spec.containers[0].resources.requests: Invalid value: "300m": must be less than or equal to cpu limit of 200m'],
    ],
  ])("is refused for %s", (_name, resources, errors) => {
    expect(resize(resources).errors).toEqual(errors);
  });

  test("is refused for other containers, in another order, and for init containers that end", () => {
    const two = stored({
      containers: [CONTAINER, { ...CONTAINER, name: "b" }],
      initContainers: [{ ...CONTAINER, name: "init" }],
    });
    const [first, second] = two.spec.containers as [Container, Container];
    const order = { ...two, spec: { ...two.spec, containers: [second, first] } };
    expect(sent("resize", order, two).errors).toEqual([
      "spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize",
      "spec.containers[1].name: Forbidden: containers may not be renamed or reordered on resize",
    ]);
    const fewer = { ...two, spec: { ...two.spec, containers: [first] } };
    expect(sent("resize", fewer, two).errors).toEqual([
      "spec.containers: Forbidden: containers may not be added or removed on resize",
    ]);
    const old = stored({
      containers: [{ ...CONTAINER, resources: amounts }],
      initContainers: [{ ...CONTAINER, name: "init" }],
    });
    const init = { ...CONTAINER, name: "init", resources: { requests: { cpu: "10m" } } };
    expect(sent("resize", { ...old, spec: { ...old.spec, initContainers: [init] } }, old).errors).toEqual([
      "spec: Forbidden: resources for non-sidecar init containers are immutable",
    ]);
  });

  test("is refused where a running container tells no resources", () => {
    const old = stored({ containers: [{ ...CONTAINER, resources: amounts }] });
    const status = { name: "web", ready: true, restartCount: 0, image: "", imageID: "", state: { running: {} } };
    old.status = { ...old.status, containerStatuses: [status] };
    expect(resize(amounts, old).errors).toEqual(["spec: Forbidden: Pod running on node without support for resize"]);
    old.status = { ...old.status, containerStatuses: [{ ...status, resources: {} }] };
    expect(resize(amounts, old).errors).toEqual([]);
  });

  test("whatever is accepted differs from before in cpu and memory alone", () => {
    const amount = fc.option(fc.constantFrom("0", "10m", "1", "2"), { nil: undefined });
    const list = fc.record({ cpu: amount, memory: amount, "example.com/gpu": amount }).map(withoutUndefined);
    const resources = fc.record({ requests: list, limits: list });
    fc.assert(
      fc.property(resources, resources, (before, after) => {
        const old = stored({ containers: [{ ...CONTAINER, resources: before }] });
        if ((pod.validate?.(old) ?? []).length > 0) return;
        const { pod: now, errors } = resize(after, old);
        if (errors.length > 0) return;
        const rest = (of: Pod): unknown => of.spec.containers[0]?.resources?.limits?.["example.com/gpu"];
        expect([rest(now), now.spec.containers[0]?.image]).toEqual([rest(old), "web:1"]);
      }),
    );
  });
});

function withoutUndefined(amounts: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(Object.entries(amounts).filter((it): it is [string, string] => it[1] !== undefined));
}

function texts(errors: readonly FieldError[]): string[] {
  return errors.map((error) => `${error.field}: ${fieldErrorBody(error)}`);
}
