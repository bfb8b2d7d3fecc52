/**
 * `npm run release`: everything of ours that a machine of a cluster needs, as one archive: the pinned runtime, a bundle per
 * program, the local images. Nothing is compiled on a machine, and no npm is needed there.
 *
 * Prints the path of the archive and its version as JSON (for Ansible, with `npm run --silent`); what it is doing goes to
 * standard error. The version ends in a digest of the contents, so that the same contents are never sent twice.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { promisify } from "node:util";
import { buildIfChanged } from "../cluster/bundles.ts";
import { runCommand } from "../cluster/steps.ts";
import { buildImages } from "../images.ts";

const run = promisify(execFile);
const clone = dirname(dirname(import.meta.dirname));
const cache = join(clone, ".cache", "release");
const { version: PACKAGE_VERSION } = JSON.parse(readFileSync(join(clone, "package.json"), "utf8")) as {
  version: string;
};

export interface Release {
  readonly version: string;
  /** Absolute path of a tar.gz whose files lie in `bin`, `dist` and `images`. */
  readonly archive: string;
}

/** Makes the archive, unless one of the same contents is there. */
export async function makeRelease(say: (line: string) => void): Promise<Release> {
  await buildIfChanged(clone);
  const staging = join(cache, "staging");
  rmSync(staging, { recursive: true, force: true });
  cpSync(process.execPath, join(staging, "bin", "node"), { dereference: true });
  // Loading a source map costs a service 30 MB and more; the bundles keep their names and lines.
  cpSync(join(clone, "dist"), join(staging, "dist"), {
    recursive: true,
    filter: (path) => !path.endsWith(".map") && !path.endsWith(".sources"),
  });
  await buildImages(join(staging, "images"));
  const version = `${PACKAGE_VERSION}-${digestOf(staging)}`;
  const archive = join(cache, `pilothouse-${version}.tar.gz`);
  if (!existsSync(archive)) {
    say(`  … packing release ${version}`);
    writeFileSync(join(staging, "VERSION"), `${version}\n`);
    await pack(staging, archive);
  }
  rmSync(staging, { recursive: true });
  return { version, archive };
}

function digestOf(folder: string): string {
  const digest = createHash("sha256");
  const files = readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  for (const file of files) digest.update(`${relative(folder, file)}\n`).update(readFileSync(file));
  return digest.digest("hex").slice(0, 12);
}

/** Beside its place first: an archive that is there is whole. */
async function pack(folder: string, archive: string): Promise<void> {
  const reproducible = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"];
  await run("tar", [...reproducible, "-C", folder, "-czf", `${archive}.making`, "."]);
  renameSync(`${archive}.making`, archive);
}

await runCommand(async () => {
  const release = await makeRelease((line) => process.stderr.write(`${line}\n`));
  process.stdout.write(`${JSON.stringify(release)}\n`);
});
