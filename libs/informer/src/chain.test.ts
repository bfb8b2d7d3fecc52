import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { judge, type ChainPosition, type ChainStep } from "./chain.ts";

const change = (revision: number, previous: number, number = 1, of = 1): ChainStep => ({
  type: "change",
  revision,
  previous,
  part: { number, of },
});

describe("a chain", () => {
  const rows: [string, ChainPosition, ChainStep, ReturnType<typeof judge>["verdict"], number][] = [
    ["the next change applies", { whole: 10 }, change(12, 10), "apply", 12],
    ["so does one whose predecessor lies before a list", { whole: 10 }, change(12, 7), "apply", 12],
    ["a known one is a duplicate", { whole: 10 }, change(10, 7), "duplicate", 10],
    ["one whose predecessor was missed is a gap", { whole: 10 }, change(15, 12), "gap", 10],
    ["nothing joins a chain that does not say where it began", { whole: 10 }, change(15, 0), "gap", 10],
    ["a bookmark moves on", { whole: 10 }, { ...change(20, 8), type: "bookmark" }, "apply", 20],
    ["a bookmark shows what was missed", { whole: 10 }, { ...change(20, 12), type: "bookmark" }, "gap", 10],
    ["half a revision is not whole", { whole: 10 }, change(12, 10, 1, 2), "apply", 10],
  ];
  it.each(rows)("%s", (_name, position, step, verdict, whole) => {
    expect(judge(position, step)).toMatchObject({ verdict, position: { whole } });
  });

  it("is whole after all parts of a revision, in any order, and shows a missed one", () => {
    const first = judge({ whole: 10 }, change(12, 10, 2, 2));
    expect(judge(first.position, change(12, 10, 2, 2)).verdict).toBe("duplicate");
    expect(judge(first.position, change(13, 12)).verdict).toBe("gap");
    expect(judge(first.position, change(12, 10, 1, 2))).toEqual({ verdict: "apply", position: { whole: 12 } });
  });

  it("never skips a change, whatever is lost, doubled or reordered", () => {
    const steps = Array.from({ length: 8 }, (_, i) => change(10 + 2 * (i + 1), 10 + 2 * i));
    const delivery = fc.array(fc.constantFrom(...steps), { maxLength: 20 });
    fc.assert(
      fc.property(delivery, (messages) => {
        let position: ChainPosition = { whole: 10 };
        const applied: number[] = [];
        for (const message of messages) {
          const result = judge(position, message);
          if (result.verdict === "apply") applied.push(message.revision);
          position = result.position;
        }
        expect(applied).toEqual(steps.slice(0, applied.length).map(({ revision }) => revision));
      }),
    );
  });
});
