/** One run of a scenario: undisturbed, to record what can be disturbed and what comes of it; or disturbed at one point. */
import { sleep } from "@pilothouse/clock";
import { isStatus } from "@pilothouse/errors";
import { Invariants, isHeartbeat } from "../invariants.ts";
import { changedKey, type Commit } from "../store.ts";
import { inContext } from "../traps.ts";
import { Violation, World, type StoryLine } from "../world.ts";
import { nameOf, type Point, type Recording } from "./points.ts";
import type { Others, Scenario } from "./scenario.ts";
import { SmallWorld } from "./small-world.ts";
import { difference, stateOf } from "./state.ts";

export interface Trial {
  readonly recording: Recording;
  readonly failure: Error | undefined;
  readonly story: readonly StoryLine[];
}

/** Every informer follows the bus by then. */
const WARM_AFTER_MS = 8_000;
const DOWN_MS = 1_000;
/** It is reborn when what it asked for before is no excuse any more (RECENT_MS of the invariants). */
const REBORN_AFTER_MS = 21_000;
/** An object that does not change again is unseen for so long. */
const UNSEEN_MS = 2_000;
/** Longer than it takes to notice that the bus says nothing. */
const DEAF_AFTER_END_MS = 15_000;
const SETTLES_WITHIN_MS = 60_000;
/** What has come to rest writes nothing for so long. */
const REST_MS = 60_000;
const LOOK_EVERY_MS = 5_000;

/** Never throws. Traps are the caller's. */
export async function tryScenario(
  scenario: Scenario,
  disturbed?: { readonly point: Point; readonly end: Recording["end"] },
): Promise<Trial> {
  const world = new World(`sieve/${scenario.name}`);
  const stage = new Stage(world, scenario, disturbed?.point);
  const unhandled = (error: unknown): void => world.fail(error);
  process.on("unhandledRejection", unhandled);
  let failure: Error | undefined;
  try {
    await stage.play();
    await stage.comeToRest(disturbed?.end);
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error));
  } finally {
    process.off("unhandledRejection", unhandled);
  }
  return { recording: await stage.recording(), failure, story: world.story };
}

class Stage {
  readonly #world: World;
  readonly #scenario: Scenario;
  readonly #point: Point | undefined;
  readonly #small: SmallWorld;
  readonly #others: Others;
  readonly #invariants: Invariants | undefined;
  readonly #revisions: number[] = [];
  #writes = 0;
  #acts = 0;
  /** The store's revision when the scenario's cluster was ready for it, and what had been heard by then. */
  #baseRevision = 0;
  #heardBefore = Number.POSITIVE_INFINITY;
  #lastRevision = 0;
  #isOver = false;
  #struckAtMs: number | undefined;
  /** The object whose next change ends the silence. */
  #unseenKey: string | undefined;

