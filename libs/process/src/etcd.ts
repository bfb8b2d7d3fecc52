/** The etcd connection of a process that has one. */
import { readFileSync } from "node:fs";
import type { Clock } from "@pilothouse/clock";
import type { Settings, Values } from "@pilothouse/config";
import type { Store } from "@pilothouse/store";
import { etcdStore } from "@pilothouse/store-etcd";

export const etcdSettings = {
  "etcd-servers": { type: "list", help: "URLs of the etcd members.", default: ["http://127.0.0.1:2379"] },
  "etcd-ca-file": { type: "string", help: "Authority that signed the etcd members' certificates." },
  "etcd-cert-file": { type: "string", help: "Client certificate for etcd." },
  "etcd-key-file": { type: "string", help: "Key of the client certificate for etcd." },
} as const satisfies Settings;

/** Connects lazily: an etcd that is not there yet is waited for by each call's own deadline. */
export function openEtcd(values: Values<typeof etcdSettings>, clock: Clock): Store {
  const { "etcd-ca-file": ca, "etcd-cert-file": cert, "etcd-key-file": key } = values;
  const tls =
    ca && cert && key ? { tls: { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key) } } : {};
  return etcdStore({ endpoints: values["etcd-servers"], clock, ...tls });
}
