/** A member that lies about progress, as etcd below 3.4.31 and 3.5.13 does: the watch neither asks for it nor trusts it (C4). */
import { Server, ServerCredentials, credentials, type ServerDuplexStream, type ServiceDefinition } from "@grpc/grpc-js";
import { systemClock } from "@pilothouse/clock/system";
import { allKeys, type StoreChange } from "@pilothouse/store";
import type { IWatchRequest } from "etcd3";
import { Host } from "etcd3/lib/connection-pool.js";
import { afterAll, expect, test } from "vitest";
import { expectNoLeaks, until } from "../../../test/harness/index.ts";
import { EtcdWatch } from "./watch.ts";

afterAll(expectNoLeaks);

type MemberStream = ServerDuplexStream<IWatchRequest, object>;

const created = { watch_id: 0, created: true, header: { revision: 2_507 }, events: [] };
/** Nothing up to the head is missing, it says; but it has sent one change of 2,500. */
const falseProgress = { watch_id: 0, header: { revision: 2_507 }, events: [] };

function put(revision: number): object {
  const kv = {
    key: Buffer.from("/k"),
    value: Buffer.from("v"),
    create_revision: 7,
    mod_revision: revision,
    version: 1,
  };
  return { watch_id: 0, header: { revision }, events: [{ type: "Put", kv }] };
}

test("progress at a false revision moves no watch: after the next break it goes on where the events had brought it", async () => {
  const requests: IWatchRequest[] = [];
  const answers = [
    [created, put(7), falseProgress],
    [created, put(8), put(2_507)],
  ];
  const member = await startMember((stream) => {
    stream.on("data", (request: IWatchRequest) => {
      requests.push(request);
      for (const answer of answers[requests.length - 1] ?? []) stream.write(answer);
      if (requests.length === 1) stream.end();
    });
  });
  const seen: StoreChange[] = [];
  const transport = { endpoints: [member.endpoint], channel: () => credentials.createInsecure(), clock: systemClock };
  const watch = new EtcdWatch(
    transport,
    { range: allKeys, startRevision: 7, onChanges: (changes) => seen.push(...changes), onEnd: () => undefined },
    () => undefined,
  );
  try {
    await until("what was behind the break has come", () => seen.length >= 3);
    expect(seen.map((change) => change.type === "put" && change.entry.modRevision)).toEqual([7, 8, 2_507]);
    expect(requests.map(({ create_request: create }) => String(create?.start_revision))).toEqual(["7", "8"]);
    expect(requests.filter((request) => "progress_request" in request)).toEqual([]);
    expect(requests.map(({ create_request: create }) => create?.progress_notify)).toEqual([false, false]);
  } finally {
    watch.close();
    member.stop();
  }
});

/** Speaks the Watch service of etcd on loopback, with its own words. */
async function startMember(watch: (stream: MemberStream) => void): Promise<{ endpoint: string; stop(): void }> {
  const host = new Host("http://127.0.0.1:1", credentials.createInsecure());
  const { service } = host.getServiceClient("Watch").constructor as unknown as { service: ServiceDefinition };
  host.close();
  const server = new Server();
  server.addService(service, { watch });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return { endpoint: `http://127.0.0.1:${port}`, stop: () => server.forceShutdown() };
}
