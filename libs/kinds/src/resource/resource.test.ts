import { fieldErrorBody, type FieldError } from "@pilothouse/errors";
import { describe, expect, it } from "vitest";
import { kindByName, type ApiObject, type KindDefinition } from "../index.ts";

const kind = (name: string): KindDefinition => kindByName("resource.k8s.io", "v1", name) as KindDefinition;

const texts = (errors: readonly FieldError[] | undefined): string[] =>
  (errors ?? []).map((error) => `${error.field}: ${fieldErrorBody(error)}`);

function made(name: string, fields: object, metadata: object = { name: "gpu", namespace: "shop" }): ApiObject {
  const object: ApiObject = { metadata, ...structuredClone(fields) };
  kind(name).defaults?.(object);
  return object;
}

const problems = (name: string, fields: object): string[] => texts(kind(name).validate?.(made(name, fields)));

const exactly = (more: object = {}) => ({ deviceClassName: "gpu.example.com", ...more });
const claimOf = (devices: object) => ({ spec: { devices } });
const claim = claimOf({ requests: [{ name: "gpu", exactly: exactly() }] });
const slice = (spec: object) => ({
  spec: { driver: "gpu.example.com", pool: { name: "pool-a", resourceSliceCount: 1 }, nodeName: "n1", ...spec },
});

describe("what a claim asks for", () => {
  it("is one device of a class, unless it says otherwise", () => {
    expect(made("ResourceClaim", claim)["spec"]).toEqual({
      devices: { requests: [{ name: "gpu", exactly: exactly({ allocationMode: "ExactCount", count: 1 }) }] },
    });
    const all = claimOf({ requests: [{ name: "gpu", exactly: exactly({ allocationMode: "All" }) }] });
    expect(made("ResourceClaim", all)["spec"]).toEqual(all.spec);
    const template = made("ResourceClaimTemplate", {
      spec: claimOf({
        requests: [{ name: "gpu", firstAvailable: [{ name: "a", ...exactly({ tolerations: [{ key: "k" }] }) }] }],
      }),
    });
    expect(template).toMatchObject({
      spec: {
        spec: {
          devices: { requests: [{ firstAvailable: [{ count: 1, tolerations: [{ key: "k", operator: "Equal" }] }] }] },
        },
      },
    });
  });

  it.each<[string, object, string[]]>([
    ["one request", claim, []],
    ["nothing", claimOf({}), []],
    [
      "a request of no kind, and one of two",
      claimOf({
        requests: [{ name: "a" }, { name: "b", exactly: exactly(), firstAvailable: [{ name: "c", ...exactly() }] }],
      }),
      [
        "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required",
        "spec.devices.requests[1]: Invalid value: null: exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set",
      ],
    ],
    [
      "counts and modes",
      claimOf({
        requests: [
          { name: "a", exactly: exactly({ allocationMode: "All", count: 2 }) },
          { name: "b", exactly: exactly({ count: -1 }) },
          { name: "c", exactly: { deviceClassName: "", allocationMode: "Some" } },
          { name: "a", exactly: exactly() },
        ],
      }),
      [
        "spec.devices.requests[0].exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'",
        "spec.devices.requests[1].exactly.count: Invalid value: -1: must be greater than zero",
        "spec.devices.requests[2].exactly.deviceClassName: Required value",
        'spec.devices.requests[2].exactly.allocationMode: Unsupported value: "Some": supported values: "All", "ExactCount"',
        'spec.devices.requests[3]: Duplicate value: "a"',
      ],
    ],
    [
      "too many requests",
      claimOf({ requests: Array.from({ length: 33 }, (_, index) => ({ name: `r${index}`, exactly: exactly() })) }),
      ["spec.devices.requests: Too many: 33: must have at most 32 items"],
    ],
    [
      "constraints",
      claimOf({
        requests: [{ name: "a", firstAvailable: [{ name: "big", ...exactly() }] }],
        constraints: [
          { requests: ["a", "a/big"], matchAttribute: "example.com/numa" },
          { requests: ["b", "a/small"], matchAttribute: "numa" },
          {},
        ],
      }),
      [
        "spec.devices.constraints[1].requests[0]: Invalid value: \"b\": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
        "spec.devices.constraints[1].requests[1]: Invalid value: \"a/small\": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
        'spec.devices.constraints[1].matchAttribute: Invalid value: "numa": a fully qualified name must be a domain and a name separated by a slash',
        'spec.devices.constraints[2]: Required value: exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set',
      ],
    ],
    [
      "configurations and selectors",
      claimOf({
        requests: [{ name: "a", exactly: exactly({ selectors: [{}, { cel: { expression: "true" } }] }) }],
        config: [{}, { opaque: { driver: "gpu.example.com", parameters: [1] } }],
      }),
      [
        "spec.devices.requests[0].exactly.selectors[0].cel: Required value",
        "spec.devices.config[0].opaque: Required value",
        'spec.devices.config[1].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object',
      ],
    ],
    [
      "tolerations",
      claimOf({
        requests: [
          {
            name: "a",
            exactly: exactly({ tolerations: [{ key: "k", operator: "Exists", value: "v", effect: "Never" }] }),
          },
        ],
      }),
      [
        'spec.devices.requests[0].exactly.tolerations[0].value: Invalid value: "v": must be empty for operator `Exists`',
        'spec.devices.requests[0].exactly.tolerations[0].effect: Unsupported value: "Never": supported values: "NoExecute", "NoSchedule", "None"',
      ],
    ],
  ])("%s", (_title, fields, wanted) => {
    expect(problems("ResourceClaim", fields)).toEqual(wanted);
    const inTemplate = wanted.map((text) => `spec.${text}`);
    expect(problems("ResourceClaimTemplate", { spec: fields })).toEqual(inTemplate);
  });

  it("is for life, and its status is written apart", () => {
    const old = made("ResourceClaim", claim);
    const other = made("ResourceClaim", claimOf({ requests: [{ name: "fpga", exactly: exactly() }] }));
    expect(texts(kind("ResourceClaim").validateUpdate?.(other, old))[0]).toMatch(
      /^spec: Invalid value: .*: field is immutable$/,
    );
    const created = made("ResourceClaim", { ...claim, status: { allocation: {} } });
    kind("ResourceClaim").prepareForCreate?.(created);
    expect(created["status"]).toEqual({});
  });
});

