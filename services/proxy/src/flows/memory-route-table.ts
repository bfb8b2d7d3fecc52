import type { PodRoute } from "../core/pod-routes.ts";
import type { RouteTable } from "./pod-routes.ts";

export interface MemoryRouteTable extends RouteTable {
  /** What the kernel would have, by `podCidr`. */
  readonly routes: Map<string, PodRoute>;
}

/** For tests and the simulation: one link, and a table that anybody may change. */
export function memoryRouteTable(link: string): MemoryRouteTable {
  const routes = new Map<string, PodRoute>();
  return {
    routes,
    links: () => Promise.resolve([link]),
    read: () => Promise.resolve([...routes.values()]),
    change({ put, remove }) {
      for (const { podCidr } of remove) routes.delete(podCidr);
      for (const route of put) routes.set(route.podCidr, route);
      return Promise.resolve();
    },
  };
}
