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
    file: "services/apiserver/src/flows/writes/object-store.ts",
    find: `    compares.push({ key, target: "createRevision", equals: fence.createRevision });\n`,
    replaceBy: ``,
    why: "a deposed leader's late write is accepted",
    noticedAs: /^I1: /,
    seed: 6,
  },
  {
    rule: "grace",
    name: "without-grace",
    file: "services/apiserver/src/core/delete-rules.ts",
    find: `return kind.gracePeriodSeconds?.(object, asked) ?? 0;`,
    replaceBy: `return 0;`,
    why: "a pod is gone from the API while its containers run",
    noticedAs: /^I5: .* runs on /,
    seed: 1,
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
    find: `feed.waitForRevision(resourceVersion, signal)`,
    replaceBy: `feed.waitForRevision(1, signal)`,
    why: "a new leader acts on whatever its caches happen to show: too many pods, or too few",
    noticedAs: /^I[345]: /,
    seed: 15,
  },
  {
    rule: "C2",
    name: "no-op-from-a-guess",
    file: "services/apiserver/src/flows/writes/origin.ts",
    find: `return decision.kind === "tell" ? undefined : decision;`,
    replaceBy: `return decision;`,
    why: "a patch that takes back what the cache does not show yet is answered as if it changed nothing",
    noticedAs: /^I7: a patch that changes/,
    seed: 2,
  },
  {
    rule: "C2",
    name: "error-from-a-guess",
    file: "services/apiserver/src/flows/writes/origin.ts",
    find: `? undefined : decision;
  } catch {
    return undefined;
  }`,
    replaceBy: `? undefined : decision;
  } catch (error) {
    throw error;
  }`,
    why: "an update is refused for a conflict that only the cache sees",
    noticedAs: /^I9: Linearizable/,
    seed: 1,
  },
  {
    rule: "C5",
    name: "reload-ends-no-watch",
    file: "services/apiserver/src/cache/watch-cache.ts",
    find: `if (this.#contents.of(kind).history !== history) return "ended";`,
    replaceBy: ``,
    why: "a watch goes on after a reload as if nothing were missing",
    noticedAs: /^(I9: |not converged)/,
    seed: 5,
  },
  {
    rule: "C6",
    name: "list-in-two-steps",
    file: "services/apiserver/src/flows/reads/list.ts",
    find: `      if (await reachedCurrent(ports, asked.signal)) return pageOfCache(ports, asked);`,
    replaceBy: `      const early = pageOfCache(ports, asked);
      if (await reachedCurrent(ports, asked.signal))
        return { ...early, meta: { ...early.meta, resourceVersion: String(ports.cache.revision()) } };`,
    why: "a list's contents are older than the revision it names: what follows the list misses what lies between",
    noticedAs: /^(I\d+: |not converged)/,
    seed: 3,
  },
  {
    rule: "C6",
    name: "next-page-from-the-head",
    file: "services/apiserver/src/flows/reads/list.ts",
    find: `return pageOfStore(ports, asked, source.token.revision, source.token.start);`,
    replaceBy: `return pageOfStore(ports, asked, "latest", source.token.start);`,
    why: "the pages of one list are of different times",
    noticedAs: /^I9: /,
    seed: 1,
  },
  {
    rule: "C13",
    name: "absence-from-a-cache",
    file: "services/controller-manager/src/controllers/garbage-collector/reconcile.ts",
    find: `const owner = await this.#ports.executor.read(type, type.namespaced ? namespace : "", name, cause);`,
    replaceBy: `const owner = this.#graph.get(uid) && (await this.#ports.executor.read(type, type.namespaced ? namespace : "", name, cause));`,
    why: "what its owner's feed does not show yet is taken for garbage",
    noticedAs: /^I11: /,
    seed: 14,
  },
  {
    rule: "C14",
    name: "gaps-are-applied",
    file: "libs/informer/src/chain.ts",
    find: `if (step.previous > position.whole || step.previous <= 0) return { verdict: "gap", position };`,
    replaceBy: ``,
    why: "a lost message is never missed: caches stay wrong",
    noticedAs: /^(I\d+: |not converged)/,
    seed: 1,
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