describe("what a claim was given", () => {
  const result = { request: "gpu", driver: "gpu.example.com", pool: "pool-a", device: "gpu-0" };
  const consumer = { resource: "pods", name: "p", uid: "u1" };
  const told = (status: object, old: object = {}, metadata?: object): string[] => {
    const now = made("ResourceClaim", { ...claim, status }, metadata);
    return texts(kind("ResourceClaim").validateStatusUpdate?.(now, made("ResourceClaim", { ...claim, status: old })));
  };

  it("is of its requests, and stays", () => {
    const allocation = { devices: { results: [result] } };
    expect(
      told({ allocation, reservedFor: [consumer], devices: [{ ...result, request: undefined, conditions: [] }] }),
    ).toEqual([]);
    expect(told({ allocation: { devices: { results: [{ ...result, request: "fpga", shareID: "X" }] } } })).toEqual([
      "status.allocation.devices.results[0].request: Invalid value: \"fpga\": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
      'status.allocation.devices.results[0].shareID: Invalid value: "X": error validating uid: invalid UUID length: 1',
    ]);
    const another = { devices: { results: [{ ...result, device: "gpu-1" }] } };
    expect(told({ allocation: another }, { allocation })[0]).toMatch(
      /^status.allocation: Invalid value: .*: field is immutable$/,
    );
    expect(told({}, { allocation })).toEqual([]);
  });

  it("is used by those who are told, and by nobody new once it is to go", () => {
    const allocation = { devices: { results: [result] } };
    expect(told({ reservedFor: [{ resource: "pods" }] })).toEqual([
      "status.reservedFor[0].name: Required value",
      "status.reservedFor[0].uid: Required value",
      "status.reservedFor: Forbidden: may not be specified when `allocated` is not set",
    ]);
    const dying = { name: "gpu", namespace: "shop", deletionTimestamp: "2026-01-01T00:00:00Z" };
    const before = { allocation, reservedFor: [consumer] };
    expect(told(before, before, dying)).toEqual([]);
    expect(told({ allocation, reservedFor: [consumer, { ...consumer, uid: "u2" }] }, before, dying)).toEqual([
      "status.reservedFor: Forbidden: new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set",
    ]);
    expect(told({ allocation, devices: [{ ...result, device: "gpu-9" }] })).toEqual([
      'status.devices[0]: Invalid value: "gpu.example.com/pool-a/gpu-9": must be an allocated device in the claim',
    ]);
  });

  it.each<[string, object, object]>([
    ["pending", {}, {}],
    ["allocated", { allocation: {} }, {}],
    ["allocated,reserved", { allocation: {}, reservedFor: [consumer] }, {}],
    ["deleted,allocated", { allocation: {} }, { deletionTimestamp: "2026-01-01T00:00:00Z" }],
    ["deleted", {}, { deletionTimestamp: "2026-01-01T00:00:00Z" }],
  ])("is shown as %s", (state, status, metadata) => {
    const object = made("ResourceClaim", { ...claim, status }, { name: "gpu", ...metadata });
    expect(kind("ResourceClaim").columns?.[0]?.cell(object, 0)).toBe(state);
  });
});

