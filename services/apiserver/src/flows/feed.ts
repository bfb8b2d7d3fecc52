/**
 * What one apiserver's bus feed says (C14 to C16): each chain names, with each message, the revision of the message before
 * it, so that a follower knows whether it missed one. Synchronous: changes in, messages out.
 */
import { busSubjects, changeHeaders, type BusHeaders } from "@pilothouse/bus";
import type { KindDefinition } from "@pilothouse/kinds/kind";
import { formatTraceparent } from "@pilothouse/telemetry";
import type { CacheChange, CacheEntry } from "../core/model.ts";
import { atRevision } from "../core/stored.ts";

export interface FeedMessage {
  readonly subject: string;
  readonly headers: BusHeaders;
  readonly payload: Uint8Array;
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

  /** From here on every change is told: all chains begin at `revision`. */
  begin(epoch: string, revision: number): void {
    this.#epoch = epoch;
    this.#start = revision;
    this.#last.clear();
  }

  /** The messages of all changes of one kind that were made by one or more whole revisions, in order. */
  changes(kind: FeedKind, changes: readonly CacheChange[]): FeedMessage[] {
    const subject = busSubjects.changes(this.#apiserver, kind.group, kind.resource);
    const isSecret = kind.group === "" && kind.resource === "secrets";
    const isPod = kind.group === "" && kind.resource === "pods";
    const messages: FeedMessage[] = [];
    for (const [i, change] of changes.entries()) {
      const { revision } = change.entry;
      const isAgain = changes[i - 1]?.entry.revision === revision;
      // Several objects of one revision cannot be told as links of a chain: see #gap.
      if (isAgain) continue;
      if (changes[i + 1]?.entry.revision === revision) messages.push(this.#gap(subject, revision));
      else messages.push(this.#link(subject, change.type, change.entry, isSecret ? NO_PAYLOAD : change.entry.bytes));
    }
    if (isPod) for (const change of changes) messages.push(...this.#nodeMessages(change));
    return messages;
  }

  /** One for each chain: nothing up to `revision` is still to come. */
  bookmarks(kinds: readonly FeedKind[], nodes: readonly string[], revision: number): FeedMessage[] {
    const subjects = [
      ...kinds.map(({ group, resource }) => busSubjects.changes(this.#apiserver, group, resource)),
      ...nodes.map((node) => busSubjects.nodePods(this.#apiserver, node)),
    ];
    const messages = subjects.map((subject) => ({
      subject,
      headers: {
        [changeHeaders.type]: "BOOKMARK",
        [changeHeaders.revision]: String(revision),
        [changeHeaders.previous]: String(this.#last.get(subject) ?? this.#start),
        [changeHeaders.epoch]: this.#epoch,
      },
      payload: NO_PAYLOAD,
    }));
    this.#forgetOthers(new Set(subjects), revision);
    return messages;
  }

  /** A pod is told on its node's chain too; one that moved leaves the old node's chain first. */
  #nodeMessages({ type, entry, previous }: CacheChange): FeedMessage[] {
    const node = entry.fields["spec.nodeName"] ?? "";
    const previousNode = previous?.fields["spec.nodeName"] ?? "";
    const messages: FeedMessage[] = [];
    if (previous && previousNode !== "" && previousNode !== node) {
      const bytes = atRevision(previous.bytes, previous.revision, entry.revision);
      messages.push(this.#link(busSubjects.nodePods(this.#apiserver, previousNode), "DELETED", entry, bytes));
    }
    if (node !== "") {
      const seen = type === "MODIFIED" && previousNode !== node ? "ADDED" : type;
      messages.push(this.#link(busSubjects.nodePods(this.#apiserver, node), seen, entry, entry.bytes));
    }
    return messages;
  }

  #link(subject: string, type: CacheChange["type"], entry: CacheEntry, bytes: Uint8Array): FeedMessage {
    const previous = this.#last.get(subject) ?? this.#start;
    this.#last.set(subject, entry.revision);
    const { namespace, name, uid, trace, revision } = entry;
    const headers: Record<string, string> = {
      [changeHeaders.type]: type,
      [changeHeaders.revision]: String(revision),
      [changeHeaders.previous]: String(previous),
      [changeHeaders.epoch]: this.#epoch,
      [changeHeaders.key]: namespace === "" ? name : `${namespace}/${name}`,
      [changeHeaders.uid]: uid,
    };
    if (trace) headers[changeHeaders.traceparent] = formatTraceparent(trace);
    const isTooLarge = bytes.length > this.#maxPayloadBytes - HEADER_ROOM_BYTES;
    return { subject, headers, payload: isTooLarge ? NO_PAYLOAD : bytes };
  }

  /**
   * A revision that changed several objects (a lease that expired with all its Events). A follower that applied the first
   * would take the second for a duplicate, so it is told as a gap: `previous` is the revision itself, which nobody has.
   */
  #gap(subject: string, revision: number): FeedMessage {
    this.#last.set(subject, revision);
    const headers = {
      [changeHeaders.type]: "BOOKMARK",
      [changeHeaders.revision]: String(revision),
      [changeHeaders.previous]: String(revision),
      [changeHeaders.epoch]: this.#epoch,
    };
    return { subject, headers, payload: NO_PAYLOAD };
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
