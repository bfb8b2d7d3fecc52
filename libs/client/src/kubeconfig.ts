/** Reads the kubeconfig files that Pilothouse writes: certificate authority, and a client certificate or a token. */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Clock } from "@pilothouse/clock";
import { parseDocument } from "yaml";
import { httpsTransport, type HttpsTransport, type HttpsTransportOptions } from "./https.ts";

/** What a kubeconfig's current context says. */
export type Kubeconfig = Omit<HttpsTransportOptions, "clock">;

/** `{ server, ca, … }` of the file's current context. Throws an Error that names the file and what is missing. */
export function loadKubeconfig(path: string, readText = (file: string) => readFileSync(file, "utf8")): Kubeconfig {
  return parseKubeconfig(readText(path), path, readText);
}

/**
 * One transport per apiserver: those named in `servers` (`https://host:port`), or the kubeconfig's own when none is. All are
 * reached with the kubeconfig's credentials.
 */
export function kubeconfigTransports(config: Kubeconfig, servers: readonly string[], clock: Clock): HttpsTransport[] {
  return (servers.length > 0 ? servers : [config.server]).map((server) => httpsTransport({ ...config, server, clock }));
}

/** `path` is for messages, and what file names in the text are relative to. `readText` reads the files it names. */
export function parseKubeconfig(
  text: string,
  path: string,
  readText = (file: string) => readFileSync(file, "utf8"),
): Kubeconfig {
  const config = parsed(text, path);
  const context = section(named(config, "contexts", config["current-context"], path)["context"], "context", path);
  const cluster = section(named(config, "clusters", context["cluster"], path)["cluster"], "cluster", path);
  const user = section(named(config, "users", context["user"], path)["user"], "user", path);
  const server = cluster["server"];
  if (typeof server !== "string") throw new Error(`kubeconfig ${path}: cluster has no server`);
  const pem = (from: Section, field: string): string | undefined => inlineOrFile(from, field, path, readText);
  const ca = pem(cluster, "certificate-authority");
  if (ca === undefined) throw new Error(`kubeconfig ${path}: cluster has no certificate-authority`);
  const clientCertificate = pem(user, "client-certificate");
  const clientKey = pem(user, "client-key");
  return {
    server,
    ca,
    ...(clientCertificate === undefined ? {} : { clientCertificate }),
    ...(clientKey === undefined ? {} : { clientKey }),
    ...(typeof user["token"] === "string" ? { token: user["token"] } : {}),
    ...(typeof user["tokenFile"] === "string" ? { tokenFile: resolve(dirname(path), user["tokenFile"]) } : {}),
  };
}

/** What the file's own `extensions` have under a name; undefined when they have nothing. */
export function kubeconfigExtension(text: string, path: string, name: string): unknown {
  const { extensions } = parsed(text, path);
  if (!Array.isArray(extensions)) return undefined;
  return (extensions as Section[]).find((entry) => entry["name"] === name)?.["extension"];
}

function parsed(text: string, path: string): Section {
  const document = parseDocument(text);
  const problem = document.errors[0];
  if (problem) throw new Error(`kubeconfig ${path}: ${problem.message}`);
  return section(document.toJS({ maxAliasCount: 10 }), "", path);
}

type Section = Readonly<Record<string, unknown>>;

function section(value: unknown, name: string, path: string): Section {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Section;
  throw new Error(`kubeconfig ${path}: ${name === "" ? "the file" : name} is not a mapping`);
}

function named(config: Section, list: string, name: unknown, path: string): Section {
  const entries: unknown = config[list];
  const found = Array.isArray(entries)
    ? (entries as unknown[]).find((entry) => (entry as Section)["name"] === name)
    : undefined;
  if (found === undefined) throw new Error(`kubeconfig ${path}: ${list} has no entry named ${JSON.stringify(name)}`);
  return section(found, list, path);
}

/** `<field>-data` in base64, or the text of the file that `<field>` names. */
function inlineOrFile(
  from: Section,
  field: string,
  path: string,
  readText: (file: string) => string,
): string | undefined {
  const data = from[`${field}-data`];
  if (typeof data === "string") return Buffer.from(data, "base64").toString("utf8");
  const file = from[field];
  return typeof file === "string" ? readText(resolve(dirname(path), file)) : undefined;
}