describe("what a driver tells of", () => {
  it.each<[string, object, string[]]>([
    [
      "a node's devices",
      slice({
        devices: [{ name: "gpu-0", attributes: { model: { string: "a" } }, capacity: { memory: { value: "8Gi" } } }],
      }),
      [],
    ],
    [
      "nowhere, and in two places",
      slice({ nodeName: undefined, allNodes: true, perDeviceNodeSelection: true }),
      [
        'spec: Invalid value: "{`allNodes`, `perDeviceNodeSelection`}": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set',
      ],
    ],
    [
      "nothing of its pool",
      { spec: { driver: "", pool: { name: "a//b", resourceSliceCount: 0, generation: -1 } } },
      [
        "spec.driver: Required value",
        "spec.pool.name: Invalid value: \"\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
        "spec.pool.generation: Invalid value: -1: must be greater than or equal to zero",
        "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required",
      ],
    ],
    [
      "devices with values that are none",
      slice({
        devices: [
          {
            name: "a",
            attributes: { "x y": { int: 1 }, two: { int: 1, bool: true }, none: {}, v: { version: "1.2" } },
          },
          { name: "a", nodeName: "n1", capacity: { memory: { value: "-1", requestPolicy: {} } } },
        ],
      }),
      [
        "spec.devices[0].attributes: Invalid value: \"x y\": a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')",
        'spec.devices[0].attributes[two]: Invalid value: {"int":1,"bool":true}: exactly one value must be specified',
        'spec.devices[0].attributes[none]: Invalid value: "": exactly one value must be specified',
        'spec.devices[0].attributes[v].version: Invalid value: "1.2": must be a string compatible with semver.org spec 2.0.0',
        'spec.devices[1].capacity[memory].value: Invalid value: "-1": must be greater than or equal to 0',
        "spec.devices[1].capacity[memory].requestPolicy: Forbidden: allowMultipleAllocations must be true",
        "spec.devices[1]: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec",
        'spec.devices[1]: Duplicate value: "a"',
      ],
    ],
    [
      "counters and conditions",
      slice({
        devices: [{ name: "a", consumesCounters: [{ counterSet: "set" }], bindingConditions: ["ready", "ready"] }],
      }),
      [
        "spec.devices[0].consumesCounters[0].counters: Required value",
        'spec.devices[0].bindingConditions[1]: Duplicate value: "ready"',
        "spec.devices[0].bindingFailureConditions: Invalid value: []: bindingFailureConditions are required to use bindingConditions",
      ],
    ],
    [
      "more devices than a slice takes, fewer with taints",
      slice({
        devices: Array.from({ length: 65 }, (_, index) => ({
          name: `d${index}`,
          taints: [{ key: "broken", effect: "NoSchedule" }],
        })),
      }),
      ["spec.devices: Too many: 65: must have at most 64 items"],
    ],
  ])("%s", (_title, fields, wanted) => {
    expect(problems("ResourceSlice", fields)).toEqual(wanted);
  });

  it("keeps its driver, its pool and its node, and is found by two of them", () => {
    const old = made("ResourceSlice", slice({}));
    const other = made(
      "ResourceSlice",
      slice({ driver: "b.example.com", pool: { name: "b", resourceSliceCount: 1 }, nodeName: "n2" }),
    );
    expect(texts(kind("ResourceSlice").validateUpdate?.(other, old))).toEqual([
      'spec.pool.name: Invalid value: "b": field is immutable',
      'spec.driver: Invalid value: "b.example.com": field is immutable',
      'spec.nodeName: Invalid value: "n2": field is immutable',
    ]);
    expect(kind("ResourceSlice").selectableFields?.(old)).toEqual({
      "spec.driver": "gpu.example.com",
      "spec.nodeName": "n1",
    });
    expect(
      kind("ResourceSlice")
        .columns?.slice(0, 3)
        .map(({ cell }) => cell(old, 0)),
    ).toEqual(["n1", "gpu.example.com", "pool-a"]);
  });
});

describe("a class of devices", () => {
  it.each<[object, string[]]>([
    [{ spec: {} }, []],
    [{ spec: { extendedResourceName: "example.com/gpu", selectors: [{ cel: { expression: "true" } }] } }, []],
    [
      { spec: { extendedResourceName: "cpu" } },
      ['spec.extendedResourceName: Invalid value: "cpu": must be a valid extended resource name'],
    ],
    [
      { spec: { selectors: [{ cel: { expression: "x".repeat(10_241) } }] } },
      ["spec.selectors[0].cel.expression: Too long: may not be more than 10240 bytes"],
    ],
  ])("%j", (fields, wanted) => {
    expect(problems("DeviceClass", fields)).toEqual(wanted);
  });

  it("counts its changes", () => {
    const old = made("DeviceClass", { spec: {} });
    kind("DeviceClass").prepareForCreate?.(old);
    const now = made("DeviceClass", { spec: { config: [] } });
    kind("DeviceClass").prepareForUpdate?.(now, old);
    expect(now.metadata.generation).toBe(1);
    const changed = made("DeviceClass", { spec: { extendedResourceName: "example.com/gpu" } });
    kind("DeviceClass").prepareForUpdate?.(changed, old);
    expect(changed.metadata.generation).toBe(2);
  });
});
