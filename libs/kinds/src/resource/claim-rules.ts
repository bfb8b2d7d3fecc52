/** What a claim asks for, and what it was given. */
import type {
  AllocatedDeviceStatus,
  AllocationResult,
  DeviceAllocationConfiguration,
  DeviceClaim,
  DeviceClaimConfiguration,
  DeviceConstraint,
  DeviceRequest,
  DeviceRequestAllocationResult,
  DeviceSubRequest,
  ExactDeviceRequest,
  ResourceClaim,
  ResourceClaimConsumerReference,
} from "@pilothouse/api/types/resource-v1";
import { checkDns1123Subdomain } from "@pilothouse/selectors/names";
import {
  forbidden,
  immutable,
  invalid,
  invalidEach,
  notSupported,
  required,
  sameValue,
  tooMany,
} from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { driverNameRules } from "../storage/csi-driver.ts";
import {
  bindingRules,
  configurationRules,
  fullyQualifiedNameRules,
  labelRules,
  nodeSelectorRules,
  poolNameRules,
  rawRules,
  selectorsRules,
  shareIdRules,
  tolerationsRules,
} from "./device-rules.ts";
import { listRules, setRules } from "./list-rules.ts";

const MAX_REQUESTS = 32;
const MAX_CONSTRAINTS = 32;
const MAX_CONFIGURATIONS = 32;
const MAX_ALTERNATIVES = 8;
const MAX_RESULTS = 32;
const MAX_CONSUMERS = 256;
const MAX_CONDITIONS = 8;
const MAX_DATA = 10 * 1024;
const MODES = ["All", "ExactCount"];
const SOURCES = ["FromClaim", "FromClass"];
const NO_SUCH_REQUEST =
  "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";

/** What defaults fill in for a request or for one of its alternatives. In place. */
export function defaultRequests(claim: DeviceClaim | undefined): void {
  for (const { exactly, firstAvailable } of claim?.requests ?? []) {
    for (const one of [...(exactly ? [exactly] : []), ...(firstAvailable ?? [])]) {
      one.allocationMode ||= "ExactCount";
      if (one.allocationMode === "ExactCount") one.count ||= 1;
      for (const toleration of one.tolerations ?? []) toleration.operator ||= "Equal";
    }
  }
}

export function* claimRules(claim: DeviceClaim | undefined, path: string): FieldErrors {
  const { requests, constraints, config } = claim ?? { requests: [] };
  const names = requestNames(requests);
  yield* setRules(requests, `${path}.requests`, MAX_REQUESTS, ({ name }) => name, requestRules);
  yield* listRules(constraints, `${path}.constraints`, MAX_CONSTRAINTS, (one, at) => constraintRules(one, at, names));
  yield* listRules(config, `${path}.config`, MAX_CONFIGURATIONS, (one, at) => usedByRules(one, at, names));
}

/** `request` and `request/alternative`. */
type Names = ReadonlySet<string>;

function requestNames(requests: readonly DeviceRequest[] | undefined): Names {
  return new Set(
    (requests ?? []).flatMap(({ name, firstAvailable }) => [
      name,
      ...(firstAvailable ?? []).map((one) => `${name}/${one.name}`),
    ]),
  );
}

function* requestRules({ name, exactly, firstAvailable }: DeviceRequest, at: string): FieldErrors {
  yield* labelRules(name ?? "", `${at}.name`);
  const hasAlternatives = (firstAvailable ?? []).length > 0;
  const oneIsRequired = "exactly one of `exactly` or `firstAvailable` is required";
  if (exactly && hasAlternatives) yield invalid(at, undefined, `${oneIsRequired}, but multiple fields are set`);
  else if (exactly) yield* wantedRules(exactly, `${at}.exactly`);
  else if (hasAlternatives)
    yield* setRules(firstAvailable, `${at}.firstAvailable`, MAX_ALTERNATIVES, (one) => one.name, alternativeRules);
  else yield required(at, oneIsRequired);
}

function* alternativeRules(alternative: DeviceSubRequest, at: string): FieldErrors {
  yield* labelRules(alternative.name ?? "", `${at}.name`);
  yield* wantedRules(alternative, at);
}

function* wantedRules(
  { deviceClassName, selectors, allocationMode = "", count = 0, tolerations }: ExactDeviceRequest | DeviceSubRequest,
  at: string,
): FieldErrors {
  if (!deviceClassName) yield required(`${at}.deviceClassName`);
  else yield* invalidEach(`${at}.deviceClassName`, deviceClassName, checkDns1123Subdomain(deviceClassName));
  yield* selectorsRules(selectors, `${at}.selectors`);
  if (allocationMode === "All") {
    if (count !== 0) yield invalid(`${at}.count`, count, "must not be specified when allocationMode is 'All'");
  } else if (allocationMode === "ExactCount") {
    if (count <= 0) yield invalid(`${at}.count`, count, "must be greater than zero");
  } else yield notSupported(`${at}.allocationMode`, allocationMode, MODES);
  yield* tolerationsRules(tolerations, `${at}.tolerations`);
}

