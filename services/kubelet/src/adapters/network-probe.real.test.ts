import { createServer as createHttpServer, type RequestListener, type Server } from "node:http";
import { createServer as createHttp2Server, type Http2Server, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { systemClock } from "@pilothouse/clock/system";
import { afterEach, describe, expect, test } from "vitest";
import type { HttpProbe, ProbeOutcome } from "../flows/ports.ts";
import { networkProbe } from "./network-probe.ts";

const probe = networkProbe(systemClock);
const HOST = "127.0.0.1";
const open: (Server | Http2Server)[] = [];

afterEach(() => {
  for (const server of open.splice(0)) server.close();
});

async function listening(server: Server | Http2Server): Promise<number> {
  open.push(server);
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  return (server.address() as AddressInfo).port;
}

describe("by HTTP", () => {
  const asked = async (listener: RequestListener, more: Partial<HttpProbe> = {}): Promise<ProbeOutcome> => {
    const port = await listening(createHttpServer(listener));
    return probe.http({ scheme: "HTTP", host: HOST, port, path: "/", headers: [], timeoutMs: 5_000, ...more });
  };

  test("any answer from 200 to 399 is good, with the headers that were asked for", async () => {
    const seen: (string | undefined)[] = [];
    const outcome = await asked(
      ({ headers }, response) => {
        seen.push(headers.host, headers["user-agent"], headers["x-a"] as string);
        response.writeHead(204).end();
      },
      {
        headers: [
          { name: "X-A", value: "1" },
          { name: "Host", value: "shop.example" },
        ],
      },
    );
    expect([outcome.ok, seen]).toEqual([true, ["shop.example", "kube-probe/1.36", "1"]]);
    expect(await asked((_, response) => void response.writeHead(404).end())).toEqual({
      ok: false,
      detail: "HTTP probe failed with statuscode: 404",
    });
  });

  test("redirects are followed on the same host, and lead no further", async () => {
    const local = await asked(({ url }, response) => {
      if (url === "/") response.writeHead(302, { location: "/bad" }).end();
      else response.writeHead(500).end();
    });
    expect(local).toEqual({ ok: false, detail: "HTTP probe failed with statuscode: 500" });
    const away = await asked((_, response) => void response.writeHead(302, { location: "http://0.0.0.0/" }).end());
    expect(away).toMatchObject({ ok: true, warning: "Probe terminated redirects, Response body: " });
    const round = await asked((_, response) => void response.writeHead(302, { location: "/" }).end());
    expect(round.detail).toContain("stopped after 10 redirects");
  });

  test("who refuses, or hangs up, is told of in upstream's words", async () => {
    const outcome = await asked((_, response) => void response.socket?.destroy());
    expect(outcome).toEqual({ ok: false, detail: expect.stringMatching(/^Get "http:\/\/127\.0\.0\.1:\d+\/": EOF$/) });
    const refused = "dial tcp 127.0.0.1:1: connect: connection refused";
    expect(await probe.tcp("127.0.0.1", 1, 1_000)).toEqual({ ok: false, detail: refused });
  });

  test("silence is no answer", async () => {
    const outcome = await asked(() => {}, { timeoutMs: 100 });
    expect(outcome.detail).toContain("context deadline exceeded");
  });
});

describe("by gRPC", () => {
  const asked = async (
    answer: (stream: ServerHttp2Stream, body: Buffer) => void,
    service = "",
    timeoutMs = 5_000,
  ): Promise<ProbeOutcome> => {
    const server = createHttp2Server();
    server.on("stream", (stream: ServerHttp2Stream) => {
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("end", () => answer(stream, Buffer.concat(chunks)));
      stream.on("error", () => {});
    });
    return probe.grpc({ host: HOST, port: await listening(server), service, timeoutMs });
  };
  const answered =
    (status: number[]) =>
    (stream: ServerHttp2Stream): void => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end(Buffer.from([0, 0, 0, 0, status.length, ...status]));
    };

  test("a service that serves is well, and only then", async () => {
    expect(await asked(answered([8, 1]))).toEqual({ ok: true, detail: "" });
    expect(await asked(answered([8, 2]))).toEqual({
      ok: false,
      detail: 'service unhealthy (responded with "NOT_SERVING")',
    });
    expect(await asked(answered([]))).toEqual({ ok: false, detail: 'service unhealthy (responded with "UNKNOWN")' });
  });

  test("the service is named", async () => {
    let body: Buffer = Buffer.alloc(0);
    const outcome = await asked((stream, given) => {
      body = given;
      answered([8, 1])(stream);
    }, "shop");
    expect([outcome.ok, body.toString("latin1")]).toEqual([true, "\0\0\0\0\u0006\n\u0004shop"]);
  });

  test("who knows no health protocol, says nothing or is not there is unwell", async () => {
    const refusing = await asked((stream) => {
      stream.respond({ ":status": 200, "grpc-status": "12", "grpc-message": "unknown%20service" }, { endStream: true });
    });
    expect(refusing.detail).toBe(
      "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unknown service",
    );
    expect((await asked(() => {}, "", 300)).detail).toBe("timeout: health rpc did not complete within 0.3s");
    const nobody = await probe.grpc({ host: HOST, port: 1, service: "", timeoutMs: 5_000 });
    expect(nobody.detail).toContain('error: failed to connect service at "127.0.0.1:1"');
  });
});
