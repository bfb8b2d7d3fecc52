/** How probes ended, for `/metrics/probes`: counted by pod, container and sort, under upstream's names. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { Exposition } from "../core/exposition.ts";
import { uidOf } from "../core/pod-runtime.ts";
import type { ProbeKind } from "../core/probes.ts";

interface Count {
  readonly labels: Readonly<Record<string, string>>;
  times: number;
}

export class ProbeResults {
  readonly #counts = new Map<string, Count>();

  count(pod: Pod, container: string, kind: ProbeKind, succeeded: boolean): void {
    const { name = "", namespace = "" } = pod.metadata;
    const labels = {
      container,
      namespace,
      pod: name,
      pod_uid: uidOf(pod),
      probe_type: `${kind[0]?.toUpperCase()}${kind.slice(1)}`,
      result: succeeded ? "successful" : "failed",
    };
    const key = JSON.stringify(labels);
    const known = this.#counts.get(key);
    if (known) known.times++;
    else this.#counts.set(key, { labels, times: 1 });
  }

  /** Nobody asks any more how the probes of this pod went. */
  forget(uid: string): void {
    for (const [key, { labels }] of this.#counts) if (labels["pod_uid"] === uid) this.#counts.delete(key);
  }

  expose(): string {
    const help = "[BETA] Cumulative number of a liveness, readiness or startup probe for a container by result.";
    const out = new Exposition([{ name: "prober_probe_total", type: "counter", help }]);
    for (const { labels, times } of this.#counts.values()) out.add("prober_probe_total", labels, times);
    return out.text();
  }
}
