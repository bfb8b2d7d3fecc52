/** Which devices a driver tells of, where they are, and what they can do. */
import type {
  CounterSet,
  Device,
  DeviceAttribute,
  DeviceCapacity,
  ResourceSliceSpec,
} from "@pilothouse/api/types/resource-v1";
import { checkDns1123Subdomain } from "@pilothouse/selectors/names";
import { amountRules } from "../core/resource-rules.ts";
import { forbidden, immutable, invalid, invalidEach, required, tooLong } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { driverNameRules } from "../storage/csi-driver.ts";
import {
  bindingRules,
  labelRules,
  nodeSelectorRules,
  poolNameRules,
  qualifiedNameRules,
  taintRules,
} from "./device-rules.ts";
import { listRules, mapRules, setRules } from "./list-rules.ts";

const MAX_DEVICES = 128;
const MAX_DEVICES_WITH_TAINTS_OR_COUNTERS = 64;
const MAX_COUNTER_SETS = 8;
const MAX_COUNTERS = 32;
const MAX_CONSUMED_SETS = 2;
const MAX_ATTRIBUTES_AND_CAPACITIES = 32;
const MAX_TAINTS = 16;
const MAX_VALUE = 64;
const PRE_RELEASE = "(0|[1-9]\\d*|\\d*[a-zA-Z-][0-9a-zA-Z-]*)";
const SEMVER = new RegExp(
  `^(0|[1-9]\\d*)\\.(0|[1-9]\\d*)\\.(0|[1-9]\\d*)(-${PRE_RELEASE}(\\.${PRE_RELEASE})*)?(\\+[0-9a-zA-Z-]+(\\.[0-9a-zA-Z-]+)*)?$`,
);
const VALUES = ["int", "bool", "string", "version", "ints", "bools", "strings", "versions"] as const;

export function* sliceRules(spec: ResourceSliceSpec): FieldErrors {
  yield* driverNameRules("spec.driver", spec.driver);
  yield* poolNameRules(spec.pool?.name, "spec.pool.name");
  const resourceSliceCount = spec.pool?.resourceSliceCount ?? 0;
  const generation = spec.pool?.generation ?? 0;
  if (resourceSliceCount <= 0)
    yield invalid("spec.pool.resourceSliceCount", resourceSliceCount, "must be greater than zero");
  if (generation < 0) yield invalid("spec.pool.generation", generation, "must be greater than or equal to zero");
  yield* placeRules(spec, "spec");
  if (spec.sharedCounters && spec.devices)
    yield invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed");
  const isAdvanced = (spec.devices ?? []).some(
    ({ taints = [], consumesCounters = [] }) => taints.length > 0 || consumesCounters.length > 0,
  );
  const most = isAdvanced ? MAX_DEVICES_WITH_TAINTS_OR_COUNTERS : MAX_DEVICES;
  const isPerDevice = spec.perDeviceNodeSelection === true;
  yield* setRules(
    spec.devices,
    "spec.devices",
    most,
    ({ name }) => name,
    (one, at) => deviceRules(one, at, isPerDevice),
  );
  yield* setRules(spec.sharedCounters, "spec.sharedCounters", MAX_COUNTER_SETS, ({ name }) => name, counterSetRules);
}

export function* sliceUpdateRules(spec: ResourceSliceSpec, old: ResourceSliceSpec): FieldErrors {
  yield* immutable("spec.pool.name", spec.pool?.name, old.pool?.name);
  yield* immutable("spec.driver", spec.driver, old.driver);
  yield* immutable("spec.nodeName", spec.nodeName, old.nodeName);
}

function* placeRules(spec: ResourceSliceSpec, at: string): FieldErrors {
  const set: string[] = [];
  const { nodeName, nodeSelector } = spec;
  if (nodeName === "") yield invalid(`${at}.nodeName`, nodeName, "must be either unset or set to a non-empty string");
  else if (nodeName !== undefined) {
    set.push("`nodeName`");
    yield* invalidEach(`${at}.nodeName`, nodeName, checkDns1123Subdomain(nodeName));
  }
  if (nodeSelector) {
    set.push("`nodeSelector`");
    yield* nodeSelectorRules(nodeSelector, `${at}.nodeSelector`);
    const terms = nodeSelector.nodeSelectorTerms ?? [];
    if (terms.length !== 1)
      yield invalid(`${at}.nodeSelector.nodeSelectorTerms`, terms, "must have exactly one node selector term");
  }
  for (const field of ["allNodes", "perDeviceNodeSelection"] as const) {
    if (spec[field] === true) set.push(`\`${field}\``);
    else if (spec[field] === false) yield invalid(`${at}.${field}`, false, "must be either unset or set to true");
  }
  const one = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
  if (set.length === 0) yield required(at, one);
  else if (set.length > 1) yield invalid(at, `{${set.join(", ")}}`, `${one}, but multiple fields are set`);
}

