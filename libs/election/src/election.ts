/** The runner: carries the machine's actions out over the ports, and tells it what came of them. */
import { sleep, withDeadline } from "@pilothouse/clock";
import type { Clock, Random } from "@pilothouse/clock";
import { busSubjects } from "@pilothouse/bus";
import type { Bus } from "@pilothouse/bus";
import type { Scope } from "@pilothouse/lifecycle";
import { keyRange } from "@pilothouse/store";
import type { Store, StoreChange, StoreWatch } from "@pilothouse/store";
import { createKey, removeKey, renewLease } from "./campaign.ts";
import type { Candidate } from "./campaign.ts";
import { decodeBeat, electionKey, encodeBeat, seenKey } from "./key.ts";
import { electionTimes, firstStep, nextStep } from "./machine.ts";
import type { ElectionAction, ElectionInput, ElectionState, ElectionStep, SeenKey } from "./machine.ts";

export interface ElectionOptions {
  readonly name: string;
  /** Of this incarnation of the process: no other one, before or after, may have the same. */
  readonly identity: string;
  /** `host:port` where `probeLeader` of others finds this process. */
  readonly healthAddress?: string;
  readonly store: Store;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly random: Random;
  readonly scope: Scope;
  /**
   * True only if that very incarnation answers that it lives. Without it a silent leader counts as alive, and a takeover
   * waits for its lease.
   */
  readonly probeLeader?: (leader: SeenKey) => Promise<boolean>;
}

export interface Leadership {
  readonly election: string;
  /** The fence: goes with each write of the leader (C11). A revision of the store. */
  readonly createRevision: number;
  /** The same moment as feeds count (C8): they must reach it before the leader acts (C10). */
  readonly resourceVersion: number;
  /** Aborts with `LeadershipLost` at the moment the leadership is known to be lost. */
  readonly signal: AbortSignal;
}

export class LeadershipLost extends Error {
  override readonly name = "LeadershipLost";
}

const PROBE_DEADLINE_MS = 1_000;
const PAUSE_MS = 300;
/** How long a stopping leader waits for its work before it gives the key away: the fence holds in any case. */
const WORK_ENDS_WITHIN_MS = 2_000;

/**
 * Takes part in an election until the scope closes; calls `lead` whenever this process leads, never twice at a time.
 * When `lead` returns, the leadership is given up and the process is a candidate again; when it throws, the leadership is
 * given up and the election of this process ends with that error. Resolves when all is given back.
 */
export async function runElection(
  options: ElectionOptions,
  lead: (leadership: Leadership) => Promise<void>,
): Promise<void> {
  await new ElectionRunner(options, lead).run();
}

class ElectionRunner {
  readonly #options: ElectionOptions;
  readonly #candidate: Candidate;
  readonly #lead: (leadership: Leadership) => Promise<void>;
  readonly #stopped = new AbortController();
  readonly #tasks = new Set<Promise<void>>();
  #state: ElectionState = { role: "looking" };
  #watch: StoreWatch | undefined;
  #leadership: AbortController | undefined;
  #work: Promise<void> = Promise.resolve();
  #failure: { readonly error: unknown } | undefined;

  constructor(options: ElectionOptions, lead: (leadership: Leadership) => Promise<void>) {
    this.#options = options;
    this.#candidate = { ...options, healthAddress: options.healthAddress };
    this.#lead = lead;
  }

