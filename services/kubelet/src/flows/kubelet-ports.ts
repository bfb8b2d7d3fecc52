import type { Node, Pod, Service } from "@pilothouse/api/types/core-v1";
import type { ApiClient } from "@pilothouse/client";
import type { Clock, Random } from "@pilothouse/clock";
import type { Runtime } from "@pilothouse/runtime";
import type { Logger, Tracer } from "@pilothouse/telemetry";
import type { EventRecorder } from "./events.ts";
import type { ProbeResults } from "./probe-results.ts";
import type { WatchedObjects } from "./watched-objects.ts";
import type { Cgroups, NetworkProbe, NodeFiles } from "./ports.ts";

/** What the flows work with. */
export interface KubeletPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly client: ApiClient;
  readonly runtime: Runtime;
  readonly files: NodeFiles;
  readonly cgroups: Cgroups;
  readonly network: NetworkProbe;
  readonly events: EventRecorder;
  readonly probeResults: ProbeResults;
  /** Tells when what pods have mounted changes. */
  readonly watched: () => Pick<WatchedObjects, "follow" | "forget">;
  /** All Services, as the kubelet follows them. */
  readonly services: () => readonly Service[];
  /** The Node object of this machine, as it is shown; undefined before it is known. */
  readonly node: () => Node | undefined;
  /** The pod that the API shows in this one's place: a static pod's mirror, else the pod itself. Undefined while there is none. */
  readonly shownAs: (pod: Pod) => Pod | undefined;
  readonly tracer: Tracer;
  readonly log: Logger;
}
