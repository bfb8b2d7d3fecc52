import { MAX_NODE_SCORE, type Plugin } from "../../core/framework.ts";

const MIB = 2 ** 20;
const LEAST_BYTES = 23 * MIB;
const MOST_BYTES_PER_CONTAINER = 1000 * MIB;

/** Prefers nodes that have the pod's images already; each image counts in the measure in which nodes have it. */
export const imageLocality: Plugin<ReadonlyMap<string, number>> = {
  name: "ImageLocality",
  undoneBy: {},
  /** Image name → share of the nodes that have it. */
  prepare(pod, { nodes }) {
    const wanted = pod.spec.containers.map(({ image }) => image ?? "");
    return new Map(
      wanted.map((image) => [
        image,
        nodes.filter(({ node }) => sizeOf(node.status?.images, image) !== undefined).length / nodes.length,
      ]),
    );
  },
  score(pod, { node }, spread) {
    const present = [...spread].reduce(
      (sum, [image, share]) => sum + (sizeOf(node.status?.images, image) ?? 0) * share,
      0,
    );
    const most = MOST_BYTES_PER_CONTAINER * pod.spec.containers.length;
    const bounded = Math.min(Math.max(present, LEAST_BYTES), most);
    return Math.floor((MAX_NODE_SCORE * (bounded - LEAST_BYTES)) / (most - LEAST_BYTES));
  },
};

function sizeOf(
  images: readonly { names?: string[]; sizeBytes?: number }[] | undefined,
  wanted: string,
): number | undefined {
  return images?.find(({ names }) => names?.includes(wanted))?.sizeBytes;
}
