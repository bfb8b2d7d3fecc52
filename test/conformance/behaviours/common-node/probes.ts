/** Probes: who is restarted, who is not, and who is ready when. */
import assert from "node:assert/strict";
import { WEB_IMAGE } from "../../../../deploy/images.ts";
import type { Behaviours } from "../../behaviour.ts";
import { scriptPod, type Loose, type Trial } from "../../trial.ts";

const FAST = { initialDelaySeconds: 1, periodSeconds: 1, failureThreshold: 1 };
/** How long nothing must happen before it is believed. */
const QUIET_MS = 25_000;

function healthPod(script: string, probes: object, container: object = {}): Loose {
  return scriptPod(script, {
    name: "probed",
    pod: { restartPolicy: "Always" },
    container: { ...probes, ...container },
  });
}

async function restarts(t: Trial): Promise<number> {
  const { status } = await t.api("v1", "pods").get("probed");
  return (status.containerStatuses?.[0]?.restartCount as number | undefined) ?? 0;
}

async function isRestarted(t: Trial, pod: Loose, atLeast = 1): Promise<void> {
  await t.api("v1", "pods").create(pod);
  let before = 0;
  await t.until(
    `it is restarted ${atLeast} times`,
    async () => {
      const now = await restarts(t);
      assert.ok(now >= before, "restart counts never fall");
      before = now;
      return now >= atLeast;
    },
    240_000,
  );
}

async function isNotRestarted(t: Trial, pod: Loose): Promise<void> {
  await t.api("v1", "pods").create(pod);
  await t.ready("probed");
  await staysSo(async () => assert.equal(await restarts(t), 0));
}

async function staysSo(look: () => Promise<void>): Promise<void> {
  for (const startMs = Date.now(); Date.now() - startMs < QUIET_MS;) {
    await look();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}

const web = (probes: object): Loose => healthPod("", probes, { image: WEB_IMAGE, command: undefined });
const sick = "touch /tmp/health; sleep 10; rm -f /tmp/health; sleep 600";
const well = "touch /tmp/health; sleep 600";
const cat = { exec: { command: ["cat", "/tmp/health"] } };
/** A server that answers 200 for ten seconds and 500 from then on. */
const failingServer = `mkdir -p /srv; cat > /srv/answer <<'END'
#!/bin/sh
read -r first
while read -r line; do [ "\${#line}" -le 1 ] && break; done
status='200 OK'; [ -f /srv/sick ] && status='500 sick'
printf 'HTTP/1.1 %s\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n' "$status"
END
chmod +x /srv/answer; (sleep 10; touch /srv/sick) & exec nc -lllllllll -p 8080 -e /srv/answer`;
const healthz = { httpGet: { path: "/healthz", port: 8080 } };

/** A server of grpc.health.v1.Health that says SERVING to whoever asks: one frame, written by hand, over plain HTTP/2. */
const GRPC_HEALTH = `
  require("http2").createServer().on("stream", (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(Buffer.from([0, 0, 0, 0, 2, 8, 1]));
  }).listen(5000);`;

const named = (rest: string): string => `[sig-node] Probing container ${rest} [NodeConformance] [Conformance]`;

export const probes: Behaviours = {
  [named('should be restarted with a exec "cat /tmp/health" liveness probe')]: (t) =>
    isRestarted(t, healthPod(sick, { livenessProbe: { ...cat, ...FAST } })),
  [named('should *not* be restarted with a exec "cat /tmp/health" liveness probe')]: (t) =>
    isNotRestarted(t, healthPod(well, { livenessProbe: { ...cat, ...FAST, initialDelaySeconds: 5 } })),
  [named("should be restarted with a /healthz http liveness probe")]: (t) =>
    isRestarted(t, healthPod(failingServer, { livenessProbe: { ...healthz, ...FAST, initialDelaySeconds: 3 } })),
  [named("should *not* be restarted with a /healthz http liveness probe")]: (t) =>
    isNotRestarted(
      t,
      web({ livenessProbe: { httpGet: { path: "/healthz", port: 80 }, ...FAST, failureThreshold: 5 } }),
    ),
  [named("should *not* be restarted with a tcp:8080 liveness probe")]: (t) =>
    isNotRestarted(
      t,
      healthPod(failingServer, { livenessProbe: { tcpSocket: { port: 8080 }, ...FAST, initialDelaySeconds: 3 } }),
    ),
  [named("should be restarted with a GRPC liveness probe")]: (t) =>
    isRestarted(t, web({ livenessProbe: { grpc: { port: 2333 }, ...FAST } })),
  [named("should *not* be restarted with a GRPC liveness probe")]: (t) => {
    const pod = healthPod(
      "",
      { livenessProbe: { grpc: { port: 5000 }, ...FAST, initialDelaySeconds: 5 } },
      {
        ...t.script.container,
        command: t.script.command(GRPC_HEALTH),
      },
    );
    Object.assign(pod["spec"], t.script.pod);
    return isNotRestarted(t, pod);
  },
  [named("should have monotonically increasing restart count")]: (t) =>
    isRestarted(t, healthPod(failingServer, { livenessProbe: { ...healthz, ...FAST, initialDelaySeconds: 3 } }), 3),

  [named("with readiness probe that fails should never be ready and never restart")]: async (t) => {
    await t.api("v1", "pods").create(healthPod(well, { readinessProbe: { exec: { command: ["false"] }, ...FAST } }));
    await t.until("it runs", async () => {
      return Boolean((await t.api("v1", "pods").get("probed"))["status"].containerStatuses?.[0]?.state.running);
    });
    await staysSo(async () => {
      const [status] = (await t.api("v1", "pods").get("probed"))["status"].containerStatuses as Loose[];
      assert.equal(status?.["ready"], false);
      assert.equal(status?.["restartCount"], 0);
    });
  },
  [named("with readiness probe should not be ready before initial delay and never restart")]: async (t) => {
    const readinessProbe = { httpGet: { path: "/healthz", port: 80 }, initialDelaySeconds: 15, periodSeconds: 2 };
    await t.api("v1", "pods").create(web({ readinessProbe }));
    const { status } = await t.ready("probed");
    const startedMs = Date.parse(status.containerStatuses[0].state.running.startedAt as string);
    const ready = (status.conditions as { type: string; lastTransitionTime: string }[]).find(
      ({ type }) => type === "Ready",
    );
    // Both times are whole seconds.
    assert.ok(Date.parse(ready?.lastTransitionTime ?? "") - startedMs >= 14_000, "it was ready too early");
    assert.equal(await restarts(t), 0);
  },
};
