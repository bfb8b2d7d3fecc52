/** Rules for a projected volume: files of several sources in one directory. */
import type {
  ClusterTrustBundleProjection,
  ProjectedVolumeSource,
  ServiceAccountTokenProjection,
  VolumeProjection,
} from "@pilothouse/api/types/core-v1";
import { forbidden, invalid, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { labelSelectorRules } from "../meta.ts";
import { downwardFileRules, itemsRules } from "./file-rules.ts";
import { localPathRules, modeRules } from "./path-rules.ts";

/** Ten minutes: a token that expires sooner could not be renewed in time. */
const MIN_TOKEN_SECONDS = 600;
const MAX_TOKEN_SECONDS = 2 ** 32;

export function* projectedRules(
  { sources = [], defaultMode }: Partial<ProjectedVolumeSource>,
  path: string,
): FieldErrors {
  yield* modeRules(defaultMode, `${path}.defaultMode`);
  const taken = new Set<string>();
  for (const [index, source] of sources.entries()) {
    const at = `${path}.sources[${index}]`;
    yield* keyedRules(source, "secret", taken, path, at);
    yield* keyedRules(source, "configMap", taken, path, at);
    for (const file of source.downwardAPI?.items ?? []) {
      yield* downwardFileRules(file, `${at}.downwardAPI`);
      yield* takeRules(file.path, file.path, taken, path);
    }
    if (source.serviceAccountToken) yield* tokenRules(source.serviceAccountToken, path, `${at}.serviceAccountToken`);
    if (source.clusterTrustBundle) {
      yield* trustBundleRules(source.clusterTrustBundle, `${at}.clusterTrustBundle`);
      yield* takeRules(source.clusterTrustBundle.path, source.clusterTrustBundle.path, taken, path);
    }
    if (Object.values(source).filter((one) => one !== undefined).length > 1) {
      yield forbidden(at, "may not specify more than 1 volume type per source");
    }
  }
}

function* keyedRules(
  source: VolumeProjection,
  kind: "secret" | "configMap",
  taken: Set<string>,
  path: string,
  at: string,
): FieldErrors {
  const projection = source[kind];
  if (!projection) return;
  const { name = "", items = [] } = projection;
  if (!name) yield required(`${at}.${kind}.name`);
  yield* itemsRules(items, `${at}.${kind}`);
  for (const item of items) yield* takeRules(item.path, name, taken, path);
}

/** @param value what is shown of the source whose file has the path of another one's */
function* takeRules(file: string | undefined, value: string, taken: Set<string>, path: string): FieldErrors {
  if (!file) return;
  if (taken.has(file)) yield invalid(path, value, "conflicting duplicate paths");
  taken.add(file);
}

/** @param path of the volume, below which upstream names the token's own path */
function* tokenRules(
  { expirationSeconds = 0, path: file }: ServiceAccountTokenProjection,
  path: string,
  at: string,
): FieldErrors {
  const field = `${at}.expirationSeconds`;
  if (expirationSeconds < MIN_TOKEN_SECONDS) {
    yield invalid(field, expirationSeconds, "may not specify a duration less than 10 minutes");
  }
  if (expirationSeconds > MAX_TOKEN_SECONDS) {
    yield invalid(field, expirationSeconds, "may not specify a duration larger than 2^32 seconds");
  }
  if (!file) yield required(`${path}.path`);
  else yield* localPathRules(file, `${path}.path`, "nonReserved");
}

function* trustBundleRules(bundle: ClusterTrustBundleProjection, path: string): FieldErrors {
  const { name, signerName, labelSelector, path: file } = bundle;
  if (name !== undefined && signerName !== undefined) {
    yield invalid(path, bundle, "only one of name and signerName may be used");
  } else if (name !== undefined) {
    if (name === "") yield required(`${path}.name`, "must be a valid object name");
    if (labelSelector) {
      yield invalid(`${path}.labelSelector`, labelSelector, "labelSelector must be unset if name is specified");
    }
  } else if (signerName !== undefined) {
    if (signerName === "") yield required(`${path}.signerName`, "must be a valid signer name");
    yield* labelSelectorRules(labelSelector, `${path}.labelSelector`);
  } else yield required(path, "either name or signerName must be specified");
  if (!file) yield required(`${path}.path`);
  else yield* localPathRules(file, `${path}.path`, "nonReserved");
}
