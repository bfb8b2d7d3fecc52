/** A Job as it may be, and planted faults of whoever counts. */
import { expect, test } from "vitest";
import { JobMonitor, type DoneWork } from "./jobs.ts";
import type { WorkloadEvent } from "./surge.ts";

let revision = 0;
const at = (kind: WorkloadEvent["kind"], type: WorkloadEvent["type"], object: object): WorkloadEvent =>
  ({ revision: ++revision, atMs: 0, kind, type, object }) as WorkloadEvent;
const complete = { conditions: [{ type: "Complete", status: "True" }] };
const job = (status: object = {}, spec: object = { completions: 2, parallelism: 1 }): WorkloadEvent =>
  at("Job", "MODIFIED", { metadata: { name: "work", uid: "j" }, spec, status });
const pod = (uid: string, type: WorkloadEvent["type"], phase = "Running"): WorkloadEvent =>
  at("Pod", type, {
    metadata: { name: `work-${uid}`, uid, ownerReferences: [{ uid: "j", controller: true }] },
    status: { phase },
  });
const done = (podUid: string, index = ""): DoneWork => ({ job: "work", podUid, index });
const one = [job(), pod("a", "ADDED"), pod("a", "MODIFIED", "Succeeded"), job({ succeeded: 1 })];
const two = [...one, pod("b", "ADDED"), pod("b", "MODIFIED", "Succeeded"), job({ succeeded: 2, ...complete })];
const indexed = { completions: 2, parallelism: 2, completionMode: "Indexed" };

function messages(events: readonly WorkloadEvent[], work: readonly DoneWork[]): string[] {
  const monitor = new JobMonitor();
  for (const event of events) monitor.observe(event);
  return monitor.judge(work).map(({ message }) => message);
}

test("two completions, one after the other, are as it should be; work that was done and not counted too", () => {
  expect(messages(two, [done("a"), done("b"), done("c")])).toEqual([]);
});

test("a success that nobody did, or one that was counted twice, is found", () => {
  expect(messages(two, [done("a"), done("a")])).toEqual(["work counts 2 successes, and 1 of its pods did their work"]);
});

test("a success that is forgotten is found", () => {
  expect(messages([...one, job()], [done("a")])).toEqual([
    expect.stringMatching(/^work counted 1 successes, and at revision \d+ only 0$/),
  ]);
});

test("a Job that is complete too early is found", () => {
  expect(messages([...one, job({ succeeded: 1, ...complete })], [done("a")])).toEqual([
    expect.stringMatching(/^work is complete at revision \d+ with 1 of 2 completions$/),
  ]);
});

test("a pod too many, and one that is made after the end, are found", () => {
  expect(messages([job(), pod("a", "ADDED"), pod("b", "ADDED")], [])).toEqual([
    expect.stringMatching(/^pod work-b at revision \d+: work has 2 living pods, 1 at a time are wanted$/),
  ]);
  expect(messages([...two, pod("c", "ADDED")], [done("a"), done("b")])).toEqual([
    expect.stringMatching(/^pod work-c was made at revision \d+; work has been complete since \d+$/),
  ]);
});

test("a Job that was complete stays so", () => {
  expect(messages([...two, job({ succeeded: 2 })], [done("a"), done("b")])).toEqual([
    expect.stringMatching(/^work was complete at revision \d+, and at \d+ is not$/),
  ]);
});

test("an index counts once, and only if its work was done", () => {
  const counted = job({ succeeded: 2, completedIndexes: "0-1", ...complete }, indexed);
  expect(messages([job({}, indexed), counted], [done("a", "0"), done("b", "1"), done("c", "1")])).toEqual([]);
  expect(messages([job({}, indexed), counted], [done("a", "0"), done("c", "0")])).toEqual([
    "work counts indexes whose work nobody did: 1",
  ]);
  const twice = job({ succeeded: 3, completedIndexes: "0,1", ...complete }, indexed);
  expect(messages([job({}, indexed), twice], [done("a", "0"), done("b", "1"), done("c", "1")])).toEqual([
    expect.stringMatching(/^work counts 3 successes of 2 indexes at revision \d+$/),
  ]);
});
