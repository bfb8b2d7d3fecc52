/** The bare HTTPS server in a process of its own, and what it does with streams. */
import { join } from "node:path";
import { freePorts, makeTestDirectory, removeTestDirectory, startProcess, until } from "../harness/index.ts";
import { makeCredentials, type Target } from "../harness/credentials.ts";
import { connectClient } from "./client.ts";
import { medianFigures, percentile, type Figure } from "./figures.ts";
import { cpuUs } from "./processes.ts";
import { probed, readList, startWatching } from "./readers.ts";

export interface BareServer {
  readonly target: Target;
  readonly pid: number;
  stop(): Promise<void>;
}

export async function startBareServer(): Promise<BareServer> {
  const directory = await makeTestDirectory();
  const credentials = await makeCredentials(directory);
  const [port] = (await freePorts(1)) as [number];
  const { serverCert, serverKey, caFile } = credentials;
  const server = startProcess({
    command: process.execPath,
    args: [
      "--disable-warning=ExperimentalWarning",
      join(import.meta.dirname, "bare-server.ts"),
      String(port),
      serverCert,
      serverKey,
      caFile,
    ],
    directory,
  });
  const target = credentials.target(port);
  const client = connectClient(target, 1);
  try {
    await until("the bare server answers", () =>
      client.send({ method: "GET", path: "/" }).then(
        () => true,
        () => false,
      ),
    );
  } finally {
    client.close();
  }
  return {
    target,
    pid: server.pid,
    stop: async () => {
      await server.stop();
      await removeTestDirectory(directory);
    },
  };
}

const OBJECTS = 10_000;
const WATCHERS = 1_000;

export async function bareStreams(runs: number): Promise<readonly Figure[]> {
  const server = await startBareServer();
  try {
    const lists: Figure[][] = [];
    for (let run = 0; run < runs; run++) lists.push(await bareList(server));
    return [...medianFigures(lists), ...(await bareFanOut(server, runs))];
  } finally {
    await server.stop();
  }
}

async function bareList({ target, pid }: BareServer): Promise<Figure[]> {
  const beforeUs = cpuUs(pid);
  const { wallMs } = await readList(target, "/list");
  const listUs = cpuUs(pid) - beforeUs;
  const client = connectClient(target, 1);
  const get = (): Promise<unknown> => client.send({ method: "GET", path: "/" });
  const latenciesMs = await probed(get, () => readList(target, "/list"));
  client.close();
  return [
    { name: "bare LIST: objects/s", value: OBJECTS / (wallMs / 1_000), unit: "objects/s" },
    { name: "bare LIST: CPU per object", value: listUs / OBJECTS, unit: "µs" },
    { name: "bare LIST: others' GET p99", value: percentile(latenciesMs, 99), unit: "ms" },
  ];
}

async function bareFanOut({ target, pid }: BareServer, runs: number): Promise<readonly Figure[]> {
  const client = connectClient(target, 1);
  const watching = await startWatching(target, "/watch", WATCHERS);
  let sent = 0;
  const perEvent = async (rounds: number, events: number): Promise<number> => {
    const beforeUs = cpuUs(pid);
    for (let round = 0; round < rounds; round++) {
      await client.send({ method: "POST", path: `/watch?events=${events}` });
      await watching.seen((sent += events));
    }
    return (cpuUs(pid) - beforeUs) / rounds / events / WATCHERS;
  };
  await perEvent(10, 1);
  const figures: Figure[][] = [];
  for (let run = 0; run < runs; run++)
    figures.push([
      { name: "bare fan-out to 1,000: CPU, one event", value: await perEvent(40, 1), unit: "µs" },
      { name: "bare fan-out to 1,000: CPU, 16 joined", value: await perEvent(5, 16), unit: "µs" },
    ]);
  await watching.stop();
  client.close();
  return medianFigures(figures);
}
