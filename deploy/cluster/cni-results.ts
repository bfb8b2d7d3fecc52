/**
 * What CNI remembers of each sandbox's interfaces, in a folder that all clusters of a machine share. The runtime removes a sandbox's
 * files with the sandbox; where it was ended by a power cut, they stay.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const RESULTS = "/var/lib/cni/results";

/** Paths of the files of sandboxes that have, or had, an interface on the bridge. */
export function cniResultsOf(bridge: string, folder = RESULTS): readonly string[] {
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder).map((name) => ({ path: join(folder, name), ...contentOf(join(folder, name)) }));
  const sandboxes = new Set(files.filter(({ config }) => config.includes(`"${bridge}"`)).map(({ sandbox }) => sandbox));
  // A sandbox's loopback interface has a file of its own, which names no bridge.
  return files.filter(({ sandbox }) => sandboxes.has(sandbox)).map(({ path }) => path);
}

/** Of a file that is not whole, or gone by now: nothing. */
function contentOf(path: string): { readonly sandbox: string; readonly config: string } {
  try {
    const { containerId, config } = JSON.parse(readFileSync(path, "utf8")) as { containerId: string; config: string };
    return { sandbox: containerId, config: Buffer.from(config, "base64").toString() };
  } catch {
    return { sandbox: "", config: "" };
  }
}
