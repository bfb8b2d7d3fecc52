/**
 * What kubectls of all ages print, compared with transcripts that say what they print on Kubernetes. `UPDATE_TRANSCRIPTS=1` writes down what
 * is printed here instead: then read the difference, for each line of it is either a fault or was wrong before.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TestCluster } from "../harness/cluster.ts";
import { until } from "../harness/index.ts";
import { realClients, type Client } from "../wire/clients.ts";
import { normal, rewritten, stepsOf } from "./transcript.ts";

/** In `transcripts`. */
const OF_EVERY_KUBECTL = "every-kubectl.txt";
const OF_THE_NEWEST = "newest-kubectl.txt";
const NEWEST = "kubectl 1.36";

export function kubectlTranscripts(cluster: TestCluster): void {
  let clients: readonly Client[] = [];
  let home = "";
  let node = "";

  beforeAll(async () => {
    clients = (await realClients()).found;
    home = mkdtempSync(join(tmpdir(), "kubectl-"));
    node = (await cluster.kubectl("get nodes -o jsonpath={.items[0].metadata.name}")).trim();
  }, 180_000);

  afterAll(() => rmSync(home, { recursive: true }));

  describe.each(["kubectl 1.27", "kubectl 1.28", "kubectl 1.31", "kubectl 1.35", NEWEST])("%s", (name) => {
    const namespace = name.replace(/\W/g, "-");
    const files = name === NEWEST ? [OF_EVERY_KUBECTL, OF_THE_NEWEST] : [OF_EVERY_KUBECTL];

    /** What the command prints, in `sh`, where `kubectl` is this one and works in a namespace of its own. */
    const typed = async (command: string): Promise<string> => {
      const path = clients.find((one) => one.name === name)?.path;
      if (path === undefined) throw new Error(`${name} is not to be had`);
      const settings = [`KUBECTL=${path}`, `HOME=${home}`, `NAMESPACE=${namespace}`, `NODE=${node}`];
      const script = `exec 2>&1
kubectl() { "$KUBECTL" -n "$NAMESPACE" --cache-dir="$HOME/$NAMESPACE" "$@"; }
${command}
code=$?; [ $code = 0 ] || echo "[exit $code]"`;
      const said = normal(await cluster.onNode("env", [...settings, "sh", "-c", script]));
      return said.replaceAll(namespace, "NAMESPACE").replace(new RegExp(`\\b${node}\\b`, "g"), "NODE");
    };

    beforeAll(async () => {
      await cluster.kubectl(`create namespace ${namespace}`);
      const account = `-n ${namespace} get serviceaccounts -o name`;
      await until("its account is there", async () => (await cluster.kubectl(account)) !== "", 10_000);
    }, 30_000);

    afterAll(async () => {
      await cluster.kubectl(`delete namespace ${namespace} --wait=false`);
    }, 30_000);

    test.each(files)("%s", { timeout: 600_000 }, async (file) => {
      const path = join(import.meta.dirname, "transcripts", file);
      const transcript = readFileSync(path, "utf8");
      const minor = Number(name.split(".")[1]);
      const said = new Map<number, string>();
      for (const { line, command, fromMinor, prints } of stepsOf(transcript)) {
        if (minor < fromMinor) continue;
        // Newer ones name the namespace as well; what is common to all of them is what counts.
        const printed = (await typed(command)).replaceAll(
          file === OF_EVERY_KUBECTL ? " from NAMESPACE namespace" : "\0",
          "",
        );
        if (process.env["UPDATE_TRANSCRIPTS"] === "1") said.set(line, printed);
        else expect({ line, command, prints: printed }).toEqual({ line, command, prints });
      }
      if (said.size > 0 && name === NEWEST) writeFileSync(path, rewritten(transcript, said));
    });
  });
}
