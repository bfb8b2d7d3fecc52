import { manualClock } from "@pilothouse/clock/manual";
import { seededRandom } from "@pilothouse/clock/seeded";
import { Scope } from "@pilothouse/lifecycle";
import { memoryTelemetry, type MemoryTelemetry } from "@pilothouse/telemetry/memory";
import type { ManualClock } from "@pilothouse/clock/manual";
import { beforeEach, describe, expect, test } from "vitest";
import type { Folders } from "./folders.ts";
import { watchFiles } from "./watched-files.ts";

/** Two files that go together when they say the same. */
const PAIR = ["/pki/tls.crt", "/pki/tls.key"] as const;

let clock: ManualClock;
let telemetry: MemoryTelemetry;
let scope: Scope;
let files: Map<string, string>;
let told: Set<() => void>;
let seen: string[];

beforeEach(() => {
  clock = manualClock();
  telemetry = memoryTelemetry({ clock, random: seededRandom("files") });
  scope = new Scope("test", () => undefined);
  files = new Map(PAIR.map((path) => [path, "one"]));
  told = new Set();
  seen = [];
});

const folders: Folders = {
  text(path) {
    const text = files.get(path);
    if (text === undefined) throw new Error(`ENOENT: ${path}`);
    return text;
  },
  watch(_paths, onEvent) {
    told.add(onEvent);
    return { close: () => void told.delete(onEvent) };
  },
};

function watchPair() {
  const set = watchFiles(
    {
      name: "pair",
      read: (text) => {
        const [certificate, key] = PAIR.map(text);
        if (certificate !== key) throw new Error("the key is not the certificate's");
        return certificate as string;
      },
    },
    { clock, scope, log: telemetry.log, folders },
  );
  set.follow((text) => seen.push(text));
  return set;
}

/** With or without the file system's word for it. */
function write(path: string, text: string | undefined, isTold = true): void {
  if (text === undefined) files.delete(path);
  else files.set(path, text);
  if (isTold) told.forEach((tell) => tell());
}

function logged(level: string): readonly string[] {
  return telemetry.logs.filter((line) => line.level === level).map(({ message }) => message);
}

describe("a set of files", () => {
  test("is handed over at once, and again when both files are new", async () => {
    const set = watchPair();
    write(PAIR[0], "two");
    await clock.advance(50);
    write(PAIR[1], "two");
    await clock.advance(99);
    expect(seen).toEqual(["one"]);
    await clock.advance(1);
    expect(seen).toEqual(["one", "two"]);
    expect(set.current()).toBe("two");
    expect([logged("info"), logged("warn")]).toEqual([["files were read again"], []]);
  });

  test("stays in use while the new files do not go together; that is told once", async () => {
    watchPair();
    write(PAIR[0], "two");
    await clock.advance(30_000);
    expect(seen).toEqual(["one"]);
    expect(logged("warn")).toEqual(["changed files cannot be used: those before stay in use"]);
    // Nobody tells of this one: what was refused is tried again sooner than the poll.
    write(PAIR[1], "two", false);
    await clock.advance(1_000);
    expect(seen).toEqual(["one", "two"]);
  });

  test("outlives a file that is gone for a while", async () => {
    watchPair();
    write(PAIR[0], undefined);
    await clock.advance(5_000);
    write(PAIR[0], "one");
    await clock.advance(100);
    expect([seen, logged("warn").length]).toEqual([["one"], 1]);
    expect(logged("info")).toEqual(["files are again as they are in use"]);
  });

  test("is looked at now and then, if the file system says nothing", async () => {
    watchPair();
    await clock.advance(100);
    for (const path of PAIR) write(path, "two", false);
    await clock.advance(9_999);
    expect(seen).toEqual(["one"]);
    await clock.advance(1);
    expect(seen).toEqual(["one", "two"]);
    expect(telemetry.logs.at(-1)?.fields).toMatchObject({ noticedBy: "poll" });
  });

  test("is not handed over again when a file was touched only, nor after the scope's end", async () => {
    watchPair();
    write(PAIR[0], "one");
    await clock.advance(1_000);
    await scope.close();
    for (const path of PAIR) write(path, "two");
    await clock.advance(60_000);
    expect([seen, told.size]).toEqual([["one"], 0]);
  });

  test("that cannot be read at the start is the caller's failure", () => {
    files.delete(PAIR[1]);
    expect(watchPair).toThrow("ENOENT: /pki/tls.key");
  });
});
