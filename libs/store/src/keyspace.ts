/**
 * A versioned key space in memory, with etcd's rules and nothing else: pure and synchronous, without time, leases or watches.
 *
 * Promises: the revision begins at 1 and rises by one with each write that changes something, whatever number of keys it
 * changes; reads at any revision from the last compaction on; every change since then stays in the log.
 */
import { RevisionCompacted, RevisionInFuture } from "./index.ts";
import type { KeyRange, StoreChange, StoreEntry } from "./index.ts";

/** What one revision changed, in the order of the operations. */
export interface RevisionChanges {
  readonly revision: number;
  readonly changes: readonly StoreChange[];
}

export type KeyWrite =
  | { readonly op: "put"; readonly key: string; readonly value: Uint8Array; readonly leaseId?: string }
  | { readonly op: "delete"; readonly key: string };

/** `entry` is undefined where the key was deleted. */
interface Version {
  readonly revision: number;
  readonly entry: StoreEntry | undefined;
}

export class Keyspace {
  #revision = 1;
  #compactRevision = 0;
  /** All keys that have a version, sorted by bytes. */
  readonly #keys: string[] = [];
  readonly #versions = new Map<string, Version[]>();
  /** Rising revisions without gaps from the last compaction on. */
  #log: RevisionChanges[] = [];

  get revision(): number {
    return this.#revision;
  }

  /** 0 before the first compaction. */
  get compactRevision(): number {
    return this.#compactRevision;
  }

  /** The entry as of `revision` (default: now). */
  read(key: string, revision = this.#revision): StoreEntry | undefined {
    this.#checkRevision(revision);
    return versionAt(this.#versions.get(key), revision)?.entry;
  }

  /** All entries of the range as of `revision`, in key order. */
  range(range: KeyRange, revision = this.#revision): StoreEntry[] {
    this.#checkRevision(revision);
    const found: StoreEntry[] = [];
    for (let i = this.#lowerBound(range.from); i < this.#keys.length; i++) {
      const key = this.#keys[i] as string;
      if (!isBefore(key, range.to)) break;
      const entry = versionAt(this.#versions.get(key), revision)?.entry;
      if (entry) found.push(entry);
    }
    return found;
  }

  /** Applies the writes under one new revision. Deletes of keys that do not exist change nothing. */
  write(writes: readonly KeyWrite[]): readonly StoreChange[] {
    const revision = this.#revision + 1;
    const changes: StoreChange[] = [];
    for (const write of writes) {
      const previous = this.read(write.key, this.#revision);
      if (write.op === "delete") {
        if (!previous) continue;
        changes.push({ type: "delete", key: write.key, modRevision: revision, previous });
        this.#append(write.key, { revision, entry: undefined });
      } else {
        const entry = nextEntry(write, previous, revision);
        changes.push({ type: "put", entry, previous });
        this.#append(write.key, { revision, entry });
      }
    }
    if (changes.length === 0) return changes;
    this.#revision = revision;
    this.#log.push({ revision, changes });
    return changes;
  }

  /** Forgets what was true only before `revision`. */
  compact(revision: number): void {
    if (revision <= this.#compactRevision) throw new RevisionCompacted(this.#compactRevision);
    if (revision > this.#revision) throw futureRevision();
    this.#compactRevision = revision;
    for (const [key, versions] of this.#versions) {
      const kept = versions.filter((version, i) => {
        if (version.revision > revision) return true;
        const next = versions[i + 1];
        return version.entry !== undefined && (!next || next.revision > revision);
      });
      if (kept.length > 0) this.#versions.set(key, kept);
      else this.#forget(key);
    }
    this.#log = this.#log
      .filter((logged) => logged.revision >= revision)
      .map((logged) => withoutCompacted(logged, revision));
  }

  /** The changes of each revision from `revision` on. Throws `RevisionCompacted` when they are no longer all there. */
  changesFrom(revision: number): readonly RevisionChanges[] {
    if (revision < this.#compactRevision) throw new RevisionCompacted(this.#compactRevision);
    const first = this.#log[0];
    return first ? this.#log.slice(Math.max(0, revision - first.revision)) : [];
  }

  #checkRevision(revision: number): void {
    if (revision < this.#compactRevision) throw new RevisionCompacted(this.#compactRevision);
    if (revision > this.#revision) throw futureRevision();
  }

  #append(key: string, version: Version): void {
    const versions = this.#versions.get(key);
    if (versions) versions.push(version);
    else {
      this.#versions.set(key, [version]);
      this.#keys.splice(this.#lowerBound(key), 0, key);
    }
  }

  #forget(key: string): void {
    this.#versions.delete(key);
    this.#keys.splice(this.#lowerBound(key), 1);
  }

  /** The index of the first key that is not before `key`. */
  #lowerBound(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareKeys(this.#keys[middle] as string, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** True if the range holds the key. */
export function rangeHolds(range: KeyRange, key: string): boolean {
  return compareKeys(key, range.from) >= 0 && isBefore(key, range.to);
}

/** Order by UTF-8 bytes, which is the order of code points; `<` would put surrogate pairs before U+E000 to U+FFFF. */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const left = a.charCodeAt(i);
    const right = b.charCodeAt(i);
    if (left !== right) return codePointRank(left) - codePointRank(right);
  }
  return a.length - b.length;
}

/** Code units in the order of the code points they stand for: surrogates last. */
function codePointRank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}

function isBefore(key: string, to: string): boolean {
  return to === "\0" || compareKeys(key, to) < 0;
}

function versionAt(versions: readonly Version[] | undefined, revision: number): Version | undefined {
  return versions?.findLast((version) => version.revision <= revision);
}

function nextEntry(
  write: Extract<KeyWrite, { op: "put" }>,
  previous: StoreEntry | undefined,
  revision: number,
): StoreEntry {
  return {
    key: write.key,
    value: write.value.slice(),
    createRevision: previous?.createRevision ?? revision,
    modRevision: revision,
    version: (previous?.version ?? 0) + 1,
    ...(write.leaseId === undefined ? {} : { leaseId: write.leaseId }),
  };
}

/** Of the compacted revision itself etcd keeps what still lives: no deletes, and no previous values. */
function withoutCompacted(logged: RevisionChanges, compactRevision: number): RevisionChanges {
  if (logged.revision > compactRevision) return logged;
  const changes = logged.changes
    .filter((change) => change.type === "put")
    .map((put) => ({ ...put, previous: undefined }));
  return { revision: logged.revision, changes };
}

function futureRevision(): RevisionInFuture {
  return new RevisionInFuture("mvcc: required revision is a future revision");
}
