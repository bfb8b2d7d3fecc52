/** Rules for the environment of a container. */
import type { EnvFromSource, EnvVar, EnvVarSource, FileKeySelector } from "@pilothouse/api/types/core-v1";
import {
  checkDns1123Label,
  checkDns1123Subdomain,
  checkEnvVarName,
  maskTrailingDash,
} from "@pilothouse/selectors/names";
import { invalid, invalidEach, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { localPathRules } from "./path-rules.ts";
import { fieldRefRules, keyRefRules, resourceFieldRules } from "./reference-rules.ts";

const TOO_MANY = "may not have more than one field specified at a time";

export function* envRules(env: readonly EnvVar[], path: string): FieldErrors {
  for (const [index, variable] of env.entries()) {
    const at = `${path}[${index}]`;
    if (!variable.name) yield required(`${at}.name`);
    else yield* invalidEach(`${at}.name`, variable.name, checkEnvVarName(variable.name));
    if (variable.valueFrom) yield* valueFromRules(variable, variable.valueFrom, `${at}.valueFrom`);
  }
}

function* valueFromRules({ value }: EnvVar, source: EnvVarSource, path: string): FieldErrors {
  const sources = Object.values(source).filter((one) => one !== undefined && one !== null).length;
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef, fileKeyRef } = source;
  if (fieldRef) yield* fieldRefRules(fieldRef, `${path}.fieldRef`, "env");
  if (resourceFieldRef) yield* resourceFieldRules(resourceFieldRef, `${path}.resourceFieldRef`, "env");
  if (configMapKeyRef) yield* keyRefRules(configMapKeyRef, `${path}.configMapKeyRef`);
  if (secretKeyRef) yield* keyRefRules(secretKeyRef, `${path}.secretKeyRef`);
  if (fileKeyRef) yield* fileKeyRules(fileKeyRef, `${path}.fileKeyRef`);
  if (sources === 0) {
    yield invalid(
      path,
      "",
      "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
    );
  } else if (value) yield invalid(path, "", "may not be specified when `value` is not empty");
  else if (sources > 1) yield invalid(path, "", TOO_MANY);
}

function* fileKeyRules({ key, volumeName, path: file }: FileKeySelector, path: string): FieldErrors {
  if (!key) yield required(`${path}.key`);
  else yield* invalidEach(`${path}.key`, key, checkEnvVarName(key));
  if (!volumeName) yield required(`${path}.volumeName`);
  else yield* invalidEach(`${path}.volumeName`, volumeName, checkDns1123Label(volumeName));
  if (!file) yield required(`${path}.path`);
  else yield* localPathRules(file, `${path}.path`, "nonReserved");
}

export function* envFromRules(sources: readonly EnvFromSource[], path: string): FieldErrors {
  for (const [index, { prefix, configMapRef, secretRef }] of sources.entries()) {
    const at = `${path}[${index}]`;
    if (prefix) yield* invalidEach(`${at}.prefix`, prefix, checkEnvVarName(prefix));
    if (configMapRef) yield* sourceNameRules(configMapRef.name, `${at}.configMapRef.name`);
    if (secretRef) yield* sourceNameRules(secretRef.name, `${at}.secretRef.name`);
    if (!configMapRef && !secretRef) yield invalid(path, "", "must specify one of: `configMapRef` or `secretRef`");
    else if (configMapRef && secretRef) yield invalid(path, "", TOO_MANY);
  }
}

/** Upstream judges it as the beginning of a name. */
function* sourceNameRules(name: string | undefined, path: string): FieldErrors {
  if (!name) yield required(path);
  else yield* invalidEach(path, name, checkDns1123Subdomain(maskTrailingDash(name)));
}
