import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { failureOf, inputOf } from "./judge.ts";
import { shrink } from "./shrink.ts";
import { targetNamed, targets } from "./targets/index.ts";
import type { Input, Target } from "./target.ts";

describe("every target", () => {
  it.each(targets.map((target) => [target.name, target] as const))(
    "%s draws the same case from the same seed",
    (_, target) => {
      expect(inputOf(target, "7", 3)).toEqual(inputOf(target, "7", 3));
      const drawn = Array.from({ length: 20 }, (_, index) => JSON.stringify(inputOf(target, "7", index)));
      expect(new Set(drawn).size).toBeGreaterThan(10);
    },
  );

  it.each(targets.map((target) => [target.name, target] as const))("%s holds in its first cases", async (_, target) => {
    for (let index = 0; index < 10; index++)
      expect(await failureOf(target, inputOf(target, "1", index))).toBeUndefined();
  });
});

describe("what the fuzzer has found", () => {
  const folder = new URL("regressions/", import.meta.url);

  it.each(readdirSync(folder))("%s stays mended", async (name) => {
    const { target, input } = JSON.parse(readFileSync(new URL(name, folder), "utf8")) as Found;
    expect(await failureOf(targetNamed(target), input)).toBeUndefined();
  });
});

interface Found {
  readonly target: string;
  readonly input: Input;
}

describe("the fuzzer itself", () => {
  it("finds a property that does not hold, and makes its input as small as it can be", async () => {
    const planted = target(([text = ""]) => {
      if (text.includes("x") && text.includes("y")) throw new Error(`broken by ${text.length} characters`);
    });
    const input = ["aaaaaaaaaaxaaaaaaaaaaaaaayaaa"];
    const failure = await failureOf(planted, input);
    expect(failure).toContain("broken by 29 characters");
    expect(await shrink(planted, input, failure as string)).toEqual(["xy"]);
  });

  it("finds what is slow", async () => {
    const slow = target(() => {
      const started = process.threadCpuUsage();
      while (process.threadCpuUsage(started).user < 300_000);
    });
    expect(await failureOf(slow, ["x"])).toContain("too slow");
  });

  it("finds a prototype that has got new keys", async () => {
    const holder = Object.prototype as Record<string, unknown>;
    const polluting = target(() => void (holder["polluted"] = true));
    try {
      expect(await failureOf(polluting, ["x"])).toContain("prototype");
    } finally {
      delete holder["polluted"];
    }
  });
});

function target(check: Target["check"]): Target {
  return { name: "planted", casesInTests: 1, parts: ["text"], input: () => ["x"], check };
}