function* deviceRules(device: Device, at: string, isPerDevice: boolean): FieldErrors {
  yield* labelRules(device.name ?? "", `${at}.name`);
  const count = Object.keys(device.attributes ?? {}).length + Object.keys(device.capacity ?? {}).length;
  if (count > MAX_ATTRIBUTES_AND_CAPACITIES) {
    const detail = `the total number of attributes and capacities must not exceed ${MAX_ATTRIBUTES_AND_CAPACITIES}`;
    yield invalid(at, count, detail);
  }
  yield* mapRules(device.attributes, `${at}.attributes`, Infinity, qualifiedNameRules, attributeRules);
  const isShared = device.allowMultipleAllocations === true;
  yield* mapRules(device.capacity, `${at}.capacity`, Infinity, qualifiedNameRules, (one, path) =>
    capacityRules(one, path, isShared),
  );
  yield* listRules(device.taints, `${at}.taints`, MAX_TAINTS, taintRules);
  yield* setRules(
    device.consumesCounters,
    `${at}.consumesCounters`,
    MAX_CONSUMED_SETS,
    ({ counterSet }) => counterSet,
    function* (one, path) {
      if (!one.counterSet) yield required(`${path}.counterSet`);
      else yield* labelRules(one.counterSet, `${path}.counterSet`);
      yield* countersRules(one.counters, `${path}.counters`);
    },
  );
  yield* devicePlaceRules(device, at, isPerDevice);
  yield* bindingRules(device, at);
}

function* devicePlaceRules(
  { nodeName, nodeSelector, allNodes }: Device,
  at: string,
  isPerDevice: boolean,
): FieldErrors {
  if (!isPerDevice) {
    if (nodeName === undefined && !nodeSelector && allNodes === undefined) return;
    const detail =
      "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    yield invalid(at, undefined, detail);
    return;
  }
  const set: string[] = [];
  if (nodeName === "") yield invalid(`${at}.nodeName`, nodeName, "must not be empty");
  else if (nodeName !== undefined) {
    set.push("`nodeName`");
    yield* invalidEach(`${at}.nodeName`, nodeName, checkDns1123Subdomain(nodeName));
  }
  if (nodeSelector) {
    set.push("`nodeSelector`");
    yield* nodeSelectorRules(nodeSelector, `${at}.nodeSelector`);
  }
  if (allNodes === true) set.push("`allNodes`");
  else if (allNodes === false) yield invalid(`${at}.allNodes`, false, "must be either unset or set to true");
  const one =
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
  if (set.length === 0) yield required(at, one);
  else if (set.length > 1) yield invalid(at, `{${set.join(", ")}}`, one);
}

function* attributeRules(attribute: DeviceAttribute, at: string): FieldErrors {
  const given = VALUES.filter((field) => attribute[field] !== undefined);
  const { string, version, strings = [], versions = [] } = attribute;
  if (string !== undefined) yield* textRules(string, `${at}.string`);
  if (version !== undefined) yield* versionRules(version, `${at}.version`);
  for (const field of ["bools", "ints", "strings", "versions"] as const)
    if (attribute[field]?.length === 0) yield invalid(`${at}.${field}`, [], "must not be empty if specified");
  for (const [index, one] of strings.entries()) yield* textRules(one, `${at}.strings[${index}]`);
  for (const [index, one] of versions.entries()) yield* versionRules(one, `${at}.versions[${index}]`);
  if (given.length !== 1) yield invalid(at, given.length === 0 ? "" : attribute, "exactly one value must be specified");
}

function* textRules(text: string, path: string): FieldErrors {
  if (Buffer.byteLength(text) > MAX_VALUE) yield tooLong(path, MAX_VALUE);
}

function* versionRules(version: string, path: string): FieldErrors {
  if (!SEMVER.test(version)) yield invalid(path, version, "must be a string compatible with semver.org spec 2.0.0");
  yield* textRules(version, path);
}

function* capacityRules({ value, requestPolicy }: DeviceCapacity, at: string, isShared: boolean): FieldErrors {
  yield* amountRules(value ?? "0", `${at}.value`);
  if (requestPolicy && !isShared) yield forbidden(`${at}.requestPolicy`, "allowMultipleAllocations must be true");
}

function* counterSetRules({ name, counters }: CounterSet, at: string): FieldErrors {
  if (!name) yield required(`${at}.name`);
  else yield* labelRules(name, `${at}.name`);
  yield* countersRules(counters, `${at}.counters`);
}

function* countersRules(counters: CounterSet["counters"], path: string): FieldErrors {
  if (Object.keys(counters ?? {}).length === 0) yield required(path);
  else
    yield* mapRules(counters, path, MAX_COUNTERS, labelRules, ({ value }, at) =>
      amountRules(value ?? "0", `${at}.value`),
    );
}
