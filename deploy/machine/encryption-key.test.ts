import * as fc from "fast-check";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { leadKeys, type KeyPhase } from "./encryption-key.ts";

const PHASES: readonly KeyPhase[] = ["add", "use", "drop"];

function configuration(...names: readonly string[]): string {
  const keys = names.map((name) => `            - name: ${name}\n              secret: of-${name}\n`).join("");
  return `# How Secrets lie in etcd.
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers:
      - aesgcm:
          keys:
${keys}      - identity: {}
`;
}

/** Of each phase in turn: the names of the keys. */
function rotate(text: string): readonly (readonly string[])[] {
  const all = [];
  let now = text;
  for (const phase of PHASES) {
    const led = leadKeys(now, phase, () => "fresh");
    all.push(led.keys);
    now = led.text;
  }
  return all;
}

test("one key becomes another in three phases", () => {
  expect(rotate(configuration("key1"))).toEqual([["key1", "key2"], ["key2", "key1"], ["key2"]]);
  expect(rotate(configuration("mine"))).toEqual([["mine", "key1"], ["key1", "mine"], ["key1"]]);
});

test("whoever wrote last is read by apiservers one phase behind and one ahead, whatever keys there were", () => {
  const names = fc.uniqueArray(fc.constantFrom("key1", "key2", "key9", "mine", "yours"), { minLength: 1 });
  fc.assert(
    fc.property(names, (before) => {
      const states = [before, ...rotate(configuration(...before))];
      for (const [i, state] of states.entries())
        for (const other of [states[i - 1], states[i + 1]]) if (other) expect(other).toContain(state[0]);
      expect(states.at(-1)).toHaveLength(1);
      expect(before.length > 1 || !states.at(-1)?.includes(before[0] as string)).toBe(true);
    }),
  );
});

test("a phase that was taken is not taken again, and changes not a byte", () => {
  let text = configuration("key1");
  for (const phase of PHASES) {
    text = leadKeys(text, phase, () => "fresh").text;
    const again = leadKeys(text, phase, () => expect.unreachable("a key was made"));
    if (phase !== "drop") expect(again.text).toBe(text);
  }
  expect(leadKeys(text, "use", () => "never").text).toBe(text);
});

test("what else the file says stays as it is", () => {
  const { text } = leadKeys(configuration("key1"), "add", () => "ZnJlc2g=");
  expect(text).toContain("# How Secrets lie in etcd.");
  const { resources } = parse(text) as { resources: readonly { providers: readonly object[] }[] };
  const keys = [
    { name: "key1", secret: "of-key1" },
    { name: "key2", secret: "ZnJlc2g=" },
  ];
  expect(resources[0]?.providers).toEqual([{ aesgcm: { keys } }, { identity: {} }]);
});

test("nothing is dropped before the newest key writes, and another kind of file is refused", () => {
  expect(() => leadKeys(configuration("key1", "key2"), "drop", () => "never")).toThrow("key2 does not write yet");
  for (const text of ["", "kind: Nonsense\n", "resources: [{ resources: [secrets], providers: [{ identity: {} }] }]\n"])
    expect(() => leadKeys(text, "add", () => "never")).toThrow("no EncryptionConfiguration");
});
