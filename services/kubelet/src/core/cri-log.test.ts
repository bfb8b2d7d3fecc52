import * as fc from "fast-check";
import { expect, test } from "vitest";
import { LogFormatter } from "./cri-log.ts";

test("one stream of a log alone", () => {
  const lines = ["stdout F a", "stderr F b", "stdout P c", "stdout F d", ""];
  const file = lines.map((line) => (line === "" ? "" : `2026-01-01T00:00:00Z ${line}`)).join("\n");
  const of = (stream: "stdout" | "stderr"): string => {
    const formatter = new LogFormatter({ timestamps: false, sinceMs: 0, limitBytes: undefined, stream });
    return new TextDecoder().decode(formatter.push(new TextEncoder().encode(file)));
  };
  expect([of("stdout"), of("stderr")]).toEqual(["a\ncd\n", "b\n"]);
});

test("log lines in pieces of any size come out the same, partial lines joined", () => {
  const file = [
    "2026-01-01T00:00:00.000000001Z stdout F one",
    "2026-01-01T00:00:01.000000001Z stdout P tw",
    "2026-01-01T00:00:01.000000002Z stdout F o",
    "2026-01-01T00:00:02.000000001Z stderr F ",
    "2026-01-01T00:00:03.000000001Z stderr F thrée",
    "",
  ].join("\n");
  const bytes = new TextEncoder().encode(file);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), fc.boolean(), (sizes, timestamps) => {
      const formatter = new LogFormatter({ timestamps, sinceMs: 0, limitBytes: undefined });
      const parts: number[] = [];
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const size = sizes[i % sizes.length] as number;
        parts.push(...formatter.push(bytes.subarray(at, at + size)));
        at += size;
      }
      const stamp = (second: number): string => (timestamps ? `2026-01-01T00:00:0${second}.000000001Z ` : "");
      const wanted = `${stamp(0)}one\n${stamp(1)}two\n${stamp(2)}\n${stamp(3)}thrée\n`;
      expect(new TextDecoder().decode(Uint8Array.from(parts))).toBe(wanted);
    }),
  );
});