  async run(): Promise<void> {
    const { bus, clock, name, scope } = this.#options;
    const beats = bus.subscribe(busSubjects.leaderBeat(name), ({ payload }) =>
      this.#tell({ type: "beat", createRevision: decodeBeat(payload) }),
    );
    const stop = (): void => this.#stopped.abort();
    scope.signal.addEventListener("abort", stop, { once: true });
    if (scope.signal.aborted) stop();
    this.#take(firstStep());
    try {
      while (!this.#stopped.signal.aborted) {
        await sleep(clock, electionTimes.beatMs, this.#stopped.signal);
        this.#tell({ type: "tick" });
      }
    } catch (error) {
      if (!this.#stopped.signal.aborted) throw error;
    } finally {
      scope.signal.removeEventListener("abort", stop);
      beats.unsubscribe();
      this.#watch?.close();
      this.#tell({ type: "stop" });
      while (this.#tasks.size > 0) await Promise.all(this.#tasks);
    }
    if (this.#failure) throw this.#failure.error;
  }

  #tell(input: ElectionInput): void {
    this.#take(nextStep(this.#state, input, this.#options.clock.monotonicMs()));
  }

  #take({ state, actions }: ElectionStep): void {
    this.#state = state;
    for (const action of actions) this.#perform(action);
  }

  #perform(action: ElectionAction): void {
    const { clock, bus, name } = this.#options;
    switch (action.do) {
      case "look":
        return this.#start(() => this.#look(action.afterPause));
      case "create":
        return this.#start(() => this.#create());
      case "probe":
        return this.#start(() => this.#probe(action.leader));
      case "remove":
        return this.#start(() => this.#remove(action.createRevision));
      case "lead":
        return this.#begin(action);
      case "beat":
        return void bus.publish(busSubjects.leaderBeat(name), encodeBeat(action.createRevision));
      case "renew":
        return this.#start(() => this.#renew(action, clock.monotonicMs()));
      case "lose":
        return this.#leadership?.abort(new LeadershipLost(`lost the election ${name}: ${action.why}`));
      case "release":
        return this.#start(() => this.#release(action.createRevision, action.leaseId));
    }
  }

  /** Runs an action; the machine hears of the outcome by inputs, so that a failure is one too. */
  #start(action: () => Promise<void>): void {
    const task: Promise<void> = action().finally(() => this.#tasks.delete(task));
    this.#tasks.add(task);
  }

  /** Reads the key and follows it from there, until it works or the election stops. */
  async #look(afterPause: boolean): Promise<void> {
    const { store, name } = this.#options;
    // What the old watch may still tell is older than what we are about to read.
    this.#watch?.close();
    if (afterPause) await this.#pause();
    while (!this.#stopped.signal.aborted) {
      try {
        const { entry, revision } = await store.get(electionKey(name));
        this.#follow(revision + 1);
        this.#tellKey(entry && seenKey(entry), revision);
        return;
      } catch {
        await this.#pause();
      }
    }
  }

  #follow(startRevision: number): void {
    this.#watch?.close();
    if (this.#stopped.signal.aborted) return;
    this.#watch = this.#options.store.watch({
      range: keyRange(electionKey(this.#options.name)),
      startRevision,
      onChanges: (changes) => changes.forEach((change) => this.#tellChange(change)),
      onEnd: () => this.#start(() => this.#look(true)),
    });
  }

  #tellChange(change: StoreChange): void {
    if (change.type === "put") this.#tellKey(seenKey(change.entry), change.entry.modRevision);
    else this.#tellKey(undefined, change.modRevision);
  }

  #tellKey(key: SeenKey | undefined, revision: number): void {
    this.#tell({ type: "key", key, revision, isOwn: key?.identity === this.#options.identity });
  }

  async #create(): Promise<void> {
    try {
      const created = await createKey(this.#candidate);
      if (created) {
        this.#tell({ type: "created", ...created });
        return;
      }
    } catch {
      await this.#pause();
    }
    this.#tell({ type: "failed" });
  }

  async #remove(createRevision: number): Promise<void> {
    let removed = false;
    try {
      removed = await removeKey(this.#candidate, createRevision);
    } catch {
      await this.#pause();
    }
    this.#tell(removed ? { type: "removed" } : { type: "failed" });
  }

  async #probe(leader: SeenKey): Promise<void> {
    const { probeLeader, clock } = this.#options;
    const alive = probeLeader
      ? await withDeadline(clock, PROBE_DEADLINE_MS, "the leader's health", probeLeader(leader)).catch(() => false)
      : true;
    this.#tell({ type: "probed", createRevision: leader.createRevision, alive });
  }

  async #renew(own: { leaseId: string; createRevision: number }, askedMs: number): Promise<void> {
    const { leaseId } = own;
    try {
      const renewed = await renewLease(this.#candidate, own);
      this.#tell(renewed ? { type: "renewed", leaseId, askedMs } : { type: "notRenewed", leaseId });
    } catch {
      // The machine asks again, and steps down when it must.
    }
  }

  #begin({ createRevision, resourceVersion }: Extract<ElectionAction, { do: "lead" }>): void {
    const leadership = new AbortController();
    this.#leadership = leadership;
    const { signal } = leadership;
    this.#work = this.#lead({ election: this.#options.name, createRevision, resourceVersion, signal })
      .catch((error: unknown) => {
        if (signal.aborted) return;
        this.#failure = { error };
        this.#stopped.abort();
      })
      .then(() => {
        leadership.abort(new LeadershipLost("the work is done"));
        this.#tell({ type: "workEnded" });
      });
    this.#start(() => this.#work);
  }

  async #release(createRevision: number, leaseId: string): Promise<void> {
    const { clock, store } = this.#options;
    await withDeadline(clock, WORK_ENDS_WITHIN_MS, "the leader's work", this.#work).catch(() => undefined);
    await removeKey(this.#candidate, createRevision).catch(() => false);
    await store.revokeLease(leaseId).catch(() => undefined);
  }

  /** Between a third and a whole of the pause, so that candidates do not try in step. */
  async #pause(): Promise<void> {
    const { clock, random } = this.#options;
    await sleep(clock, PAUSE_MS * (1 / 3 + (random.next() * 2) / 3), this.#stopped.signal).catch(() => undefined);
  }
}
