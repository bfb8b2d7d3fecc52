import { manualClock } from "@pilothouse/clock/manual";
import { expect, test } from "vitest";
import { LineBuffer } from "./line-buffer.ts";

function setUp() {
  const clock = manualClock();
  const written: string[] = [];
  return { clock, written, buffer: new LineBuffer({ clock, write: (lines) => written.push(lines) }) };
}

test("lines are written together, a tenth of a second after the first", async () => {
  const { clock, written, buffer } = setUp();
  buffer.write("a\n");
  await clock.advance(60);
  buffer.write("b\n");
  await clock.advance(39);
  expect(written).toEqual([]);
  await clock.advance(1);
  expect(written).toEqual(["a\nb\n"]);
  await clock.advance(1_000);
  expect(written).toHaveLength(1);
});

test("many lines do not wait, and none is lost or written twice", async () => {
  const { clock, written, buffer } = setUp();
  const lines = Array.from({ length: 5_000 }, (_, i) => `line ${i}\n`);
  for (const line of lines) buffer.write(line);
  expect(written.length).toBeGreaterThan(1);
  buffer.flush();
  await clock.advance(1_000);
  expect(written.join("")).toBe(lines.join(""));
});
