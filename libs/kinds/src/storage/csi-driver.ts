import type { CSIDriver, CSIDriverSpec } from "@pilothouse/api/types/storage-v1";
import { checkDns1123Subdomain } from "@pilothouse/selectors/names";
import { AGE, shown } from "../columns.ts";
import {
  duplicate,
  firstErrors,
  immutable,
  invalid,
  invalidEach,
  notSupported,
  required,
  tooLong,
} from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { nextGeneration, startGeneration } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";

const MAX_DRIVER_NAME = 63;
const MODES = ["Persistent", "Ephemeral"];
const MIN_UPDATE_SECONDS = 10;
const FS_GROUP_POLICIES = ["File", "None", "ReadWriteOnceWithFSType"];
const MIN_TOKEN_SECONDS = 600;
const MAX_TOKEN_SECONDS = 2 ** 32;

export const csiDriver: KindDefinition<CSIDriver> = {
  group: "storage.k8s.io",
  version: "v1",
  kind: "CSIDriver",
  resource: "csidrivers",
  singular: "csidriver",
  shortNames: [],
  categories: [],
  namespaced: false,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
  defaults: (driver) => {
    const spec = (driver.spec ??= {});
    spec.attachRequired ??= true;
    spec.podInfoOnMount ??= false;
    spec.storageCapacity ??= false;
    spec.fsGroupPolicy ??= "ReadWriteOnceWithFSType";
    spec.requiresRepublish ??= false;
    spec.seLinuxMount ??= false;
    if ((spec.volumeLifecycleModes ?? []).length === 0) spec.volumeLifecycleModes = ["Persistent"];
  },
  prepareForCreate: startGeneration,
  prepareForUpdate: (driver, old) => nextGeneration(driver, old),
  validate: ({ spec }) => firstErrors(rules(spec)),
  validateUpdate: ({ spec }, old) =>
    firstErrors(
      immutable("spec.attachedRequired", spec.attachRequired, old.spec.attachRequired),
      immutable("spec.volumeLifecycleModes", spec.volumeLifecycleModes, old.spec.volumeLifecycleModes),
    ),
  columns: [
    shown("AttachRequired", ({ spec }) => spec.attachRequired !== false, "Whether its volumes are attached to nodes."),
    shown("PodInfoOnMount", ({ spec }) => spec.podInfoOnMount === true, "Whether it is told of the pod."),
    shown("StorageCapacity", ({ spec }) => spec.storageCapacity === true, "Whether it tells how much there is."),
    shown(
      "TokenRequests",
      ({ spec }) =>
        listed(
          spec.tokenRequests?.map(({ audience }) => audience),
          "<unset>",
        ),
      "For which audiences it gets tokens.",
    ),
    shown("RequiresRepublish", ({ spec }) => spec.requiresRepublish === true, "Whether it is asked again and again."),
    shown("Modes", ({ spec }) => listed(spec.volumeLifecycleModes, "<none>"), "Which lives its volumes may have."),
    AGE,
  ],
  ageColumn: false,
};

/** A DNS name of at most 63 characters, in any case. */
export function* driverNameRules(path: string, name: string | undefined): FieldErrors {
  if (!name) {
    yield required(path);
    return;
  }
  if (name.length > MAX_DRIVER_NAME) yield tooLong(path, MAX_DRIVER_NAME);
  yield* invalidEach(path, name, checkDns1123Subdomain(name.toLowerCase()));
}

function* rules(spec: CSIDriverSpec): FieldErrors {
  const { volumeLifecycleModes = [], fsGroupPolicy, tokenRequests = [] } = spec;
  const { nodeAllocatableUpdatePeriodSeconds: period } = spec;
  if (fsGroupPolicy !== undefined && !FS_GROUP_POLICIES.includes(fsGroupPolicy)) {
    yield notSupported("spec.fsGroupPolicy", fsGroupPolicy, FS_GROUP_POLICIES);
  }
  const seen = new Set<string>();
  for (const [index, { audience, expirationSeconds: seconds }] of tokenRequests.entries()) {
    const at = `spec.tokenRequests[${index}]`;
    if (seen.has(audience)) {
      yield duplicate(`${at}.audience`, audience);
      continue;
    }
    seen.add(audience);
    if (seconds === undefined) continue;
    if (seconds < MIN_TOKEN_SECONDS) {
      yield invalid(`${at}.expirationSeconds`, seconds, "may not specify a duration less than 10 minutes");
    }
    if (seconds > MAX_TOKEN_SECONDS) {
      yield invalid(`${at}.expirationSeconds`, seconds, "may not specify a duration larger than 2^32 seconds");
    }
  }
  for (const mode of volumeLifecycleModes) {
    if (!MODES.includes(mode)) yield notSupported("spec.volumeLifecycleModes", mode, MODES);
  }
  if (period !== undefined && period < MIN_UPDATE_SECONDS) {
    const detail = `must be greater than or equal to ${MIN_UPDATE_SECONDS} seconds`;
    yield invalid("spec.nodeAllocatableUpdatePeriodSeconds", period, detail);
  }
}

function listed(items: readonly string[] | undefined, none: string): string {
  return items === undefined || items.length === 0 ? none : items.join(",");
}
