/** One soak: a workload, faults, checkers, and what came of it. */
import { sleep, type Clock, type Random } from "@pilothouse/clock";
import type { Lab } from "../../deploy/lab/layout.ts";
import { judgeAvailability, type Sample, type Span } from "./checkers/availability.ts";
import { judgeHealed, type DeploymentObject, type JobObject, type NodeObject } from "./checkers/healed.ts";
import { identityFigures, judgeIdentities } from "./checkers/identities.ts";
import { judgeLeadership, leadershipFigures } from "./checkers/leadership.ts";
import { judgeOrphans, type ClusterObjects } from "./checkers/orphans.ts";
import { judgeSlopes, slopesOf } from "./checkers/slopes.ts";
import type { Finding } from "./finding.ts";
import { readEvidence, removeEvidence } from "./machines/evidence.ts";
import { sampleProcesses } from "./machines/sampling.ts";
import { answerOf } from "./machines/ssh.ts";
import { TRACES_SCRIPT, tracesOf } from "./machines/traces.ts";
import { quorumLosses } from "./plan/quorum.ts";
import type { PlannedFault } from "./plan/plan.ts";
import type { SoakOutcome } from "./report/outcome.ts";
import { askAny, getJson, type Access } from "./workload/access.ts";
import { createStable, NODE_PORT, useDeployments } from "./workload/deployments.ts";
import { runEpisode, type EpisodeResult } from "./workload/episodes.ts";
import { followWorkloads } from "./workload/followers.ts";
import { inflictPlan, type Inflicted } from "./workload/inflict.ts";
import { useJobs } from "./workload/jobs.ts";
import { Leaders } from "./workload/leaders.ts";
import { probeApi, probeService } from "./workload/probes.ts";
import { useStatefulSets } from "./workload/stateful-sets.ts";

export interface SoakOptions {
  readonly access: Access;
  /** Without one there are no faults, no samples of processes and no search for orphans. */
  readonly lab: Lab | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly seed: string;
  readonly lastsMs: number;
  readonly plan: readonly PlannedFault[];
  readonly directory: string;
  readonly tell: (line: string) => void;
  /** Ends it early; what has been seen is judged. */
  readonly signal: AbortSignal;
}

const EPISODE_MS = 300_000;
const LEADERS_EVERY_MS = 60_000;
/** After a fault: endpoints on a dead node are taken away when it is found dead, and come back when it is. */
const SERVICE_REST_MS = 90_000;
const API_LEAST_SHARE = 0.9995;
const SERVICE_LEAST_SHARE = 0.999;
const HEALED_WITHIN_MS = 180_000;
const REMOVED_WITHIN_MS = 120_000;
const LOOK_AGAIN_MS = 3_000;

