/** Who leads, as etcd tells it; and writes that name leaderships, old ones too, as a deposed leader's would. */
import { sleep, type Random } from "@pilothouse/clock";
import { ask, configMapsOf } from "../../history/config-maps.ts";
import { currentRevision } from "../../history/etcd-reader.ts";
import { EtcdTruth, type StoreKeyChange } from "../../history/etcd-truth.ts";
import type { Door } from "../../history/writers.ts";
import type { FencedWrite, LandedWrite, Reign } from "../checkers/leadership.ts";
import { withEtcd, type Access } from "./access.ts";

const ELECTIONS = "/pilothouse/elections/";
const AFTER_ELECTIONS = "/pilothouse/elections0";
const EVERY_MS = 1_000;
const DEADLINE_MS = 4_000;
/** How many former leaderships are still tried. */
const REMEMBERED = 4;

export interface LeaderSeen {
  readonly atMs: number;
  readonly election: string;
  readonly identity: string;
}

export class Leaders {
  readonly seen: LeaderSeen[] = [];
  readonly reigns: Reign[] = [];
  readonly writes: FencedWrite[] = [];
  readonly landed: LandedWrite[] = [];
  readonly #known = new Map<string, number[]>();
  readonly #access: Access;
  readonly #startMs: number;
  #truth: EtcdTruth | undefined;

  constructor(access: Access, startMs: number) {
    this.#access = access;
    this.#startMs = startMs;
  }

  /** What stands before the first change is read. */
  async begin(): Promise<void> {
    const revision = await withEtcd(this.#access, currentRevision);
    for (const { election, createRevision } of await electionsOf(this.#access, revision))
      this.reigns.push({ election, createRevision, revision: createRevision });
    this.#truth = new EtcdTruth(configMapsOf("nobody's"), revision, (change) => this.#onChange(change));
  }

  /** Reads on what etcd tells of elections, and of writes that landed. */
  async readOn(): Promise<void> {
    await withEtcd(this.#access, async (member) => this.#truth?.readOn(member));
  }

  #onChange({ key, revision, createRevision, value }: StoreKeyChange): void {
    if (key.startsWith(ELECTIONS)) {
      this.reigns.push({ election: key.slice(ELECTIONS.length), createRevision: value ? createRevision : 0, revision });
      return;
    }
    if (value === undefined || !key.includes("/fenced-")) return;
    const mark = /"mark":"([^"]+)"/.exec(Buffer.from(value).toString())?.[1];
    if (mark !== undefined) this.landed.push({ mark, revision });
  }

  /** Until the signal: looks who leads, and writes under one of the leaderships that were seen. */
  async follow(path: string, random: Random, signal: AbortSignal): Promise<void> {
    const access = this.#access;
    const pending = new Set<Promise<void>>();
    for (let turn = 0; !signal.aborted; turn++) {
      const found = await electionsOf(access).catch(() => []);
      for (const { election, createRevision, identity } of found) {
        this.seen.push({ atMs: access.clock.monotonicMs() - this.#startMs, election, identity });
        const known = this.#known.get(election) ?? [];
        this.#known.set(election, known);
        if (!known.includes(createRevision)) known.push(createRevision);
        if (known.length > REMEMBERED) known.shift();
      }
      for (const [election, known] of this.#known) {
        const createRevision = known[Math.floor(random.next() * known.length)] as number;
        const door = access.doors[Math.floor(random.next() * access.doors.length)] as Door;
        const mark = `${election}-${createRevision}-${turn}`;
        const write = this.#write(door, `${path}/fenced-${election}`, { election, createRevision, mark });
        pending.add(write);
        void write.finally(() => pending.delete(write));
      }
      await sleep(access.clock, EVERY_MS, signal).catch(() => undefined);
    }
    await Promise.all(pending);
  }

  async #write(
    { server, transport }: Door,
    path: string,
    {
      election,
      createRevision,
      mark,
    }: { readonly election: string; readonly createRevision: number; readonly mark: string },
  ): Promise<void> {
    const headers = {
      "content-type": "application/merge-patch+json",
      "pilothouse-fence": `${election}/${createRevision}`,
    };
    const body = Buffer.from(JSON.stringify({ data: { mark } }));
    const [outcome, said] = await ask(
      transport,
      this.#access.clock,
      { method: "PATCH", path, headers, body },
      DEADLINE_MS,
    ).then(
      ({ status }) => [outcomeOf(status), String(status)] as const,
      (error: unknown) => ["unknown", error instanceof Error ? error.message : String(error)] as const,
    );
    const text = `write ${mark} under ${election}/${createRevision} at ${server} → ${said}`;
    this.writes.push({ mark, election, createRevision, outcome, text });
  }
}

function outcomeOf(status: number): FencedWrite["outcome"] {
  if (status < 300) return "done";
  return status === 500 || status >= 504 ? "unknown" : "refused";
}

interface Election {
  readonly election: string;
  readonly createRevision: number;
  readonly identity: string;
}

/** As they are, or were at a revision. */
async function electionsOf(access: Access, revision = 0): Promise<Election[]> {
  const request = { key: Buffer.from(ELECTIONS), range_end: Buffer.from(AFTER_ELECTIONS), revision };
  const { kvs } = await withEtcd(access, (member) => member.range(request));
  return kvs.map(({ key, value, create_revision }) => ({
    election: key.toString().slice(ELECTIONS.length),
    createRevision: Number(create_revision),
    identity: (JSON.parse(value.toString()) as { readonly identity?: string }).identity ?? "",
  }));
}
