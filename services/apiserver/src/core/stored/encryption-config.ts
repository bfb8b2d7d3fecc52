/**
 * The file of `--encryption-provider-config`: upstream's EncryptionConfiguration, with the providers `aesgcm` and `identity`.
 *
 * Promises: all that is wrong with it is told at once; what is told never holds a key.
 */
import { parseDocument } from "yaml";
import type { EncryptionKey, EncryptionProvider, EncryptionRule } from "./encryption.ts";

export class EncryptionConfigInvalid extends Error {
  override readonly name = "EncryptionConfigInvalid";
  constructor(problems: readonly string[]) {
    super(`invalid EncryptionConfiguration: ${problems.join("; ")}`);
  }
}

const API_VERSION = "apiserver.config.k8s.io/v1";
const KIND = "EncryptionConfiguration";
const KEY_BYTES: readonly number[] = [16, 24, 32];

type Fields = Readonly<Record<string, unknown>>;

/**
 * One rule for each resource that is named, in the order of the file.
 *
 * @throws EncryptionConfigInvalid
 */
export function parseEncryptionConfig(text: string): readonly EncryptionRule[] {
  const problems: string[] = [];
  const document = parseDocument(text, { uniqueKeys: true });
  // The parser's own messages quote the text, and with it keys.
  if (document.errors.length > 0) throw new EncryptionConfigInvalid(["the file is not valid YAML"]);
  const config = fieldsOf(document.toJS({ maxAliasCount: 10 }));
  if (config["apiVersion"] !== API_VERSION) problems.push(`apiVersion: must be ${API_VERSION}`);
  if (config["kind"] !== KIND) problems.push(`kind: must be ${KIND}`);
  const entries = listOf(config["resources"]);
  if (entries.length === 0) problems.push("resources: Required value: must have at least one entry");
  const rules = entries.flatMap((entry, i) => rulesOf(fieldsOf(entry), `resources[${i}]`, problems));
  if (problems.length > 0) throw new EncryptionConfigInvalid(problems);
  return rules;
}

function rulesOf(entry: Fields, path: string, problems: string[]): EncryptionRule[] {
  const resources = listOf(entry["resources"]);
  const given = listOf(entry["providers"]);
  if (resources.length === 0) problems.push(`${path}.resources: Required value`);
  if (given.length === 0) problems.push(`${path}.providers: Required value`);
  const providers = given.flatMap((provider, i) => providerOf(fieldsOf(provider), `${path}.providers[${i}]`, problems));
  return resources.flatMap((resource, i) => {
    if (typeof resource === "string" && /^[^./]+(\.[^/]*)?$/.test(resource))
      return [{ prefix: prefixOf(resource), providers }];
    problems.push(`${path}.resources[${i}]: Invalid value: must be of the form resource.group, *.group or *.*`);
    return [];
  });
}

function providerOf(provider: Fields, path: string, problems: string[]): EncryptionProvider[] {
  const types = Object.keys(provider);
  if (types.length !== 1) {
    problems.push(`${path}: Invalid value: must contain exactly one provider`);
    return [];
  }
  if ("identity" in provider) return [{ type: "identity" }];
  if ("aesgcm" in provider) return [{ type: "aesgcm", keys: keysOf(fieldsOf(provider["aesgcm"]), path, problems) }];
  problems.push(`${path}: Unsupported value: supported values: "aesgcm", "identity"`);
  return [];
}

function keysOf(aesgcm: Fields, path: string, problems: string[]): readonly EncryptionKey[] {
  const given = listOf(aesgcm["keys"]);
  if (given.length === 0) problems.push(`${path}.aesgcm.keys: Required value`);
  const names = new Set<string>();
  return given.flatMap((item, i) => {
    const { name, secret } = fieldsOf(item);
    const at = `${path}.aesgcm.keys[${i}]`;
    if (typeof name !== "string" || name === "" || name.includes(":")) {
      problems.push(`${at}.name: Invalid value: must be a text without ":"`);
      return [];
    }
    if (names.has(name)) problems.push(`${at}.name: Duplicate value`);
    names.add(name);
    const bytes = Buffer.from(typeof secret === "string" ? secret : "", "base64");
    if (KEY_BYTES.includes(bytes.length)) return [{ name, secret: bytes }];
    problems.push(`${at}.secret: Invalid value: must be ${KEY_BYTES.join(", ")} bytes in base64, not ${bytes.length}`);
    return [];
  });
}

/** `secrets`, `deployments.apps`, `*.apps`, `*.` (all of the core group) and `*.*`, as where their keys lie in etcd. */
function prefixOf(resource: string): string {
  const dot = resource.indexOf(".");
  const [name, group] = dot < 0 ? [resource, ""] : [resource.slice(0, dot), resource.slice(dot + 1)];
  if (group === "*") return "/registry/";
  const folder = `/registry/${group === "" ? "core" : group}/`;
  return name === "*" ? folder : `${folder}${name}/`;
}

function fieldsOf(value: unknown): Fields {
  return value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Fields) : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
