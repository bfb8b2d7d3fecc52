/** Carries a plan of faults out on a control plane. */
import { sleep, type Clock } from "@pilothouse/clock";
import type { ControlPlane } from "../harness/control-plane.ts";
import type { TcpProxy } from "../harness/index.ts";
import type { Fault, FaultEvent, Harm } from "./fault-plan.ts";

const DELAY_MS = 150;
const TRICKLE_BYTES = 6_000;

/** Settles when nothing of it is under way any more: every fault is mended, or could not be. */
export async function inflict(plane: ControlPlane, plan: readonly FaultEvent[], clock: Clock): Promise<void> {
  const startMs = clock.monotonicMs();
  const lanes = Map.groupBy(plan, ({ lane }) => lane);
  const ended = await Promise.allSettled(
    Array.from(lanes.values(), async (events) => {
      for (const { atMs, forMs, fault } of events) {
        // On a slow machine mending takes its time, and what comes next in the lane waits for it.
        await sleep(clock, Math.max(0, startMs + atMs - clock.monotonicMs()));
        const mend = await begin(plane, fault);
        await sleep(clock, forMs);
        await mend();
      }
    }),
  );
  const failed = ended.find(({ status }) => status === "rejected");
  if (failed?.status === "rejected") throw failed.reason;
}

type Mend = () => Promise<void> | void;

async function begin(plane: ControlPlane, fault: Fault): Promise<Mend> {
  switch (fault.on) {
    case "edge": {
      const proxies = proxiesOf(plane, fault);
      const mends = proxies.map((proxy) => HARMS[fault.harm](proxy));
      return () => mends.forEach((mend) => void mend());
    }
    case "etcd": {
      const member = fault.which === "leader" ? await plane.etcdLeader() : plane.etcd[fault.which];
      return member ? stopFor(member, fault.harm) : () => undefined;
    }
    case "nats":
      return stopFor(plane.nats[fault.which] as ControlPlane["nats"][number], fault.harm);
    case "apiserver":
      return stopFor(plane.apiservers[fault.which] as ControlPlane["apiservers"][number], fault.harm);
  }
}

interface Stoppable {
  pause(): void;
  resume(): void;
  kill(): Promise<void>;
  start(): Promise<void> | void;
}

async function stopFor(server: Stoppable, harm: "kill" | "pause"): Promise<Mend> {
  if (harm === "pause") {
    server.pause();
    return () => server.resume();
  }
  await server.kill();
  return () => server.start();
}

/** Two lanes may harm one proxy at a time; each mends its own kind of harm. */
const HARMS: Readonly<Record<Harm, (proxy: TcpProxy) => Mend>> = {
  cut: (proxy) => {
    proxy.cut();
    return () => undefined;
  },
  halfOpen: (proxy) => {
    proxy.halfOpen();
    return () => undefined;
  },
  freeze: (proxy) => {
    proxy.freeze();
    return () => proxy.thaw();
  },
  loseAnswers: (proxy) => {
    proxy.holdAnswers();
    return () => {
      proxy.cut();
      proxy.thaw();
    };
  },
  delay: (proxy) => {
    proxy.delay(DELAY_MS);
    return () => proxy.delay(0);
  },
  refuse: (proxy) => {
    proxy.refuse(true);
    proxy.cut();
    return () => proxy.refuse(false);
  },
  trickle: (proxy) => {
    proxy.cutAfterBytes(TRICKLE_BYTES);
    return () => proxy.cutAfterBytes(undefined);
  },
};

function proxiesOf(plane: ControlPlane, fault: Extract<Fault, { readonly on: "edge" }>): readonly TcpProxy[] {
  const { toEtcd, toNats, door } = plane.apiservers[fault.apiserver] as ControlPlane["apiservers"][number];
  const all = { etcd: toEtcd, nats: toNats, door: [door] }[fault.edge];
  return fault.to === undefined ? all : all.slice(fault.to, fault.to + 1);
}