  constructor(world: World, scenario: Scenario, point: Point | undefined) {
    this.#world = world;
    this.#scenario = scenario;
    this.#point = point;
    this.#small = new SmallWorld(world, scenario.subject, () => this.#onAct());
    this.#others = this.#othersOf();
    this.#invariants = scenario.keepsInvariants ? new Invariants(world) : undefined;
    if (point?.kind === "lost") this.#small.ears.lost.add(point.message);
    world.check = () => {
      for (const commit of this.#small.truth.takeCommits()) this.#committed(commit);
    };
  }

  /** All steps, and what the point does until then and a little longer. */
  async play(): Promise<void> {
    const world = this.#world;
    const small = this.#small;
    let serves = false;
    world.at(0, "the apiserver starts", () => {
      small.begin().then(
        () => (serves = true),
        (error: unknown) => world.fail(error),
      );
    });
    await world.run(60_000, () => serves);
    this.#baseRevision = this.#lastRevision;
    world.at(0, "the process under test starts", () => small.bootSubject());
    await world.run(world.nowMs + WARM_AFTER_MS);
    this.#heardBefore = small.ears.heard.length;
    world.at(0, "the scenario begins", () => this.#tellSteps());
    await world.run(world.nowMs + 600_000, () => this.#isOver);
    const point = this.#point;
    if (point?.kind === "rewound") await this.#rewind(point.revision);
    if (point?.kind === "frozen" || point?.kind === "reborn") await this.#endSilence(point.kind);
  }

  /** Until what must be so is so, and nothing is written any more. @param end undefined: whatever it comes to */
  async comeToRest(end: Recording["end"] | undefined): Promise<void> {
    const world = this.#world;
    const { settlesWithinMs = SETTLES_WITHIN_MS } = this.#scenario;
    const untilMs = world.nowMs + settlesWithinMs + REST_MS;
    const isAtRest = (): boolean => world.nowMs - this.#small.lastWrite.atMs >= REST_MS;
    const isRight = async (): Promise<boolean> => end === undefined || difference(end, await this.#state()) === "";
    while (world.nowMs < untilMs && !(this.#isMet() && isAtRest() && (await isRight())))
      await world.run(world.nowMs + LOOK_EVERY_MS);
    if (end === undefined) await world.run(untilMs);
    if (this.#point && !this.#isMet()) throw new Violation(`${nameOf(this.#point)} was never met`);
    const different = end === undefined ? "" : difference(end, await this.#state());
    if (different !== "") throw new Violation(`another end than undisturbed:\n${different}`);
    if (!isAtRest()) throw new Violation(`still writing: ${this.#small.lastWrite.what}`);
  }

  async recording(): Promise<Recording> {
    const messages = [...new Set(this.#small.ears.heard.slice(this.#heardBefore))];
    return { writes: this.#writes, acts: this.#acts, revisions: this.#revisions, messages, end: await this.#state() };
  }

  async #state(): Promise<string[]> {
    const { end } = this.#scenario;
    const objects = this.#small.objectsSince(this.#baseRevision);
    return [...stateOf(end ? end(objects) : objects), ...(await this.#small.remains())];
  }

  #isMet(): boolean {
    return this.#point === undefined || this.#struckAtMs !== undefined || this.#small.ears.missed.size > 0;
  }

  #tellSteps(): void {
    const { user, client } = this.#small;
    const tell = async (): Promise<void> => {
      for (const { afterMs, does, run } of this.#scenario.steps) {
        await sleep(user.clock, afterMs);
        this.#world.tell("user", does);
        await run(client);
      }
      await sleep(user.clock, DOWN_MS);
    };
    inContext({ life: user.name }, tell).then(
      () => (this.#isOver = true),
      (error: unknown) => this.#world.fail(error),
    );
  }

  #committed(commit: Commit): void {
    this.#lastRevision = commit.revision;
    this.#small.committed(commit);
    this.#invariants?.judge(commit);
    this.#scenario.others?.(commit, this.#others);
    if (commit.cause?.client === this.#scenario.subject.machine && !isLease(commit)) this.#onWrite();
    const key = commit.changes.map(changedKey).find((changed) => !isHeartbeat(changed));
    if (key === undefined || this.#heardBefore === Number.POSITIVE_INFINITY) return;
    this.#revisions.push(commit.revision);
    if (key === this.#unseenKey) this.#hearAgain(commit.revision);
    this.#onRevision(commit.revision, key);
  }

  /** What was done before the scenario began is no part of it. */
  #onAct(): void {
    if (this.#heardBefore === Number.POSITIVE_INFINITY) return;
    this.#acts++;
    if (this.#point?.kind === "cut" && this.#point.act === this.#acts) this.#strikeDown();
  }

  #onWrite(): void {
    this.#writes++;
    if (this.#point?.kind === "crash" && this.#point.write === this.#writes) this.#strikeDown();
  }

  #strikeDown(): void {
    this.#struckAtMs = this.#world.nowMs;
    this.#small.crashSubject(DOWN_MS);
  }

  #onRevision(revision: number, key: string): void {
    const point = this.#point;
    if (!point || !("revision" in point) || point.kind === "rewound" || point.revision !== revision) return;
    this.#struckAtMs = this.#world.nowMs;
    this.#world.tell("world", `${this.#scenario.subject.machine} hears nothing from revision ${revision} on`);
    this.#small.ears.deafen(revision);
    if (point.kind !== "unseen") return;
    this.#unseenKey = key;
    this.#world.at(UNSEEN_MS, "heard again", () => this.#hearAgain(this.#lastRevision));
  }

  #hearAgain(historyFrom: number): void {
    if (this.#unseenKey === undefined) return;
    this.#unseenKey = undefined;
    this.#small.ears.hear(historyFrom);
  }

  /** The point may be met only after the last step: a controller may have something to do much later. */
  async #endSilence(kind: "frozen" | "reborn"): Promise<void> {
    const world = this.#world;
    const { settlesWithinMs = SETTLES_WITHIN_MS } = this.#scenario;
    await world.run(world.nowMs + settlesWithinMs, () => this.#struckAtMs !== undefined);
    if (kind === "reborn") {
      await world.run(world.nowMs + REBORN_AFTER_MS);
      this.#small.crashSubject(DOWN_MS);
    }
    await world.run(world.nowMs + DEAF_AFTER_END_MS);
    world.tell("world", `${this.#scenario.subject.machine} hears again`);
    this.#small.ears.hear();
  }

  async #rewind(revision: number): Promise<void> {
    const world = this.#world;
    await world.run(world.nowMs + REBORN_AFTER_MS);
    this.#struckAtMs = world.nowMs;
    this.#small.ears.deafen(revision);
    this.#small.crashSubject(DOWN_MS);
    await world.run(world.nowMs + DEAF_AFTER_END_MS);
    world.tell("world", `${this.#scenario.subject.machine} hears again`);
    this.#small.ears.hear();
  }

  #othersOf(): Others {
    const { user, client } = this.#small;
    return {
      client,
      after: (delayMs, work) => {
        user.after(delayMs, "others act", () => {
          work(client).catch((error: unknown) => {
            if (!isStatus(error, "NotFound")) this.#world.fail(error);
          });
        });
      },
    };
  }
}

function isLease({ changes }: Commit): boolean {
  return changes.every((change) => changedKey(change).startsWith("/registry/coordination.k8s.io/leases/"));
}
