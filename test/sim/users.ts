/**
 * Users whose every request is recorded: two write the same ConfigMaps through different apiservers, one lists them page by
 * page, two watch them; and one whose writes alternate between the apiservers, each undoing the one before.
 */
import type { ConfigMap } from "@pilothouse/api/types/core-v1";
import { resources, type ApiClient, type ApiserverIdentity } from "@pilothouse/client";
import { sleep, type Random } from "@pilothouse/clock";
import { isStatus, StatusError } from "@pilothouse/errors";
import { MARK, type Request, type Version } from "../history/history.ts";
import type { Life } from "./machine.ts";
import { RECORDED, storedText, versionOf, type Recorder } from "./recorder.ts";
import { Violation } from "./world.ts";

export interface UserPorts {
  readonly life: Life;
  /** One that asks the first apiserver first, and one that asks the second. */
  readonly clients: readonly [ApiClient, ApiClient];
  readonly recorder: Recorder;
  /** From here on they ask for nothing. */
  readonly untilMs: number;
}

interface User extends UserPorts {
  readonly name: string;
  readonly client: ApiClient;
  readonly random: Random;
}

const { namespace, prefix } = RECORDED;
const NAMES = ["a", "b", "c"].map((name) => `${prefix}${name}`);
const RETRY_MS = 500;
const PAGE = 1;
const WATCH_SECONDS = 20;

/** Resolves when the last of them has stopped. */
export async function startUsers(ports: UserPorts): Promise<void> {
  const user = (name: string, index: 0 | 1): User => {
    const random = ports.life.random.fork(name);
    return { ...ports, name, client: ports.clients[index], random };
  };
  await Promise.all([
    again(user("writer-1", 0), 3_000, write),
    again(user("writer-2", 1), 3_000, write),
    again(user("lister", 1), 6_000, listPages),
    again(user("watcher-1", 0), 100, watch),
    again(user("watcher-2", 1), 100, watch),
    toggle(user("toggler", 0)),
  ]);
}

async function again(user: User, meanPauseMs: number, work: (user: User) => Promise<void>): Promise<void> {
  const { life, untilMs, random } = user;
  while (life.machine.world.nowMs < untilMs) {
    await work(user).catch(() => sleep(life.clock, RETRY_MS));
    await sleep(life.clock, Math.round(2 * meanPauseMs * random.next()));
  }
}

/** One request of any verb about one of the objects. */
async function write({ name: client, client: api, random, recorder }: User): Promise<void> {
  const name = NAMES[Math.floor(random.next() * NAMES.length)] as string;
  const key = `${namespace}/${name}`;
  const who = { client, server: client, key };
  let known: Version | undefined;
  const read = await recorder.operation(who, { verb: "get" }, () => api.get(resources.configMaps, namespace, name));
  if (read.result === "done") known = read.version;
  const mark = `${client}-${recorder.id()}`;
  const request = requestOf(known, mark, random.next());
  await recorder.operation(who, request, () => ask(api, name, request));
}

function requestOf(known: Version | undefined, mark: string, luck: number): Request {
  const fields = { [MARK]: mark };
  if (!known) return { verb: "create", fields };
  if (luck < 0.4) return { verb: "patch", fields };
  if (luck < 0.7) return { verb: "update", fields, revision: known.revision };
  return luck < 0.85 ? { verb: "delete", uid: known.uid } : { verb: "get" };
}

function ask(api: ApiClient, name: string, request: Request): Promise<ConfigMap | void> {
  const type = resources.configMaps;
  switch (request.verb) {
    case "create":
      return api.create(type, configMap(name, request.fields));
    case "update":
      return api.update(type, configMap(name, request.fields, String(request.revision)));
    case "patch": {
      const { data } = configMap(name, request.fields);
      return api.patch(type, namespace, name, { type: "application/merge-patch+json", body: { data } });
    }
    case "delete":
      return api.delete(type, namespace, name, { uid: request.uid ?? "" });
    case "get":
      return api.get(type, namespace, name);
  }
}

function configMap(name: string, fields: Readonly<Record<string, string>>, resourceVersion?: string): ConfigMap {
  const data = Object.fromEntries(Object.entries(fields).map(([field, value]) => [field.replace("data.", ""), value]));
  return { metadata: { name, namespace, ...(resourceVersion === undefined ? {} : { resourceVersion }) }, data };
}

