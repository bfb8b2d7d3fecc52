/**
 * What users notice while something is done to the cluster: a writer at the API's address, a question to each of the two leaders, a
 * Service called at every node, and the containers on every machine. Its workload stays between observations, so that containers
 * can be seen to live through them.
 */
import { readFileSync } from "node:fs";
import { sleep, type Clock } from "@pilothouse/clock";
import { WEB_IMAGE } from "../../deploy/images.ts";
import type { Lab } from "../../deploy/lab/layout.ts";
import { isOn } from "../../deploy/lab/machine.ts";
import { ask, type Answer } from "../history/config-maps.ts";
import type { Sample } from "../soak/checkers/availability.ts";
import { answerOf } from "../soak/machines/ssh.ts";
import { accessOf, askAny, type Access } from "../soak/workload/access.ts";
import { probeService } from "../soak/workload/probes.ts";
import { containersOf, figuresOf, type Figures, type Moment } from "./observed.ts";

export const OBSERVED = "observed";
const NODE_PORT = 30_778;
const WRITE_EVERY_MS = 200;
/** Each call starts a shell at the other end. */
const CALL_EVERY_MS = 1_000;
const WRITE_DEADLINE_MS = 1_000;
const QUESTION_EVERY_MS = 500;
const QUESTION_DEADLINE_MS = 1_000;
const REPLICAS = 3;

const MAPS = `/api/v1/namespaces/${OBSERVED}/configmaps`;
const PODS = `/api/v1/namespaces/${OBSERVED}/pods`;
const DEPLOYMENTS = `/apis/apps/v1/namespaces/${OBSERVED}/deployments`;

/** Begins to look; the answer ends it and says what was seen. */
export async function observe(lab: Lab, clock: Clock): Promise<() => Promise<Figures>> {
  const door = new FrontDoor(lab.layout.adminConf, clock);
  await makeWorkload(door.access);
  const before = await containersOnAll(lab);
  const startMs = clock.monotonicMs();
  const ending = new AbortController();
  const { signal } = ending;
  const samples: Sample[] = [];
  const moments: Moment[] = [];
  const run = clock.now().toString(36);
  const note = (moment: Omit<Moment, "atMs">): void =>
    void moments.push({ ...moment, atMs: clock.monotonicMs() - startMs });
  const working = [
    write(door, clock, run, note, signal),
    askControllers(door, clock, note, signal),
    askScheduler(door, clock, run, note, signal),
    ...lab.machines.map(({ name, address }) => {
      const probed = { url: `http://${address}:${NODE_PORT}/`, probe: name, everyMs: CALL_EVERY_MS };
      return probeService(clock, probed, (sample) => void samples.push(sample), signal, startMs);
    }),
  ];
  return async () => {
    ending.abort();
    await Promise.all(working);
    const lastedMs = clock.monotonicMs() - startMs;
    const kept = await namesOf(door.access, run);
    const after = await containersOnAll(lab);
    await askAny(door.access, "DELETE", `${MAPS}?labelSelector=run%3D${run}`).catch(() => undefined);
    await door.close();
    return figuresOf({ lastedMs, moments, samples, kept, before, after });
  };
}

