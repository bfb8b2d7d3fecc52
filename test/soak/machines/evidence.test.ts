import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { LabMachine } from "../../../deploy/lab/layout.ts";
import { EVIDENCE, readEvidence, removeEvidence } from "./evidence.ts";

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

async function machineWith(name: string, files: Readonly<Record<string, string>>): Promise<LabMachine> {
  const diskMount = await mkdtemp(join(tmpdir(), "evidence-"));
  folders.push(diskMount);
  const folder = join(diskMount, "upper", EVIDENCE, "n");
  await mkdir(folder, { recursive: true });
  for (const [file, text] of Object.entries(files)) await writeFile(join(folder, file), text);
  return { name, diskMount } as LabMachine;
}

test("beats are runs from the first to the last; a cut line tells nothing, and a machine without any neither", async () => {
  const machines = [
    await machineWith("a", {
      "beat,db-0,u,r": "10.25\n10.75\n11.3",
      "beat,db-1,v,s": "",
      "done,job-1,w,2": "done\n",
      "done,job-1,x,": "",
    }),
    { name: "b", diskMount: "/nowhere" } as LabMachine,
  ];
  expect(await readEvidence(machines, "n")).toEqual({
    runs: [{ identity: "db-0", podUid: "u", run: "r", machine: "a", fromMs: 10_250, untilMs: 10_750 }],
    done: [{ job: "job-1", podUid: "w", index: "2" }],
  });
});

test("what is removed is one namespace's", async () => {
  const machine = await machineWith("a", { "beat,db-0,u,r": "1.00\n" });
  await removeEvidence([machine], "n");
  expect(await readdir(join(machine.diskMount, "upper", EVIDENCE))).toEqual([]);
});
