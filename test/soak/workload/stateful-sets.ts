/** Users of StatefulSets, one that makes its pods in order and one that makes them at once: scaled, rolled, deleted and made anew. */
import { sleep, type Random } from "@pilothouse/clock";
import { BEAT_SCRIPT } from "../machines/evidence.ts";
import { askAny, type Access } from "./access.ts";
import { witness } from "./witness.ts";

const SETS = { ordered: "OrderedReady", parallel: "Parallel" } as const;
const PAUSE_MS = { least: 10_000, most: 25_000 };
const MOST_REPLICAS = 3;

export interface StatefulSetFigures {
  scaled: number;
  rolled: number;
  "pods deleted": number;
  deleted: number;
  /** Deleted without their pods, which the next one takes over. */
  "deleted alone": number;
  created: number;
  /** Requests that no apiserver answered. */
  failed: number;
}

/** Until the signal. */
export async function useStatefulSets(
  access: Access,
  namespace: string,
  random: Random,
  signal: AbortSignal,
): Promise<StatefulSetFigures> {
  const figures: StatefulSetFigures = {
    scaled: 0,
    rolled: 0,
    "pods deleted": 0,
    deleted: 0,
    "deleted alone": 0,
    created: 0,
    failed: 0,
  };
  const actors = (Object.keys(SETS) as (keyof typeof SETS)[]).map(async (name) => {
    const luck = random.fork(name);
    while (!signal.aborted) {
      await act(access, namespace, name, [luck.next(), luck.next()], figures).catch(() => figures.failed++);
      const pauseMs = PAUSE_MS.least + luck.next() * (PAUSE_MS.most - PAUSE_MS.least);
      await sleep(access.clock, Math.round(pauseMs), signal).catch(() => undefined);
    }
  });
  await Promise.all(actors);
  return figures;
}

async function act(
  access: Access,
  namespace: string,
  name: keyof typeof SETS,
  [kind, detail]: readonly [number, number],
  figures: StatefulSetFigures,
): Promise<void> {
  const all = `/apis/apps/v1/namespaces/${namespace}/statefulsets`;
  const own = `${all}/${name}`;
  const replicas = Math.floor(detail * (MOST_REPLICAS + 1));
  if (kind < 0.1) {
    const isAlone = detail < 0.5;
    const options = { propagationPolicy: isAlone ? "Orphan" : "Background" };
    const { status } = await askAny(access, "DELETE", own, options);
    if (status === 200) figures[isAlone ? "deleted alone" : "deleted"]++;
    return;
  }
  if (kind < 0.3) {
    const pod = `/api/v1/namespaces/${namespace}/pods/${name}-${Math.floor(detail * MOST_REPLICAS)}`;
    if ((await askAny(access, "DELETE", pod)).status === 200) figures["pods deleted"]++;
    return;
  }
  const [count, patch] =
    kind < 0.7
      ? (["scaled", { spec: { replicas } }] as const)
      : (["rolled", { spec: { template: { metadata: { annotations: { roll: String(detail) } } } } }] as const);
  const { status } = await askAny(access, "PATCH", own, patch);
  if (status === 200) figures[count]++;
  else if (status === 404) {
    const made = await askAny(access, "POST", all, statefulSet(namespace, name));
    if (made.status === 201) figures.created++;
  }
}

function statefulSet(namespace: string, name: keyof typeof SETS): object {
  return {
    metadata: { name },
    spec: {
      replicas: 2,
      serviceName: name,
      podManagementPolicy: SETS[name],
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: witness(namespace, BEAT_SCRIPT) },
    },
  };
}
