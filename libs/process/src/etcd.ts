/** The etcd connection of a process that has one. */
import type { Settings, Values } from "@pilothouse/config";
import type { Store } from "@pilothouse/store";
import { etcdStore, type TlsFiles } from "@pilothouse/store-etcd";
import { watchTls, type TlsPorts, type TlsTexts } from "./tls-files.ts";

export const etcdSettings = {
  "etcd-servers": { type: "list", help: "URLs of the etcd members.", default: ["http://127.0.0.1:2379"] },
  "etcd-ca-file": { type: "string", help: "Authority that signed the etcd members' certificates." },
  "etcd-cert-file": { type: "string", help: "Client certificate for etcd." },
  "etcd-key-file": { type: "string", help: "Key of the client certificate for etcd." },
} as const satisfies Settings;

/** Connects lazily: an etcd that is not there yet is waited for by each call's own deadline. Closed by the scope or before. */
export function openEtcd(values: Values<typeof etcdSettings>, ports: TlsPorts): Store {
  const { "etcd-ca-file": ca, "etcd-cert-file": certificate, "etcd-key-file": key, "etcd-servers": endpoints } = values;
  const { clock } = ports;
  if (!ca || !certificate || !key) return etcdStore({ endpoints, clock });
  const files = watchTls("etcd-client", { ca, certificate, key }, ports);
  const store = etcdStore({ endpoints, clock, tls: etcdTls(files.current()) });
  files.follow((texts) => store.renew(etcdTls(texts)));
  return store;
}

function etcdTls({ ca = "", certificate = "", key = "" }: TlsTexts): TlsFiles {
  return { ca: Buffer.from(ca), cert: Buffer.from(certificate), key: Buffer.from(key) };
}
