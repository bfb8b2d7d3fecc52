/** The bundles of a clone: made again when a source file, or the lock file, changed since the last time. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { buildAll } from "../commands/build.ts";

/** Bundles every program of `clone` into `<clone>/dist`, unless what is there was made from the same sources. */
export async function buildIfChanged(clone: string): Promise<void> {
  const stamp = join(clone, "dist", ".sources");
  const sources = sourcesDigest(clone);
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === sources) return;
  await buildAll();
  writeFileSync(stamp, sources);
}

function sourcesDigest(clone: string): string {
  const digest = createHash("sha256");
  const walk = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(folder, entry.name);
      if (entry.isDirectory() && entry.name !== "node_modules") walk(path);
      else if (/\.(ts|json)$/.test(entry.name) && !entry.name.endsWith(".test.ts"))
        digest.update(relative(clone, path)).update(readFileSync(path));
    }
  };
  for (const folder of ["libs", "services", "deploy"]) walk(join(clone, folder));
  return digest.update(readFileSync(join(clone, "package-lock.json"))).digest("hex");
}
