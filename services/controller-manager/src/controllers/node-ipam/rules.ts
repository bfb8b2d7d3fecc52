/** The cluster's pod addresses, cut into blocks of one size, and which of them are taken. Pure. IPv4. */
import { parseIp } from "@pilothouse/kinds/ip";

export interface BlockSpace {
  readonly base: number;
  readonly blockBits: number;
  /** How many blocks there are. */
  readonly count: number;
}

/** @throws RangeError for what is no IPv4 network that holds a block of `/nodeBits` */
export function blockSpace(clusterCidr: string, nodeBits: number): BlockSpace {
  const network = parseNetwork(clusterCidr);
  if (!network || network.bits > nodeBits || nodeBits > 30)
    throw new RangeError(`${clusterCidr} is no IPv4 network that can be cut into blocks of /${nodeBits}`);
  return { base: network.first, blockBits: nodeBits, count: 2 ** (nodeBits - network.bits) };
}

export function blockCidr({ base, blockBits }: BlockSpace, index: number): string {
  const first = base + index * 2 ** (32 - blockBits);
  return `${[24, 16, 8, 0].map((shift) => Math.floor(first / 2 ** shift) % 256).join(".")}/${blockBits}`;
}

/** The blocks that a network touches: one of another size, made by another tool, may touch many; one elsewhere none. */
export function blocksTouched(space: BlockSpace, cidr: string): readonly number[] {
  const network = parseNetwork(cidr);
  if (!network) return [];
  const blockSize = 2 ** (32 - space.blockBits);
  const last = network.first + 2 ** (32 - network.bits) - 1;
  const from = Math.max(0, Math.floor((network.first - space.base) / blockSize));
  const to = Math.min(space.count - 1, Math.floor((last - space.base) / blockSize));
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => from + index);
}

/** The first free block after `after`, round the whole space: one just given back rests as long as there are others. */
export function nextFree({ count }: BlockSpace, taken: ReadonlySet<number>, after: number): number | undefined {
  for (let step = 1; step <= count; step++) {
    const index = (((after + step) % count) + count) % count;
    if (!taken.has(index)) return index;
  }
  return undefined;
}

function parseNetwork(cidr: string): { readonly first: number; readonly bits: number } | undefined {
  const [address = "", length = ""] = cidr.split("/");
  const bytes = parseIp(address);
  const bits = Number(length);
  if (bytes?.length !== 4 || !/^\d{1,2}$/.test(length) || bits > 32) return undefined;
  const value = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
  const size = 2 ** (32 - bits);
  return { first: Math.floor(value / size) * size, bits };
}
