/** The smallest world in which a process can be tried: one store, one bus, one apiserver, one user, and the process under test. */
import { start as startApiserver, type ApiserverService } from "@pilothouse/apiserver";
import { noKubelets } from "@pilothouse/apiserver/no-kubelets";
import { createApiClient, type ApiClient, type KubernetesObject, type TransportRequest } from "@pilothouse/client";
import { memoryCrypto } from "@pilothouse/crypto/memory";
import { Scope } from "@pilothouse/lifecycle";
import type { Telemetry } from "@pilothouse/telemetry";
import { memoryTelemetry } from "@pilothouse/telemetry/memory";
import { storyLog, textOf } from "../cluster.ts";
import { calm, plannedFaults, type Faults } from "../faults.ts";
import { isHeartbeat } from "../invariants.ts";
import { Machine, type Life } from "../machine.ts";
import { SimulatedBus, simulatedTransport, type Identity, type Server } from "../network.ts";
import { changedKey, storeOf, Truth, type Commit } from "../store.ts";
import { inContext } from "../traps.ts";
import type { World } from "../world.ts";
import { Ears } from "./ears.ts";
import type { Prepared, Subject, Wires } from "./scenario.ts";

const PROBE_MS = 1;

export class SmallWorld {
  readonly world: World;
  readonly truth: Truth;
  readonly ears = new Ears();
  readonly user: Life;
  readonly client: ApiClient;
  readonly #subject: Prepared;
  readonly #onAct: () => void;
  readonly #machine: Machine;
  readonly #faults: Faults;
  readonly #bus: SimulatedBus;
  readonly #server: Server;
  readonly #bootServer: () => Promise<void>;
  /** By key, with the revision of the last change. */
  readonly #objects = new Map<string, { readonly object: KubernetesObject; readonly revision: number }>();
  /** When the process under test asked for a write or did something else, or anybody made a write. */
  lastWrite = { atMs: 0, what: "nothing" };

  /** @param onAct the process under test has done something outside of the API */
  constructor(world: World, subject: Subject, onAct: () => void) {
    this.world = world;
    this.#subject = subject.prepare(world);
    this.#onAct = onAct;
    this.truth = new Truth(world);
    this.#faults = plannedFaults(world, { weather: calm, incidents: [], untilMs: 0 });
    this.#bus = new SimulatedBus(world, this.#faults);
    this.#machine = new Machine(world, subject.machine);
    const { server, boot } = this.#apiserver("apiserver-1");
    this.#server = server;
    this.#bootServer = boot;
    this.user = new Machine(world, "user").boot();
    const transport = simulatedTransport(world, this.#faults, this.user, server, ADMIN);
    this.client = createApiClient({ transports: [transport], userAgent: "kubectl" });
  }

  /** Starts the apiserver; resolves when it serves. */
  begin(): Promise<void> {
    return this.#bootServer();
  }

  bootSubject(): void {
    const { world } = this;
    const life = this.#machine.boot();
    world.tell(life.name, "starts");
    const scope = new Scope(life.machine.name, (task, error) => world.fail(new Error(`${task}: ${textOf(error)}`)));
    inContext({ life: life.name }, () => this.#subject.start(life, scope, this.#wires(life)));
  }

  /** It dies, and starts again after `downMs`. */
  crashSubject(downMs: number): void {
    this.world.tell(this.#machine.name, "CRASH");
    this.#machine.crash();
    this.world.at(downMs, "the process under test starts again", () => this.bootSubject());
  }

  /** To be told of every commit. */
  committed(commit: Commit): void {
    for (const change of commit.changes) {
      const key = changedKey(change);
      if (isHeartbeat(key)) continue;
      const object = commit.objects.get(key);
      const what = change.type === "delete" ? "removed" : this.#objects.has(key) ? "changed" : "created";
      if (object) this.#objects.set(key, { object, revision: commit.revision });
      else this.#objects.delete(key);
      this.#wrote(`${key} ${what} by ${commit.cause?.user ?? commit.life ?? "the store"}`);
      this.world.tell(commit.life ?? "store", `${commit.revision}: ${this.lastWrite.what}`);
    }
  }

  /** The objects that were written after `revision`. */
  objectsSince(revision: number): KubernetesObject[] {
    return [...this.#objects.values()].filter((one) => one.revision > revision).map(({ object }) => object);
  }

  /** What the process under test has brought about outside of the API. */
  remains(): Promise<readonly string[]> {
    return this.#subject.remains?.() ?? Promise.resolve([]);
  }

  #wrote(what: string): void {
    this.lastWrite = { atMs: this.world.nowMs, what };
  }

  #wires(life: Life): Wires {
    const { world } = this;
    return {
      store: storeOf(life, this.truth.store, world, this.#faults),
      bus: this.ears.bus(this.#bus.connect(life)),
      telemetry: this.#telemetry(life),
      probeLeader: ({ identity }) =>
        new Promise((resolve) => void life.after(PROBE_MS, "probe", () => resolve(identity === life.name))),
      client: (identity, userAgent, fence) => {
        const wire = simulatedTransport(world, this.#faults, life, this.#server, identity);
        const transport = this.ears.transport({
          ...wire,
          send: (request) => {
            if (isWrite(request)) this.#wrote(`${life.name} asked for ${request.method} ${request.path}`);
            return wire.send(request);
          },
        });
        return createApiClient({ transports: [transport], userAgent, ...(fence ? { fence } : {}) });
      },
      acted: (what) => {
        if (!life.alive) return;
        this.#wrote(`${life.name} did ${what}`);
        world.tell(life.name, what);
        this.#onAct();
      },
    };
  }

  #apiserver(name: string): { readonly server: Server; readonly boot: () => Promise<void> } {
    const machine = new Machine(this.world, name);
    let service: ApiserverService | undefined;
    const server: Server = {
      name,
      listening() {
        const { life } = machine;
        return life && service
          ? { life, handle: (request) => (service as ApiserverService).handle(request) }
          : undefined;
      },
    };
    const boot = async (): Promise<void> => {
      const life = machine.boot();
      const ports = {
        time: life.time,
        store: storeOf(life, this.truth.store, this.world, this.#faults),
        bus: this.#bus.connect(life),
        crypto: memoryCrypto(),
        telemetry: this.#telemetry(life),
        nodeProxy: noKubelets("kubelets are not proxied to in the simulation"),
      };
      const config = { name, advertiseAddress: "198.51.100.11", securePort: 6443 };
      service = await inContext({ life: life.name }, () => startApiserver(ports, config));
    };
    return { server, boot };
  }

  #telemetry(life: Life): Telemetry {
    const memory = memoryTelemetry({ clock: life.clock, random: life.random.fork("telemetry"), maxRecords: 100 });
    return { ...memory, log: storyLog(this.world, life.name, {}) };
  }
}

const ADMIN: Identity = { user: "admin", groups: ["system:masters"] };

/** Events and leases say that somebody lives, not that anything changes. */
function isWrite({ method, path }: TransportRequest): boolean {
  return method !== "GET" && !/\/(events|leases)([/?]|$)/.test(path);
}
