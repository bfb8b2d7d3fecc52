/**
 * Rules taken away, each by replacing one piece of the product's source as it is loaded: the simulation must notice
 * (consistency.md). The product knows nothing of it: there is no flag, and the piece must be there exactly once.
 */
import { registerHooks } from "node:module";

export interface Mutant {
  /** Of docs/ARCHITECTURE.md. */
  readonly rule: string;
  readonly name: string;
  /** From the root of the project. */
  readonly file: string;
  readonly find: string;
  readonly replaceBy: string;
  /** What goes wrong without the rule. */
  readonly why: string;
  /** How the failure that notices begins. */
  readonly noticedAs: RegExp;
  /** A seed that notices, of the first 50: tried first. */
  readonly seed: number;
}

export const mutants: readonly Mutant[] = [
  {
    rule: "C11",
    name: "without-fencing",
    file: "services/apiserver/src/flows/object-store.ts",
    find: `    compares.push({ key, target: "createRevision", equals: fence.createRevision });\n`,
    replaceBy: ``,
    why: "a deposed leader's late write is accepted",
    noticedAs: /^I1: /,
    seed: 16,
  },
  {
    rule: "own writes",
    name: "without-own-writes",
    file: "libs/controller/src/own-writes.ts",
    find: `if (!pending) return true;`,
    replaceBy: `return true;`,
    why: "a controller decides again before its cache shows what it did last, and makes too many pods",
    noticedAs: /^I3: /,
    seed: 1,
  },
  {
    rule: "C10",
    name: "without-looking-first",
    file: "libs/controller/src/elected.ts",
    find: `feed.waitForRevision(createRevision, signal)`,
    replaceBy: `feed.waitForRevision(1, signal)`,
    why: "a new leader acts on whatever its caches happen to show: too many pods, or too few",
    noticedAs: /^I[345]: /,
    seed: 18,
  },
];

/** Plants a mutant in this process, before the file is loaded; `judge` throws unless it was, afterwards. */
export function plant({ name, file, find, replaceBy }: Mutant): { judge(): void } {
  let planted = false;
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      if (url !== new URL(`../../${file}`, import.meta.url).href) return loaded;
      const source = typeof loaded.source === "string" ? loaded.source : new TextDecoder().decode(loaded.source);
      const found = source.split(find).length - 1;
      if (found !== 1) throw new Error(`mutant ${name}: ${found} places in ${file} instead of one: ${find}`);
      planted = true;
      return { ...loaded, source: source.replace(find, () => replaceBy) };
    },
  });
  return {
    judge() {
      if (!planted) throw new Error(`mutant ${name}: ${file} was never loaded`);
    },
  };
}
