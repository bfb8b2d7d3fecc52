/** The way to nodes and pods where there are none: in tests, and in the simulation. */
import type { NodeProxy } from "./node-proxy.ts";

export function noKubelets(why: string): NodeProxy {
  const refuse = (): Promise<never> => Promise.reject(new Error(why));
  return { get: refuse, forward: refuse };
}
