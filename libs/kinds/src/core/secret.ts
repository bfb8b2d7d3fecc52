import type { Secret } from "@pilothouse/api/types/core-v1";
import { AGE, shown } from "../columns.ts";
import { firstErrors, immutable, invalid, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { base64Bytes, immutableRules, keyRules, sizeRules } from "./data.ts";

const SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name";

/** Types that promise keys; any other type is the user's own. */
const KEYS_OF_TYPE: ReadonlyMap<string, readonly string[]> = new Map([
  ["kubernetes.io/dockercfg", [".dockercfg"]],
  ["kubernetes.io/dockerconfigjson", [".dockerconfigjson"]],
  ["kubernetes.io/ssh-auth", ["ssh-privatekey"]],
  ["kubernetes.io/tls", ["tls.crt", "tls.key"]],
]);

export const secret: KindDefinition<Secret> = {
  group: "",
  version: "v1",
  kind: "Secret",
  resource: "secrets",
  singular: "secret",
  shortNames: [],
  categories: [],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
  defaults: (secret) => {
    secret.type ||= "Opaque";
    foldStringData(secret);
  },
  prepareForUpdate: (secret, old) => {
    // A client that does not know the type leaves it out: that is no change.
    if (old.type !== undefined && !secret.type) secret.type = old.type;
  },
  validate: (secret) => firstErrors(rules(secret)),
  validateUpdate: (secret, old) => firstErrors(immutable("type", secret.type, old.type), immutableRules(secret, old)),
  selectableFields: ({ type }) => ({ type: type ?? "" }),
  columns: [
    shown("Type", ({ type }) => type ?? "", "Used to facilitate programmatic handling of secret data."),
    shown("Data", ({ data }) => Object.keys(data ?? {}).length, "How many keys it has."),
    AGE,
  ],
  ageColumn: false,
};

/** `stringData` is for writing only: its texts become `data` and it is never seen again. */
function foldStringData(secret: Secret): void {
  for (const [key, text] of Object.entries(secret.stringData ?? {})) {
    secret.data ??= {};
    secret.data[key] = Buffer.from(text).toString("base64");
  }
  delete secret.stringData;
}

function* rules({ type = "", data = {}, metadata }: Secret): FieldErrors {
  yield* keyRules(data, "data");
  yield* sizeRules("data", base64Bytes(data));

  if (type === "kubernetes.io/service-account-token" && !metadata.annotations?.[SERVICE_ACCOUNT_NAME]) {
    yield required(`metadata.annotations[${SERVICE_ACCOUNT_NAME}]`);
  }
  if (type === "kubernetes.io/basic-auth" && data["username"] === undefined && data["password"] === undefined) {
    yield required("data[username]");
    yield required("data[password]");
  }
  for (const key of KEYS_OF_TYPE.get(type) ?? []) {
    const value = data[key];
    if (value === undefined) yield required(`data[${key}]`);
    else if (key.startsWith(".docker") && !isJson(value)) {
      yield invalid(`data[${key}]`, "<secret contents redacted>", "invalid character in JSON");
    }
  }
}

function isJson(base64: string): boolean {
  try {
    JSON.parse(Buffer.from(base64, "base64").toString());
    return true;
  } catch {
    return false;
  }
}