function* constraintRules({ requests, matchAttribute, distinctAttribute }: DeviceConstraint, at: string, names: Names) {
  yield* referencesRules(requests, `${at}.requests`, names);
  if (matchAttribute !== undefined) yield* fullyQualifiedNameRules(matchAttribute, `${at}.matchAttribute`);
  else if (distinctAttribute !== undefined)
    yield* fullyQualifiedNameRules(distinctAttribute, `${at}.distinctAttribute`);
  else {
    const detail = 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set';
    yield required(at, detail);
  }
}

function* usedByRules(config: DeviceClaimConfiguration | DeviceAllocationConfiguration, at: string, names: Names) {
  yield* referencesRules(config.requests, `${at}.requests`, names);
  yield* configurationRules(config, at);
}

function* referencesRules(references: readonly string[] | undefined, path: string, names: Names): FieldErrors {
  yield* setRules(
    references,
    path,
    MAX_REQUESTS,
    (name) => name,
    (name, at) => referenceRules(name, at, names),
  );
}

function* referenceRules(name: string, at: string, names: Names): FieldErrors {
  const segments = name.split("/");
  if (segments.length <= 2) for (const segment of segments) yield* labelRules(segment, at);
  if (!names.has(name)) yield invalid(at, name, NO_SUCH_REQUEST);
}

/** Who gives devices out may write, by whom they are used, and of which state they are. */
export function* claimStatusRules({ metadata, spec, status = {} }: ResourceClaim, old: ResourceClaim): FieldErrors {
  const { allocation, reservedFor = [], devices } = status;
  const before = old.status ?? {};
  yield* setRules(reservedFor, "status.reservedFor", MAX_CONSUMERS, ({ uid }) => uid, consumerRules);
  const allocated = new Set((allocation?.devices?.results ?? []).map(idOf));
  yield* setRules(devices, "status.devices", Infinity, idOf, (one, at) => deviceStatusRules(one, at, allocated));
  if (reservedFor.length > 0 && !allocation)
    yield forbidden("status.reservedFor", "may not be specified when `allocated` is not set");
  else if (metadata.deletionTimestamp !== undefined) {
    const added = reservedFor.some((one) => !(before.reservedFor ?? []).some((other) => sameValue(one, other)));
    const detail = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
    if (added) yield forbidden("status.reservedFor", detail);
  }
  if (allocation && before.allocation) yield* immutable("status.allocation", allocation, before.allocation);
  else if (allocation) yield* allocationRules(allocation, requestNames(spec.devices?.requests));
}

function* consumerRules(consumer: ResourceClaimConsumerReference, at: string): FieldErrors {
  for (const field of ["resource", "name", "uid"] as const) if (!consumer[field]) yield required(`${at}.${field}`);
}

const idOf = ({ driver, pool, device, shareID }: AllocatedDeviceStatus | DeviceRequestAllocationResult): string =>
  [driver, pool, device, ...(shareID === undefined ? [] : [shareID])].join("/");

function* allocationRules({ devices, nodeSelector }: AllocationResult, names: Names): FieldErrors {
  const path = "status.allocation";
  yield* listRules(devices?.results, `${path}.devices.results`, MAX_RESULTS, (one, at) => resultRules(one, at, names));
  yield* listRules(devices?.config, `${path}.devices.config`, 2 * MAX_CONFIGURATIONS, function* (one, at) {
    if (!one.source) yield required(`${at}.source`);
    else if (!SOURCES.includes(one.source)) yield notSupported(`${at}.source`, one.source, SOURCES);
    yield* usedByRules(one, at, names);
  });
  if (nodeSelector) yield* nodeSelectorRules(nodeSelector, `${path}.nodeSelector`);
}

function* resultRules(result: DeviceRequestAllocationResult, at: string, names: Names): FieldErrors {
  yield* referenceRules(result.request ?? "", `${at}.request`, names);
  yield* driverNameRules(`${at}.driver`, result.driver);
  yield* poolNameRules(result.pool, `${at}.pool`);
  yield* labelRules(result.device ?? "", `${at}.device`);
  yield* bindingRules(result, at);
  yield* tolerationsRules(result.tolerations, `${at}.tolerations`);
  yield* shareIdRules(result.shareID, `${at}.shareID`);
}

function* deviceStatusRules(status: AllocatedDeviceStatus, at: string, allocated: ReadonlySet<string>): FieldErrors {
  yield* driverNameRules(`${at}.driver`, status.driver);
  yield* poolNameRules(status.pool, `${at}.pool`);
  yield* labelRules(status.device ?? "", `${at}.device`);
  yield* shareIdRules(status.shareID, `${at}.shareID`);
  if (!allocated.has(idOf(status))) yield invalid(at, idOf(status), "must be an allocated device in the claim");
  const { conditions, data } = status;
  const count = (conditions ?? []).length;
  if (count > MAX_CONDITIONS) yield tooMany(`${at}.conditions`, count, MAX_CONDITIONS);
  if (data !== undefined && data !== null) yield* rawRules(data, `${at}.data`, MAX_DATA);
}
