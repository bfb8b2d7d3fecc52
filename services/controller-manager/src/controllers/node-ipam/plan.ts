/** Which pod addresses a node gets. Pure. */
import type { Node } from "@pilothouse/api/types/core-v1";
import { blockCidr, blocksTouched, nextFree, type BlockSpace } from "./rules.ts";

export type NodeIpamAction =
  | { readonly do: "nothing" }
  | { readonly do: "assign"; readonly podCidr: string; readonly block: number }
  /** All blocks are taken. */
  | { readonly do: "tell exhausted" };

export interface Allocations {
  readonly space: BlockSpace;
  /** All that the API shows. */
  readonly nodes: readonly Node[];
  /** By uid of the node: blocks promised to nodes that do not show them yet. */
  readonly promised: ReadonlyMap<string, number>;
  /** The block that was given last. */
  readonly last: number;
}

export function plan(node: Node, { space, nodes, promised, last }: Allocations): NodeIpamAction {
  if (podCidrs(node).length > 0 || node.metadata.deletionTimestamp !== undefined) return { do: "nothing" };
  const { uid = "" } = node.metadata;
  const taken = new Set(nodes.flatMap(podCidrs).flatMap((cidr) => blocksTouched(space, cidr)));
  for (const [other, block] of promised) if (other !== uid) taken.add(block);
  const own = promised.get(uid);
  const block = own !== undefined && !taken.has(own) ? own : nextFree(space, taken, last);
  return block === undefined ? { do: "tell exhausted" } : { do: "assign", podCidr: blockCidr(space, block), block };
}

export function podCidrs({ spec }: Node): readonly string[] {
  if (spec?.podCIDRs?.length) return spec.podCIDRs;
  return spec?.podCIDR ? [spec.podCIDR] : [];
}
