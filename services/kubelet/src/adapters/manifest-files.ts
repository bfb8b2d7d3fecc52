/** The manifests of static pods: the files of a directory, or one file. */
import { watch } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Manifest } from "../core/static-pods.ts";
import type { ManifestFiles } from "../flows/ports.ts";

/** No manifest is larger: what is, is no manifest. */
const MAX_BYTES = 1024 * 1024;

/** `path` need not be there yet. Names that begin with a dot are passed over, as upstream's kubelet does. */
export function manifestFiles(path: string): ManifestFiles {
  return {
    async read() {
      const found = await stat(path).catch(unlessMissing);
      if (!found) return [];
      if (!found.isDirectory()) return read([path]);
      const names = (await readdir(path)).filter((name) => !name.startsWith("."));
      return read(names.toSorted((a, b) => (a < b ? -1 : 1)).map((name) => join(path, name)));
    },
    watch(changed) {
      const watchers = [path, dirname(path)].flatMap((place) => {
        try {
          const own = place === path;
          // Above it only its own coming and going is heard.
          const watcher = watch(place, (_, name) => (own || name === basename(path)) && changed());
          watcher.on("error", () => watcher.close());
          return [watcher];
        } catch {
          return [];
        }
      });
      return () => watchers.forEach((watcher) => watcher.close());
    },
  };
}

/** Links are followed: a manifest may be kept elsewhere. What is no file, or gone by now, is left out. */
async function read(paths: readonly string[]): Promise<readonly Manifest[]> {
  const found = await Promise.all(
    paths.map(async (path) => {
      const file = await stat(path).catch(unlessMissing);
      if (!file?.isFile() || file.size > MAX_BYTES) return undefined;
      const content = await readFile(path).catch(unlessMissing);
      return content && { path, content };
    }),
  );
  return found.filter((it) => it !== undefined);
}

function unlessMissing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  return undefined;
}
