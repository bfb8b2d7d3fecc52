/** How transcripts are read, and what of their outputs counts. */
import { describe, expect, test } from "vitest";
import { normal, rewritten, stepsOf } from "./transcript.ts";

const TOLD = `What is told of.

$ kubectl get pods
No resources found.
#: from 1.28: older ones cannot.
$ kubectl apply -f - <<END
> kind: ConfigMap
> END
> is printed
[exit 1]
$ true
$ printf '\\n# not a remark\\n'

# not a remark
`;

describe("a transcript", () => {
  test("is commands, further lines of them, and what each prints", () => {
    expect(stepsOf(TOLD)).toEqual([
      { line: 3, command: "kubectl get pods", fromMinor: 0, prints: "No resources found.\n" },
      {
        line: 6,
        command: "kubectl apply -f - <<END\nkind: ConfigMap\nEND\nis printed",
        fromMinor: 28,
        prints: "[exit 1]\n",
      },
      { line: 11, command: "true", fromMinor: 0, prints: "" },
      { line: 12, command: "printf '\\n# not a remark\\n'", fromMinor: 0, prints: "\n# not a remark\n" },
    ]);
  });

  test("is the same when it is written again with what it says, and says what is new", () => {
    const said = new Map(stepsOf(TOLD).map(({ line, prints }) => [line, prints]));
    expect(rewritten(TOLD, said)).toBe(TOLD);
    const other = rewritten(TOLD, new Map([...said, [11, "yes\n"], [12, ""]]));
    expect(stepsOf(other).map(({ prints }) => prints)).toEqual(["No resources found.\n", "[exit 1]\n", "yes\n", ""]);
    expect(stepsOf(other).map(({ command }) => command)).toEqual(stepsOf(TOLD).map(({ command }) => command));
  });
});

describe("what differs from run to run", () => {
  test.each([
    ["shop-6bcdc44d7-8hj59   1/1     Running   0          3m18s", "shop-HASH-ID 1/1 Running 0 AGE"],
    ["pod-template-hash=6bcdc44d7", "pod-template-hash=HASH"],
    ["two-x9mg2", "two-ID"],
    ["Start Time:  Sat, 28 Nov 2026 13:04:10 +0000", "Start Time: TIME"],
    ["198.18.0.22:80", "IP:80"],
    ["controller-uid=6e5c25ae-b754-4179-8847-5316ce92282b", "controller-uid=UID"],
  ])("%s", (said, same) => expect(normal(said)).toBe(same));

  test("is no more than that", () => {
    for (const same of ["configmap/first created", "shop-config 2 0", "web-0 1/1 Running", "node-role.kubernetes.io/x"])
      expect(normal(same)).toBe(same);
  });
});