/** All pages of one list; what expires on the way is begun anew, and not recorded. */
async function listPages({ name: client, client: api, random, recorder, life }: User): Promise<void> {
  const invokedMs = recorder.instant();
  let answeredMs = invokedMs;
  let revision = 0;
  const items: Record<string, Version> = {};
  let pages = 0;
  for (let token: string | undefined; ;) {
    const options = { limit: PAGE, ...(token === undefined ? {} : { continue: token }) };
    const page = await api.list(resources.configMaps, namespace, options);
    if (pages++ === 0) {
      answeredMs = recorder.instant();
      revision = Number(page.resourceVersion);
    }
    for (const item of page.items.filter(isRecorded)) items[`${namespace}/${item.metadata.name}`] = versionOf(item);
    token = page.continue;
    if (token === undefined) break;
    await sleep(life.clock, Math.round(random.next() ** 3 * 3_000));
  }
  life.machine.world.count("list of pages");
  recorder.lists.push({
    id: recorder.id(),
    client,
    server: client,
    namespace,
    invokedMs,
    answeredMs,
    pages,
    revision,
    items,
  });
}

/** A list, and what follows it, over as many streams as it takes, until history is lost. */
async function watch({ name: watcher, client: api, recorder, life, untilMs }: User): Promise<void> {
  const { world } = life.machine;
  let revision = Number((await api.list(resources.configMaps, namespace)).resourceVersion);
  while (world.nowMs < untilMs) {
    let server = "";
    const onOpen = (apiserver: ApiserverIdentity | undefined): void => void (server = apiserver?.name ?? "");
    const request = { namespace, revision, initial: false, selection: {} };
    const stream = recorder.stream({ watcher, server, request });
    const options = { resourceVersion: String(revision), timeoutSeconds: WATCH_SECONDS, onOpen };
    try {
      for await (const event of api.watch(resources.configMaps, namespace, options)) {
        const atMs = recorder.instant();
        if (event.type === "BOOKMARK") {
          revision = Number(event.resourceVersion);
          stream.events.push({ type: "BOOKMARK", atMs, revision, endsInitial: false });
          continue;
        }
        revision = Number(event.object.metadata.resourceVersion);
        if (!isRecorded(event.object)) continue;
        const key = `${namespace}/${event.object.metadata.name}`;
        world.count("watched event");
        stream.events.push({ type: event.type, atMs, key, revision, object: storedText(event.object) });
      }
      stream.end = "server";
    } catch (error) {
      stream.end = "broken";
      if (error instanceof StatusError) {
        stream.events.push({ type: "ERROR", atMs: recorder.instant(), code: error.code, message: error.message });
        if (isStatus(error, "Expired")) {
          world.count("watch expired");
          return;
        }
      }
      await sleep(life.clock, RETRY_MS);
    } finally {
      Object.assign(stream, { server, endedMs: recorder.instant() });
    }
  }
}

function isRecorded({ metadata }: ConfigMap): boolean {
  return metadata.name?.startsWith(prefix) === true;
}

/**
 * Each patch takes back what the one before did, by the other apiserver: to a stale one it looks like a patch that changes
 * nothing, and must not be answered so (C2).
 */
async function toggle({ life, clients, random, untilMs }: User): Promise<void> {
  const { world } = life.machine;
  const name = "toggled";
  const api = clients[0];
  let acknowledged = 0;
  await untilAnswered(life, async () => {
    const created = await api.create(resources.configMaps, configMap(name, {})).catch((error: unknown) => {
      if (!isStatus(error, "AlreadyExists")) throw error;
      return api.get(resources.configMaps, namespace, name);
    });
    acknowledged = Number(created.metadata.resourceVersion);
  });
  for (let round = 0; world.nowMs < untilMs; round++) {
    const client = clients[round % 2] as ApiClient;
    const data = { side: round % 2 === 0 ? "left" : "right" };
    const body = { type: "application/merge-patch+json", body: { data } } as const;
    await untilAnswered(life, async () => {
      const answer = await client.patch(resources.configMaps, namespace, name, body).catch((error: unknown) => {
        if (isStatus(error, "NotFound")) world.fail(new Violation(`I7: ${name} was acknowledged, and is not found`));
        throw error;
      });
      const revision = Number(answer.metadata.resourceVersion);
      if (revision <= acknowledged)
        world.fail(
          new Violation(
            `I7: a patch that changes ${name} is answered with revision ${revision}, after ${acknowledged}`,
          ),
        );
      acknowledged = revision;
    });
    // Sooner than an apiserver that is late can know.
    if (random.next() < 0.3) await sleep(life.clock, Math.round(random.next() * 8_000));
    else await sleep(life.clock, 200);
    if (round % 4 === 3) await sleep(life.clock, Math.round(random.next() * 20_000));
  }
}

/** Again until there is an answer. */
async function untilAnswered(life: Life, work: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await work();
    } catch {
      await sleep(life.clock, RETRY_MS);
    }
  }
}
