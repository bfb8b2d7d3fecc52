/** Certificate, key and authorities of one identity, as files that are followed; their ends are told as a metric. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { certificatesIn, expiryMs } from "@pilothouse/pki/bundle";
import type { Clock } from "@pilothouse/clock";
import type { Scope } from "@pilothouse/lifecycle";
import type { Telemetry } from "@pilothouse/telemetry";
import { systemFolders } from "./folders.ts";
import { watchFiles, type WatchedFiles } from "./watched-files.ts";

/** PEM texts; `ca` may hold several certificates. */
export interface TlsTexts {
  readonly certificate?: string;
  readonly key?: string;
  readonly ca?: string;
}

export type TlsPaths = { readonly [part in keyof TlsTexts]: string | undefined };

export interface TlsPorts {
  readonly clock: Clock;
  readonly scope: Scope;
  readonly telemetry: Pick<Telemetry, "log" | "metrics">;
}

/** @param name of the identity, for the log and the metric: `apiserver-serving` */
export function watchTls(name: string, paths: TlsPaths, ports: TlsPorts): WatchedFiles<TlsTexts> {
  return watchTlsSet(
    name,
    (text) => readTls(paths, text),
    (set) => set,
    ports,
  );
}

/** The same for any set of files that TLS texts come from, such as a kubeconfig and what it names. */
export function watchTlsSet<T>(
  name: string,
  read: (text: (path: string) => string) => T,
  tlsOf: (set: T) => TlsTexts,
  { clock, scope, telemetry: { log, metrics } }: TlsPorts,
): WatchedFiles<T> {
  const files = watchFiles(
    {
      name,
      read: (text) => {
        const set = read(text);
        checkTls(tlsOf(set));
        return set;
      },
    },
    { clock, scope, log, folders: systemFolders },
  );
  const expiry = metrics.gauge(
    "pilothouse_certificate_expiry_seconds",
    "When a certificate in use ends, in seconds since the epoch; of several authorities the one that lasts longest.",
    ["name", "part"],
  );
  files.follow((set) => {
    const { certificate, ca } = tlsOf(set);
    if (certificate !== undefined) expiry.set(expiryMs(certificate) / 1_000, { name, part: "certificate" });
    if (ca !== undefined)
      expiry.set(Math.max(...certificatesIn(ca).map(expiryMs)) / 1_000, { name, part: "authority" });
  });
  return files;
}

/** Throws what reading throws; whether the files go together is for `checkTls` to say. */
export function readTls(paths: TlsPaths, text = (path: string): string => systemFolders.text(path)): TlsTexts {
  return {
    ...(paths.certificate === undefined ? {} : { certificate: text(paths.certificate) }),
    ...(paths.key === undefined ? {} : { key: text(paths.key) }),
    ...(paths.ca === undefined ? {} : { ca: text(paths.ca) }),
  };
}

/** Throws an Error that says what does not go together. */
export function checkTls({ certificate, key, ca }: TlsTexts): void {
  if (ca !== undefined) {
    const authorities = certificatesIn(ca);
    if (authorities.length === 0) throw new Error("there is no certificate among the authorities");
    authorities.forEach(expiryMs);
  }
  if (certificate === undefined || key === undefined) return;
  if (!new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key)))
    throw new Error("the key is not the certificate's");
}