/** The API by the kubeconfig as it is now: a playbook may write it anew. */
class FrontDoor {
  access: Access;
  readonly #path: string;
  readonly #clock: Clock;
  #text: string;

  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
    this.#text = readFileSync(path, "utf8");
    this.access = accessOf(path, clock);
  }

  async ask(method: string, path: string, body?: object, type = "application/json"): Promise<Answer> {
    const text = readFileSync(this.#path, "utf8");
    if (text !== this.#text && text.trimEnd().endsWith("}")) {
      this.#text = text;
      const old = this.access;
      this.access = accessOf(this.#path, this.#clock);
      await old.close();
    }
    const content = body === undefined ? {} : { body: Buffer.from(JSON.stringify(body)) };
    const request = { method, path, headers: { "content-type": type }, ...content };
    return ask(this.access.front.transport, this.#clock, request, WRITE_DEADLINE_MS);
  }

  close(): Promise<void> {
    return this.access.close();
  }
}

type NoteMoment = (moment: Omit<Moment, "atMs">) => void;

/** Objects that nobody has written before, one after the other: each acknowledged one must be there at the end. */
async function write(door: FrontDoor, clock: Clock, run: string, note: NoteMoment, signal: AbortSignal): Promise<void> {
  for (let turn = 0; !signal.aborted; turn++) {
    const name = `write-${run}-${turn}`;
    const body = { metadata: { name, labels: { run } }, data: { turn: String(turn) } };
    try {
      const { status, body: said } = await door.ask("POST", MAPS, body);
      const text = Buffer.from(said).toString();
      if (status === 201) note({ what: "write", ok: true, name, revision: revisionOf(text) });
      else note({ what: "write", ok: false, why: `${status} ${text.slice(0, 160)}` });
      // A restore can have taken the namespace.
      if (status === 404) await makeWorkload(door.access).catch(() => undefined);
    } catch (error) {
      note({ what: "write", ok: false, why: error instanceof Error ? error.message : String(error) });
    }
    await sleep(clock, WRITE_EVERY_MS, signal).catch(() => undefined);
  }
}

/** A Deployment of no pods is changed; its controller says that it has seen the change. */
async function askControllers(door: FrontDoor, clock: Clock, note: NoteMoment, signal: AbortSignal): Promise<void> {
  interface Seen {
    readonly metadata: { readonly generation: number };
    readonly status?: { readonly observedGeneration?: number };
  }
  const path = `${DEPLOYMENTS}/question`;
  for (let turn = 0; !signal.aborted; turn++) {
    const spec = { minReadySeconds: turn % 2 };
    const asked = await jsonOf<Seen>(door, "PATCH", path, { spec }, "application/merge-patch+json");
    const wanted = asked?.metadata.generation ?? Infinity;
    const answered = await untilSeen(clock, signal, async () => {
      const seen = await jsonOf<Seen>(door, "GET", path);
      return (seen?.status?.observedGeneration ?? 0) >= wanted;
    });
    if (asked && answered) note({ what: "controllers", ok: true });
    await sleep(clock, QUESTION_EVERY_MS, signal).catch(() => undefined);
  }
}

/** A pod that fits nowhere; the scheduler says so. */
async function askScheduler(
  door: FrontDoor,
  clock: Clock,
  run: string,
  note: NoteMoment,
  signal: AbortSignal,
): Promise<void> {
  interface Seen {
    readonly status?: { readonly conditions?: readonly { readonly type: string }[] };
  }
  for (let turn = 0; !signal.aborted; turn++) {
    const name = `question-${run}-${turn}`;
    const asked = await jsonOf(door, "POST", PODS, {
      metadata: { name },
      spec: { nodeSelector: { nobody: "has-this" }, containers: [{ name: "none", image: WEB_IMAGE }] },
    });
    if (asked) {
      const answered = await untilSeen(clock, signal, async () => {
        const { status } = (await jsonOf<Seen>(door, "GET", `${PODS}/${name}`)) ?? {};
        return (status?.conditions ?? []).some(({ type }) => type === "PodScheduled");
      });
      if (answered) note({ what: "scheduler", ok: true });
      await door.ask("DELETE", `${PODS}/${name}?gracePeriodSeconds=0`).catch(() => undefined);
    }
    await sleep(clock, QUESTION_EVERY_MS, signal).catch(() => undefined);
  }
}

/** Undefined: no good answer. */
async function jsonOf<T>(
  door: FrontDoor,
  method: string,
  path: string,
  body?: object,
  type?: string,
): Promise<T | undefined> {
  try {
    const { status, body: said } = await door.ask(method, path, body, type);
    return status < 300 ? (JSON.parse(Buffer.from(said).toString()) as T) : undefined;
  } catch {
    return undefined;
  }
}

/** After a while the question is put anew: what was asked may be lost. */
async function untilSeen(clock: Clock, signal: AbortSignal, look: () => Promise<boolean>): Promise<boolean> {
  const startMs = clock.monotonicMs();
  while (!signal.aborted && clock.monotonicMs() - startMs < QUESTION_DEADLINE_MS) {
    if (await look()) return true;
    await sleep(clock, QUESTION_EVERY_MS / 5, signal).catch(() => undefined);
  }
  return false;
}

function revisionOf(text: string): number {
  const { metadata } = JSON.parse(text) as { readonly metadata: { readonly resourceVersion: string } };
  return Number(metadata.resourceVersion);
}

async function namesOf(access: Access, run: string): Promise<ReadonlySet<string>> {
  interface List {
    readonly items: readonly { readonly metadata: { readonly name: string } }[];
  }
  const { status, body } = await askAny(access, "GET", `${MAPS}?labelSelector=run%3D${run}`, undefined, 10_000);
  const text = Buffer.from(body).toString();
  if (status !== 200) throw new Error(`what was written cannot be read: ${status} ${text.slice(0, 200)}`);
  return new Set((JSON.parse(text) as List).items.map(({ metadata }) => metadata.name));
}

/** By machine; one that is off, or does not answer, is left out. */
async function containersOnAll({ layout, machines }: Lab): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const script = `ctr --address /run/pilothouse/containerd/containerd.sock --namespace k8s.io tasks list`;
  const asked = machines.filter(isOn).map(async (machine) => {
    const text = await answerOf(layout, machine, script).catch(() => undefined);
    return [machine.name, text === undefined ? undefined : containersOf(text)] as const;
  });
  const answers = await Promise.all(asked);
  return new Map(answers.filter((row): row is [string, ReadonlySet<string>] => row[1] !== undefined));
}

async function makeWorkload(access: Access): Promise<void> {
  const make = async (path: string, body: object): Promise<void> => {
    const { status, body: said } = await askAny(access, "POST", path, body);
    if (status !== 201 && status !== 409) throw new Error(`POST ${path}: ${status} ${Buffer.from(said).toString()}`);
  };
  await make("/api/v1/namespaces", { metadata: { name: OBSERVED } });
  await make(DEPLOYMENTS, deployment("web", REPLICAS));
  await make(DEPLOYMENTS, deployment("question", 0));
  await make(`/api/v1/namespaces/${OBSERVED}/secrets`, {
    metadata: { name: "password" },
    stringData: { is: "sesame" },
  });
  await make(MAPS, { metadata: { name: "settings" }, data: { color: "blue" } });
  await make(`/api/v1/namespaces/${OBSERVED}/services`, {
    metadata: { name: "web" },
    spec: { type: "NodePort", selector: { app: "web" }, ports: [{ port: 80, nodePort: NODE_PORT }] },
  });
}

function deployment(name: string, replicas: number): object {
  const container = {
    name: "web",
    image: WEB_IMAGE,
    imagePullPolicy: "IfNotPresent",
    readinessProbe: { httpGet: { path: "/healthz", port: 80 }, periodSeconds: 1 },
  };
  const spec = { terminationGracePeriodSeconds: 1, containers: [container] };
  return {
    metadata: { name },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec },
    },
  };
}
