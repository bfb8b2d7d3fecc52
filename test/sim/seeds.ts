/** One seed from beginning to end: the cluster starts, the user's story is told under faults, all converges, all is quiet. */
import { Cluster, victims } from "./cluster.ts";
import { planFaults, type FaultPlan } from "./faults.ts";
import { unconverged, unserved } from "./convergence.ts";
import { Invariants } from "./invariants.ts";
import { Machine } from "./machine.ts";
import { tellStory } from "./story.ts";
import { inContext, setTraps } from "./traps.ts";
import { toggle, Users } from "./users.ts";
import { Violation, World, type StoryLine } from "./world.ts";

export interface SeedResult {
  readonly seed: number;
  readonly digest: string;
  readonly failure: Error | undefined;
  readonly story: readonly StoryLine[];
  readonly plan: FaultPlan;
  readonly steps: number;
  readonly virtualMs: number;
  /** How often each fault, and each of the users' doings, came true. */
  readonly counts: ReadonlyMap<string, number>;
}

const FAULTS_FROM_MS = 10_000;
const FAULTS_UNTIL_MS = 150_000;
/** After the last fault and the story's end: two dead watches, one after the other, must be noticed within it. */
const CONVERGES_WITHIN_MS = 150_000;
const QUIET_MS = 60_000;
const STORY_WITHIN_MS = 600_000;

/** Runs one world; never throws. */
export async function runSeed(seed: number): Promise<SeedResult> {
  const world = new World(String(seed));
  const plan = planFaults(world.random.fork("plan"), victims, FAULTS_FROM_MS, FAULTS_UNTIL_MS);
  const freeTraps = setTraps();
  const unhandled = (error: unknown): void => world.fail(error);
  process.on("unhandledRejection", unhandled);
  let failure: Error | undefined;
  try {
    await play(world, plan);
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error));
    world.tell("world", `FAILED: ${failure.message}`);
  } finally {
    process.off("unhandledRejection", unhandled);
    freeTraps();
  }
  const { story, steps, nowMs, counts } = world;
  return { seed, digest: world.digest(), failure, story, plan, steps, virtualMs: nowMs, counts };
}

async function play(world: World, plan: FaultPlan): Promise<void> {
  const cluster = new Cluster(world, plan);
  const invariants = new Invariants(world);
  const usersLife = new Machine(world, "users").boot();
  const users = new Users(usersLife, cluster.doorsOf(usersLife));
  world.check = () => {
    for (const commit of cluster.truth.takeCommits()) {
      invariants.judge(commit);
      users.committed(commit);
      cluster.committed(commit);
    }
  };
  world.at(0, "begin", () => cluster.begin());
  let told = false;
  world.at(FAULTS_FROM_MS, "the story begins", () => {
    const { clientLife: life, client, otherClient } = cluster;
    const ports = {
      life,
      client,
      otherClient,
      random: world.random.fork("story"),
      acknowledged: (object: Parameters<Invariants["acknowledged"]>[0]) => invariants.acknowledged(object),
      deletes: (uid: string) => invariants.userDeletes(uid),
    };
    const telling = [
      inContext({ life: life.name }, () => tellStory(ports)),
      inContext({ life: usersLife.name }, () => users.run(FAULTS_UNTIL_MS)),
      inContext({ life: usersLife.name }, () => toggle(usersLife, cluster.clientsOf(usersLife), FAULTS_UNTIL_MS)),
    ];
    Promise.all(telling).then(
      () => (told = true),
      (error: unknown) => world.fail(error),
    );
  });

  await world.run(STORY_WITHIN_MS, () => told);
  if (!told) throw new Violation(`the story is not over after ${STORY_WITHIN_MS / 1_000} s`);
  await world.run(Math.max(world.nowMs, plan.untilMs));
  world.tell("world", "no more faults");
  const faultlessMs = world.nowMs;
  const isQuiet = (): boolean => world.nowMs - Math.max(faultlessMs, invariants.lastWrite.atMs) >= QUIET_MS;
  await world.run(
    faultlessMs + CONVERGES_WITHIN_MS + QUIET_MS,
    () => isQuiet() && unconverged(invariants) === undefined,
  );
  users.judge();
  const within = `within ${CONVERGES_WITHIN_MS / 1_000} s after the last fault`;
  const missing = unconverged(invariants) ?? (await unserved(cluster, invariants));
  if (missing !== undefined) throw new Violation(`not converged ${within}: ${missing}`);
  if (!isQuiet()) throw new Violation(`still writing ${within}: ${invariants.lastWrite.what}`);
  world.tell(
    "world",
    `converged ${((invariants.lastWrite.atMs - faultlessMs) / 1_000).toFixed(1)} s after the last fault, and quiet`,
  );
}
