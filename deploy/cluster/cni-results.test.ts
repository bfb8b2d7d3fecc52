import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { cniResultsOf } from "./cni-results.ts";

const folder = mkdtempSync(join(tmpdir(), "ph-cni-"));
afterAll(() => rmSync(folder, { recursive: true }));

function remember(name: string, containerId: string, config: object): void {
  const text = Buffer.from(JSON.stringify(config)).toString("base64");
  writeFileSync(join(folder, name), JSON.stringify({ containerId, config: text }));
}

test("a cluster's files are those of its bridge's sandboxes, their loopbacks too, and nobody else's", () => {
  for (const [sandbox, bridge] of [
    ["a1", "ph1"],
    ["b2", "ph12"],
  ] as const) {
    remember(`pilothouse-${sandbox}-eth0`, sandbox, { plugins: [{ type: "bridge", bridge }] });
    remember(`cni-loopback-${sandbox}-lo`, sandbox, { plugins: [{ type: "loopback" }] });
  }
  writeFileSync(join(folder, "half-written"), '{"containerId": "a');
  expect(cniResultsOf("ph1", folder).map((path) => basename(path))).toEqual([
    "cni-loopback-a1-lo",
    "pilothouse-a1-eth0",
  ]);
  expect(cniResultsOf("ph3", folder)).toEqual([]);
  expect(cniResultsOf("ph3", join(folder, "absent"))).toEqual([]);
});
