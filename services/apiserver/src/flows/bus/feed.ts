/**
 * What one apiserver's bus feed says (C14 to C16): each chain names, with each message, the revision of the message before
 * it, so that a follower knows whether it missed one. Synchronous: changes in, messages out.
 */
import { busSubjects, changeHeaders, type BusHeaders } from "@pilothouse/bus";
import type { KindDefinition } from "@pilothouse/kinds/kind";
import { formatTraceparent } from "@pilothouse/telemetry";
import type { CacheChange, CacheEntry } from "../../core/model.ts";
import { atRevision } from "../../core/stored/stored.ts";

export interface FeedMessage {
  readonly subject: string;
  readonly headers: BusHeaders;
  readonly payload: Uint8Array;
}

interface Link {
  readonly subject: string;
  readonly type: CacheChange["type"];
  readonly entry: CacheEntry;
  readonly bytes: Uint8Array;
}

type FeedKind = Pick<KindDefinition, "group" | "resource">;

const NO_PAYLOAD = new Uint8Array();
/** Room for the headers and what NATS writes around them. */
const HEADER_ROOM_BYTES = 4_096;

export class Feed {
  readonly #apiserver: string;
  readonly #maxPayloadBytes: number;
  #epoch = "";
  /** Every chain without a message yet: all that changed up to here is before its first one. */
  #start = 0;
  /** The revision of each chain's last message, by subject. */
  readonly #last = new Map<string, number>();

  constructor(apiserver: string, maxPayloadBytes: number) {
    this.#apiserver = apiserver;
    this.#maxPayloadBytes = maxPayloadBytes;
  }

  /** Whose chains these are; of the cache's newest one nothing is told before it has begun here too. */
  get epoch(): string {
    return this.#epoch;
  }

  /** From here on every change is told: all chains begin at `revision`. */
  begin(epoch: string, revision: number): void {
    this.#epoch = epoch;
    this.#start = revision;
    this.#last.clear();
  }

  /** The messages of all changes of one kind that were made by one or more whole revisions, in order. */
  changes(kind: FeedKind, changes: readonly CacheChange[]): FeedMessage[] {
    const messages: FeedMessage[] = [];
    for (let from = 0; from < changes.length;) {
      const revision = changes[from]?.entry.revision;
      let to = from + 1;
      while (changes[to]?.entry.revision === revision) to++;
      messages.push(...this.#wholeRevision(changes.slice(from, to).flatMap((change) => this.#links(kind, change))));
      from = to;
    }
    return messages;
  }

  /** One for each chain: nothing up to `revision` is still to come. */
  bookmarks(kinds: readonly FeedKind[], nodes: readonly string[], revision: number, intervalMs: number): FeedMessage[] {
    const subjects = [
      ...kinds.map(({ group, resource }) => busSubjects.changes(this.#apiserver, group, resource)),
      ...nodes.map((node) => busSubjects.nodePods(this.#apiserver, node)),
    ];
    const messages = subjects.map((subject) => this.bookmark(subject, revision, intervalMs));
    this.#forgetOthers(new Set(subjects), revision);
    return messages;
  }

  /** Of one chain: nothing up to `revision` is still to come. */
  bookmark(subject: string, revision: number, intervalMs: number): FeedMessage {
    const headers = {
      [changeHeaders.type]: "BOOKMARK",
      [changeHeaders.revision]: String(revision),
      [changeHeaders.previous]: String(this.#last.get(subject) ?? this.#start),
      [changeHeaders.epoch]: this.#epoch,
      [changeHeaders.interval]: String(intervalMs),
    };
    return { subject, headers, payload: NO_PAYLOAD };
  }

  /** Where one change is told, and as what: on its kind's chain; a pod on its node's too, one that moved on both nodes'. */
  #links({ group, resource }: FeedKind, { type, entry, previous }: CacheChange): Link[] {
    const subject = busSubjects.changes(this.#apiserver, group, resource);
    const isSecret = group === "" && resource === "secrets";
    const links: Link[] = [{ subject, type, entry, bytes: isSecret ? NO_PAYLOAD : entry.bytes }];
    if (group !== "" || resource !== "pods") return links;
    const node = entry.fields["spec.nodeName"] ?? "";
    const previousNode = previous?.fields["spec.nodeName"] ?? "";
    if (previous && previousNode !== "" && previousNode !== node) {
      const bytes = atRevision(previous.bytes, previous.revision, entry.revision);
      links.push({ subject: busSubjects.nodePods(this.#apiserver, previousNode), type: "DELETED", entry, bytes });
    }
    if (node !== "") {
      const seen = type === "MODIFIED" && previousNode !== node ? "ADDED" : type;
      links.push({ subject: busSubjects.nodePods(this.#apiserver, node), type: seen, entry, bytes: entry.bytes });
    }
    return links;
  }

  /** Links of one chain and one revision are its parts: all have the same previous. */
  #wholeRevision(links: readonly Link[]): FeedMessage[] {
    const counts = new Map<string, number>();
    for (const { subject } of links) counts.set(subject, (counts.get(subject) ?? 0) + 1);
    const told = new Map<string, number>();
    const messages = links.map((link) => {
      const part = (told.get(link.subject) ?? 0) + 1;
      told.set(link.subject, part);
      return this.#message(link, part, counts.get(link.subject) ?? 1);
    });
    for (const { subject, entry } of links) this.#last.set(subject, entry.revision);
    return messages;
  }

  #message({ subject, type, entry, bytes }: Link, part: number, parts: number): FeedMessage {
    const { namespace, name, uid, trace, revision } = entry;
    const headers: Record<string, string> = {
      [changeHeaders.type]: type,
      [changeHeaders.revision]: String(revision),
      [changeHeaders.previous]: String(this.#last.get(subject) ?? this.#start),
      [changeHeaders.epoch]: this.#epoch,
      [changeHeaders.key]: namespace === "" ? name : `${namespace}/${name}`,
      [changeHeaders.uid]: uid,
    };
    if (parts > 1) headers[changeHeaders.part] = `${part}/${parts}`;
    if (trace) headers[changeHeaders.traceparent] = formatTraceparent(trace);
    const isTooLarge = bytes.length > this.#maxPayloadBytes - HEADER_ROOM_BYTES;
    return { subject, headers, payload: isTooLarge ? NO_PAYLOAD : bytes };
  }

  /** Chains of nodes that are gone are dropped; should one come back, it begins behind all that it may have said. */
  #forgetOthers(subjects: ReadonlySet<string>, revision: number): void {
    const gone = [...this.#last.keys()].filter((subject) => !subjects.has(subject));
    if (gone.length === 0) return;
    // Chains that have said nothing yet keep their own, older start.
    for (const subject of subjects) if (!this.#last.has(subject)) this.#last.set(subject, this.#start);
    this.#start = revision;
    for (const subject of gone) this.#last.delete(subject);
  }
}
