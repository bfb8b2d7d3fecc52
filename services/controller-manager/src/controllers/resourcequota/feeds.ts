/** News of what quotas count: one informer for each resource that any quota is about, from when the first quota names it on. */
import type { KubernetesObject } from "@pilothouse/client";
import { allSynced, startInformer, type Informer, type InformerChange } from "@pilothouse/informer";
import type { ControllerPorts } from "../../controller-ports.ts";
import { wholeInformer } from "../../informers.ts";
import type { ServedResource } from "../../discovery.ts";

type Hear = (type: ServedResource, change: InformerChange<KubernetesObject>) => void;

export class QuotaFeeds {
  readonly #ports: ControllerPorts;
  readonly #hear: Hear;
  readonly #feeds = new Map<ServedResource, Informer<KubernetesObject>>();

  constructor(ports: ControllerPorts, hear: Hear) {
    this.#ports = ports;
    this.#hear = hear;
  }

  /** Resolves when whatever goes of these from now on is heard of. True if that was not so before. */
  async ensure(types: readonly ServedResource[], signal: AbortSignal): Promise<boolean> {
    const missing = types.filter((type) => !this.#feeds.has(type));
    const news = missing.map((type) => this.#start(type));
    await allSynced(news, signal);
    return news.length > 0;
  }

  #start(type: ServedResource): Informer<KubernetesObject> {
    const { informers, scope } = this.#ports;
    const feed = wholeInformer(informers, type) ?? startInformer(this.#ports, { type, keep: identity });
    this.#feeds.set(type, feed);
    scope.defer(feed.onChange((change) => this.#hear(type, change)));
    return feed;
  }
}

/** Only that it changed matters: what is counted is read. */
function identity({ metadata: { name, namespace, uid, resourceVersion } }: KubernetesObject): KubernetesObject {
  return {
    metadata: {
      ...(name === undefined ? {} : { name }),
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    },
  };
}
