/**
 * LIST: a snapshot of the cache, or a page of etcd at an older revision (C6); streamed, without a tree of it in memory.
 *
 * Promises: all items and the list's resourceVersion are of one revision; a continue token is good on any apiserver.
 */
import { expired } from "@pilothouse/errors";
import type { KindDefinition } from "@pilothouse/kinds/kind";
import { prefixRange, RevisionCompacted, RevisionInFuture, type StoreEntry } from "@pilothouse/store";
import { readEntry } from "../../cache/entry.ts";
import { tooLargeResourceVersion } from "../../cache/revision-gate.ts";
import { unreadableInList } from "../../cache/watch-cache.ts";
import { formatContinueToken } from "../../core/continue-token.ts";
import { listOptionsOf, type ListSource } from "../../core/list-options.ts";
import { storePrefix, type CacheEntry, type Flow } from "../../core/model.ts";
import { selectionOf, type Selection } from "../../core/select.ts";
import { UnreadableValue } from "../../core/stored/stored.ts";
import { listBody, type Page } from "./list-body.ts";
import { feedHeaders, reachedCurrent, reachedCurrentIfUp, readOf, type ReadPorts } from "./read.ts";

/** @throws StatusError 400, 406, 410, 422, 504 */
export function listFlow(ports: ReadPorts): Flow {
  return async (context) => {
    const { kind, asked: shown, form } = readOf(ports, context, "list");
    const { query, signal } = context.request;
    const options = listOptionsOf(query);
    const selection = selectionOf(shown, query);
    const asked: Asked = { kind, namespace: context.info.namespace, selection, limit: options.limit, signal };
    const { sizeBytes, body } = await listBody(ports, form, await pageOf(ports, asked, options.source));
    const length = sizeBytes === undefined ? {} : { "content-length": String(sizeBytes) };
    const headers = { "content-type": form.contentType, ...length, ...feedHeaders(ports) };
    return { status: 200, headers, body, mayBeCompressed: true };
  };
}

interface Asked {
  readonly kind: KindDefinition;
  /** "" for all. */
  readonly namespace: string;
  readonly selection: Selection;
  readonly limit: number;
  readonly signal: AbortSignal;
}

async function pageOf(ports: ReadPorts, asked: Asked, source: ListSource): Promise<Page> {
  switch (source.from) {
    case "any":
      await reachedCurrentIfUp(ports, asked.signal);
      // As upstream: who takes anything gets it whole.
      return pageOfCache(ports, { ...asked, limit: 0 });
    case "current":
      if (await reachedCurrent(ports, asked.signal)) return pageOfCache(ports, asked);
      return pageOfStore(ports, asked, "latest", "");
    case "notOlderThan":
      await ports.cache.waitFor(source.revision, asked.signal);
      return pageOfCache(ports, asked);
    case "exact":
      if (source.revision === ports.cache.revision()) return pageOfCache(ports, asked);
      return pageOfStore(ports, asked, source.revision, "");
    case "continue":
      return pageOfStore(ports, asked, source.token.revision, source.token.start);
  }
}

/** One synchronous step: the references and the revision belong together. */
function pageOfCache({ cache }: ReadPorts, { kind, namespace, selection, limit }: Asked): Page {
  const { entries: all, revision } = snapshot(cache, kind, namespace, selection);
  const matching = selection.everything ? all : all.filter((entry) => selection.matches(entry));
  if (limit === 0 || matching.length <= limit)
    return { entries: matching, meta: { resourceVersion: String(revision) } };
  const entries = matching.slice(0, limit);
  const start = `${(entries.at(-1) as CacheEntry).key.slice(storePrefix(kind, namespace).length)}\0`;
  return {
    entries,
    meta: {
      resourceVersion: String(revision),
      continue: formatContinueToken({ revision, start }),
      ...(selection.everything ? { remainingItemCount: matching.length - limit } : {}),
    },
  };
}

/** All of a kind, or the one that alone can match. */
export function snapshot(
  cache: ReadPorts["cache"],
  kind: KindDefinition,
  namespace: string,
  { name }: Selection,
): { readonly entries: readonly CacheEntry[]; readonly revision: number } {
  if (name === undefined || (kind.namespaced && namespace === "")) return cache.list(kind, namespace);
  const entry = cache.get(kind, namespace, name);
  return { entries: entry ? [entry] : [], revision: cache.revision() };
}

const STORE_PAGE = 500;

/** From etcd at one revision, in pages of its own, until there are enough that match. */
async function pageOfStore(
  { store, rvBase }: ReadPorts,
  { kind, namespace, selection, limit, signal }: Asked,
  revision: number | "latest",
  start: string,
): Promise<Page> {
  const prefix = storePrefix(kind, namespace);
  const { to } = prefixRange(prefix);
  const entries: CacheEntry[] = [];
  let at = revision === "latest" ? undefined : revision - rvBase;
  let from = `${prefix}${start}`;
  try {
    if (at !== undefined && at < 1) throw new RevisionCompacted(0);
    for (;;) {
      // Who selects may find few in many: pages are cut to the limit only when each item counts.
      const room = limit > 0 && selection.everything ? Math.min(STORE_PAGE, limit - entries.length) : STORE_PAGE;
      const page = await store.range(
        { from, to },
        { limit: room, signal, ...(at === undefined ? {} : { revision: at }) },
      );
      at ??= page.revision;
      let taken = 0;
      for (const stored of page.entries) {
        if (limit > 0 && entries.length === limit) break;
        taken++;
        from = `${stored.key}\0`;
        const entry = readListed(kind, stored, rvBase);
        if (selection.matches(entry)) entries.push(entry);
      }
      const resourceVersion = String(at + rvBase);
      const remaining = page.count - taken;
      if (remaining <= 0) return { entries, meta: { resourceVersion } };
      if (limit === 0 || entries.length < limit) continue;
      const token = formatContinueToken({ revision: at + rvBase, start: from.slice(prefix.length) });
      const count = selection.everything ? { remainingItemCount: remaining } : {};
      return { entries, meta: { resourceVersion, continue: token, ...count } };
    }
  } catch (error) {
    if (error instanceof RevisionCompacted) throw compacted(start);
    if (error instanceof RevisionInFuture && revision !== "latest")
      throw tooLargeResourceVersion(revision, (await store.revision()) + rvBase);
    throw error;
  }
}

function readListed(kind: KindDefinition, stored: StoreEntry, rvBase: number): CacheEntry {
  try {
    return readEntry(kind, stored, rvBase);
  } catch (error) {
    throw error instanceof UnreadableValue ? unreadableInList(stored.key, error.message) : error;
  }
}

function compacted(start: string): Error {
  if (start === "") return expired("The resourceVersion for the provided list is too old.");
  return expired(INCONSISTENT_CONTINUE, formatContinueToken({ revision: "latest", start }));
}

const INCONSISTENT_CONTINUE =
  "The provided continue parameter is too old to display a consistent list result. You can start a new list without " +
  "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. " +
  "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted " +
  "between the time the first chunk was returned and now may show up in the list.";