export async function runSoak(options: SoakOptions): Promise<SoakOutcome> {
  const { access, lab, clock, random, seed, lastsMs, plan, tell } = options;
  const begun = new Date(clock.now()).toISOString();
  const namespace = `soak-${clock.now().toString(36)}`;
  const startMs = clock.monotonicMs();
  const { using, following, stop } = stages(clock, lastsMs, options.signal);
  const samples: Sample[] = [];
  const note = (sample: Sample): void => void samples.push(sample);
  const leaders = new Leaders(access, startMs);
  await leaders.begin();
  const monitors = followWorkloads(access, namespace, random.fork("followers"), following.signal);
  await createStable(access, namespace);
  const maps = `/api/v1/namespaces/${namespace}/configmaps`;
  for (const name of ["probe", "fenced-kube-scheduler", "fenced-kube-controller-manager"])
    await askAny(access, "POST", maps, { metadata: { name } });
  tell(`namespace ${namespace}, ${plan.length} faults`);
  // Whoever calls a Service that has no pods yet is rightly refused.
  const unready = await healed(access, namespace, clock);

  const nodes = await nodesOf(access);
  const processes = lab ? sampleProcesses(lab, clock, startMs, following.signal) : Promise.resolve([]);
  const reading = readLeaders(leaders, clock, following.signal);
  const leading = leaders.follow(maps, random.fork("leaders"), following.signal);
  const probing = [
    probeApi(access, `${maps}/probe`, note, following.signal, startMs),
    ...nodes.map(({ name, address }) => {
      const probed = { url: `http://${address}:${NODE_PORT}/`, probe: `service@${name}` };
      return probeService(clock, probed, note, following.signal, startMs);
    }),
  ];
  const episodes = runEpisodes(options, `${namespace}-maps`, using);
  const users = Promise.all([
    useDeployments(access, namespace, random.fork("deployments"), using),
    useStatefulSets(access, namespace, random.fork("stateful sets"), using),
    useJobs(access, namespace, random.fork("jobs"), using),
  ]);
  const faults = lab ? await inflictPlan(lab, plan, clock, startMs, tell, options.signal) : [];
  const results = await episodes;
  const [deploymentFigures, statefulSetFigures, jobFigures] = await users;
  tell("the workload is over: waiting until all is well");
  const unhealed = await healed(access, namespace, clock);
  stop();
  await Promise.all([...probing, leading, reading]);
  const { surges, jobs } = await monitors;
  const processSamples = await processes;
  const lastedMs = clock.monotonicMs() - startMs;
  await askAny(access, "DELETE", `/api/v1/namespaces/${namespace}`).catch(() => undefined);
  const orphans = lab ? await orphansOf(access, lab, namespace, clock) : [];
  const { runs, done } = await readEvidence(lab?.machines ?? [], namespace);
  await removeEvidence(lab?.machines ?? [], namespace);
  await leaders.readOn();
  const losses = quorumLosses(faults, lab?.machines ?? []);
  const slopes = slopesOf(processSamples);
  return {
    seed,
    begun,
    lastedMs,
    findings: [
      ...results.flatMap(({ findings }) => findings),
      ...surges.findings,
      ...judgeIdentities(runs),
      ...(lab ? jobs.judge(done) : jobs.findings),
      ...judgeLeadership(leaders),
      ...judgeAvailability(samples, rulesFor(nodes, faults, losses)),
      ...faults.flatMap(({ text, failure }) =>
        failure ? [{ checker: "faults", message: `${text}: ${failure}` }] : [],
      ),
      ...unready,
      ...unhealed,
      ...orphans,
      ...judgeSlopes(slopes),
    ],
    figures: {
      histories: historyFigures(results),
      Deployments: { ...deploymentFigures, ...surges.figures },
      StatefulSets: { ...statefulSetFigures, ...identityFigures(runs) },
      Jobs: { ...jobFigures, ...jobs.figures },
      leadership: leadershipFigures(leaders),
      ...probeFigures(samples),
    },
    faults,
    samples,
    processes: processSamples,
    slopes,
    leaders: leaders.seen,
  };
}

interface Stages {
  /** While users work. */
  readonly using: AbortSignal;
  /** While probes ask and samples are taken: until all is well again. */
  readonly following: AbortController;
  readonly stop: () => void;
}

function stages(clock: Clock, lastsMs: number, signal: AbortSignal): Stages {
  const over = new AbortController();
  const following = new AbortController();
  const timer = clock.setTimer(lastsMs, () => over.abort());
  const stop = (): void => {
    timer.cancel();
    following.abort();
  };
  return { using: AbortSignal.any([signal, over.signal]), following, stop };
}

/** One after the other; each is judged while the next one runs. */
async function runEpisodes(options: SoakOptions, prefix: string, signal: AbortSignal): Promise<EpisodeResult[]> {
  const verdicts: Promise<EpisodeResult>[] = [];
  for (let number = 0; !signal.aborted; number++) {
    const episode = { ...options, prefix, lastsMs: EPISODE_MS };
    try {
      const { verdict } = await runEpisode(number, episode, signal);
      verdicts.push(verdict);
      void verdict.then(({ findings }) => findings.forEach(({ message }) => options.tell(message)));
    } catch (error) {
      // Its beginning can be cut short by the end of all.
      if (!signal.aborted) throw error;
    }
  }
  return Promise.all(verdicts);
}

async function readLeaders(leaders: Leaders, clock: Clock, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(clock, LEADERS_EVERY_MS, signal).catch(() => undefined);
    await leaders.readOn().catch(() => undefined);
  }
}

interface Node {
  readonly name: string;
  readonly address: string;
}

async function nodesOf(access: Access): Promise<Node[]> {
  const { items } = await getJson<{ readonly items: readonly NodeObject[] }>(access, "/api/v1/nodes");
  return items.map(({ metadata, status }) => ({
    name: metadata.name,
    address: status?.addresses?.find(({ type }) => type === "InternalIP")?.address ?? "",
  }));
}

