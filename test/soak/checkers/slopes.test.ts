import { expect, test } from "vitest";
import { judgeSlopes, slopesOf, type ProcessSample } from "./slopes.ts";

const EVERY_MS = 10_000;
const MB = 2 ** 20;

function samples(hours: number, rssAt: (hour: number) => number, handlesAt: (hour: number) => number): ProcessSample[] {
  return Array.from({ length: (hours * 3_600_000) / EVERY_MS }, (_, i) => {
    const hour = (i * EVERY_MS) / 3_600_000;
    const [rssBytes, handles] = [rssAt(hour), handlesAt(hour)];
    return { machine: "master-1", process: "apiserver", pid: 7, atMs: i * EVERY_MS, rssBytes, handles };
  });
}
const messages = (some: readonly ProcessSample[]): string[] =>
  judgeSlopes(slopesOf(some)).map(({ message }) => message);
/** Up and down by a fifth, as a collected heap goes. */
const sawtooth = (hour: number): number => 100 * MB * (1 + 0.2 * ((hour * 20) % 1));

test("a heap that rises and is collected, a warm-up and a burst are no leaks", () => {
  expect(messages(samples(3, sawtooth, () => 30))).toEqual([]);
  expect(
    messages(
      samples(
        3,
        (hour) => sawtooth(hour) * Math.min(1, 0.5 + hour * 6),
        () => 30,
      ),
    ),
  ).toEqual([]);
  expect(
    messages(
      samples(
        3,
        (hour) => sawtooth(hour) * (hour > 1 && hour < 1.2 ? 3 : 1),
        () => 30,
      ),
    ),
  ).toEqual([]);
});

test("memory and handles that grow slowly are found", () => {
  expect(
    messages(
      samples(
        3,
        (hour) => sawtooth(hour) * (1 + 0.05 * hour),
        () => 30,
      ),
    ),
  ).toEqual([expect.stringMatching(/^apiserver on master-1: its memory grows by 4\.\d+ % an hour over 2\.9 h$/)]);
  expect(messages(samples(3, sawtooth, (hour) => Math.floor(30 + 10 * hour)))).toEqual([
    expect.stringMatching(/^apiserver on master-1: its handles grow by \d+\.\d an hour over 2\.9 h$/),
  ]);
});

test("a process that was started anew is another one, and a short life is told but not judged", () => {
  const restarted = samples(1, sawtooth, () => 30).map((it) => ({ ...it, pid: it.atMs < 1_800_000 ? 7 : 8 }));
  expect(slopesOf(restarted).map(({ pid }) => pid)).toEqual([7, 8]);
  const short = samples(
    0.5,
    (hour) => 100 * MB * (1 + hour),
    () => 30,
  );
  expect(slopesOf(short)[0]?.rssPercentPerHour).toBeGreaterThan(50);
  expect(messages(short)).toEqual([]);
});
