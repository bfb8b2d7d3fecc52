/** A real apiserver that was told of a collector sends it the spans of a request, and serves on when the collector is gone. */
import { createServer, type Server } from "node:http";
import { buffer } from "node:stream/consumers";
import type { Transport } from "@pilothouse/client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startControlPlane, type ControlPlane } from "../harness/control-plane.ts";
import { expectNoLeaks, freePorts, until } from "../harness/index.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";

interface Exported {
  readonly path: string;
  readonly type: string | undefined;
  readonly body: Buffer;
}

const exported: Exported[] = [];
let collector: Server;
let plane: ControlPlane;
let client: Transport;

beforeAll(async () => {
  const [port = 0] = await freePorts(1);
  collector = createServer((request, response) => {
    void buffer(request).then((body) => {
      exported.push({ path: request.url ?? "", type: request.headers["content-type"], body });
      response.writeHead(200, { "content-type": "application/x-protobuf" }).end();
    });
  });
  await new Promise<void>((resolve) => collector.listen(port, "127.0.0.1", resolve));
  plane = await startControlPlane({ masters: 1, apiserverFlags: [`--otlp-endpoint=http://127.0.0.1:${port}`] });
  client = (plane.apiservers[0] as ControlPlane["apiservers"][number]).connect();
});
afterAll(async () => {
  await client.close();
  await plane.stop();
  collector.close();
  await expectNoLeaks();
});

test("the spans of a request arrive there as OTLP, under the caller's trace", async () => {
  expect(await createConfigMap("seen")).toBe(201);
  const ofTrace = (): Exported | undefined => exported.find(({ body }) => body.includes(Buffer.from(TRACE, "hex")));
  await until("the collector has them", () => ofTrace() !== undefined);
  expect(ofTrace()).toMatchObject({ path: "/v1/traces", type: "application/x-protobuf" });
  // Names of resources and spans are plain text in protobuf.
  expect(ofTrace()?.body.toString("latin1")).toMatch(/service\.name[^]{1,8}apiserver/);
});

test("a collector that is gone takes nothing with it but its spans", async () => {
  collector.closeAllConnections();
  await new Promise((resolve) => collector.close(resolve));
  for (let n = 0; n < 20; n++) expect(await createConfigMap(`unseen-${n}`)).toBe(201);
});

async function createConfigMap(name: string): Promise<number> {
  const { status, body } = await client.send({
    method: "POST",
    path: "/api/v1/namespaces/default/configmaps",
    headers: { "content-type": "application/json", traceparent: `00-${TRACE}-b7ad6b7169203331-01` },
    body: Buffer.from(JSON.stringify({ metadata: { name } })),
  });
  for await (const _ of body);
  return status;
}