function rulesFor(nodes: readonly Node[], faults: readonly Inflicted[], losses: readonly Span[]) {
  const afterFaults = faults.map(({ fromMs, untilMs }) => ({ fromMs, untilMs: untilMs + SERVICE_REST_MS }));
  return [
    { probe: "api", leastShare: API_LEAST_SHARE, excused: losses, excuse: "lost quorum" },
    ...nodes.map(({ name }) => ({
      probe: `service@${name}`,
      leastShare: SERVICE_LEAST_SHARE,
      excused: afterFaults,
      excuse: "faults and their aftermath",
    })),
  ];
}

/** What is still not well when the patience is over. */
async function healed(access: Access, namespace: string, clock: Clock): Promise<Finding[]> {
  return untilNone(clock, HEALED_WITHIN_MS, async () => {
    const { items: nodes } = await getJson<{ readonly items: readonly NodeObject[] }>(access, "/api/v1/nodes");
    const inNamespace = async <T>(group: string, plural: string): Promise<readonly T[]> =>
      (await getJson<{ readonly items: readonly T[] }>(access, `/apis/${group}/namespaces/${namespace}/${plural}`))
        .items;
    const deployments = await inNamespace<DeploymentObject>("apps/v1", "deployments");
    const statefulSets = await inNamespace<DeploymentObject>("apps/v1", "statefulsets");
    const jobs = await inNamespace<JobObject>("batch/v1", "jobs");
    return judgeHealed({ nodes, deployments, statefulSets, jobs });
  });
}

async function orphansOf(
  access: Access,
  { layout, machines }: Lab,
  namespace: string,
  clock: Clock,
): Promise<Finding[]> {
  return untilNone(clock, REMOVED_WITHIN_MS, async () => {
    const objects = await clusterObjects(access);
    const left = objects.pods.filter((pod) => pod.namespace.startsWith(namespace));
    const findings: Finding[] = left.map(({ uid }) => ({
      checker: "orphans",
      message: `pod ${uid} is still in the API`,
    }));
    for (const machine of machines)
      findings.push(...judgeOrphans(machine.name, tracesOf(await answerOf(layout, machine, TRACES_SCRIPT)), objects));
    return findings;
  });
}

async function clusterObjects(access: Access) {
  interface Pods {
    readonly items: readonly {
      readonly metadata: { readonly uid: string; readonly namespace: string };
      readonly spec: { readonly nodeName?: string };
      readonly status?: { readonly podIP?: string };
    }[];
  }
  interface Services {
    readonly items: readonly { readonly spec: { readonly clusterIPs?: readonly string[] } }[];
  }
  const pods = await getJson<Pods>(access, "/api/v1/pods");
  const services = await getJson<Services>(access, "/api/v1/services");
  return {
    pods: pods.items.map(({ metadata, spec, status }) => ({
      uid: metadata.uid,
      namespace: metadata.namespace,
      node: spec.nodeName ?? "",
      ip: status?.podIP,
    })),
    clusterIps: services.items.flatMap(({ spec }) => spec.clusterIPs ?? []),
  } satisfies ClusterObjects;
}

/** Asks again until nothing is found; what is found last when the patience is over. A question that fails is a finding too. */
async function untilNone(clock: Clock, withinMs: number, look: () => Promise<Finding[]>): Promise<Finding[]> {
  const startMs = clock.monotonicMs();
  for (;;) {
    const findings = await look().catch((error: unknown) => [{ checker: "soak", message: String(error) }]);
    if (findings.length === 0 || clock.monotonicMs() - startMs > withinMs) return findings;
    await sleep(clock, LOOK_AGAIN_MS);
  }
}

function historyFigures(results: readonly EpisodeResult[]): Record<string, number> {
  const sums: Record<string, number> = { episodes: results.length };
  for (const { figures } of results)
    for (const [name, value] of Object.entries(figures)) sums[name] = (sums[name] ?? 0) + (value as number);
  return sums;
}

function probeFigures(samples: readonly Sample[]): Record<string, Record<string, number>> {
  const byProbe = Map.groupBy(samples, ({ probe }) => probe);
  return Object.fromEntries(
    [...byProbe].map(([probe, some]) => {
      const times = some.filter(({ ok }) => ok).map(({ tookMs }) => tookMs);
      times.sort((one, other) => one - other);
      const quantile = (share: number): number => times[Math.floor(share * (times.length - 1))] ?? 0;
      const failed = some.length - times.length;
      const percent = (times.length / some.length) * 100;
      return [
        probe,
        { asked: some.length, failed, "answered, %": percent, "median, ms": quantile(0.5), "p99, ms": quantile(0.99) },
      ];
    }),
  );
}
