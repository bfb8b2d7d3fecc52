/** Users of Deployments: one that is only rolled and scaled, behind a Service that is called; others that come and go. */
import { sleep, type Random } from "@pilothouse/clock";
import { WEB_IMAGE, WEB_V2_IMAGE } from "../../../deploy/images.ts";
import { askAny, type Access } from "./access.ts";

export const NODE_PORT = 30_777;
export const STABLE = "web";
const RESTLESS = ["restless-1", "restless-2"];
const PAUSE_MS = { least: 5_000, most: 15_000 };

export interface DeploymentFigures {
  scaled: number;
  rolled: number;
  deleted: number;
  created: number;
  /** Requests that no apiserver answered. */
  failed: number;
}

/** The namespace, the stable Deployment and its Service. */
export async function createStable(access: Access, namespace: string): Promise<void> {
  const make = async (path: string, body: object): Promise<void> => {
    const { status, body: said } = await askAny(access, "POST", path, body);
    if (status !== 201 && status !== 409) throw new Error(`POST ${path}: ${status} ${Buffer.from(said).toString()}`);
  };
  await make("/api/v1/namespaces", { metadata: { name: namespace } });
  await make(`/apis/apps/v1/namespaces/${namespace}/deployments`, deployment(STABLE, 4));
  await make(`/api/v1/namespaces/${namespace}/services`, {
    metadata: { name: STABLE },
    spec: { type: "NodePort", selector: { app: STABLE }, ports: [{ port: 80, targetPort: 80, nodePort: NODE_PORT }] },
  });
}

/** Until the signal. */
export async function useDeployments(
  access: Access,
  namespace: string,
  random: Random,
  signal: AbortSignal,
): Promise<DeploymentFigures> {
  const figures: DeploymentFigures = { scaled: 0, rolled: 0, deleted: 0, created: 0, failed: 0 };
  const actors = [STABLE, ...RESTLESS].map(async (name) => {
    const luck = random.fork(name);
    while (!signal.aborted) {
      const pauseMs = PAUSE_MS.least + luck.next() * (PAUSE_MS.most - PAUSE_MS.least);
      await sleep(access.clock, Math.round(pauseMs), signal).catch(() => undefined);
      if (signal.aborted) return;
      await act(access, namespace, name, [luck.next(), luck.next()], figures).catch(() => figures.failed++);
    }
  });
  await Promise.all(actors);
  return figures;
}

async function act(
  access: Access,
  namespace: string,
  name: string,
  [kind, detail]: readonly [number, number],
  figures: DeploymentFigures,
): Promise<void> {
  const all = `/apis/apps/v1/namespaces/${namespace}/deployments`;
  const own = `${all}/${name}`;
  // Never below two: its Service is called all the time.
  const replicas = name === STABLE ? 2 + Math.floor(detail * 4) : Math.floor(detail * 6);
  const mayGo = name !== STABLE;
  if (mayGo && kind < 0.15) {
    if ((await askAny(access, "DELETE", own, { propagationPolicy: "Background" })).status === 200) figures.deleted++;
    return;
  }
  const [count, patch] =
    kind < 0.6
      ? (["scaled", { spec: { replicas } }] as const)
      : (["rolled", { spec: { template: { metadata: { annotations: { roll: String(detail) } } } } }] as const);
  const { status } = await askAny(access, "PATCH", own, patch);
  if (status === 200) figures[count]++;
  else if (status === 404 && mayGo) {
    if ((await askAny(access, "POST", all, deployment(name, replicas))).status === 201) figures.created++;
  }
}

function deployment(name: string, replicas: number): object {
  const image = name === "restless-2" ? WEB_V2_IMAGE : WEB_IMAGE;
  return {
    metadata: { name },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: {
        metadata: { labels: { app: name } },
        spec: {
          terminationGracePeriodSeconds: 5,
          containers: [
            {
              name: "web",
              image,
              imagePullPolicy: "IfNotPresent",
              readinessProbe: { httpGet: { path: "/healthz", port: 80 }, periodSeconds: 1 },
            },
          ],
        },
      },
    },
  };
}
