/** The election's key and its value, as all candidates read it. */
import type { StoreEntry } from "@pilothouse/store";
import type { SeenKey } from "./machine.ts";

/** Elections have a prefix of their own: no object of the API lives below it. */
export function electionKey(name: string): string {
  return `/pilothouse/elections/${name}`;
}

export function encodeLeader(identity: string, healthAddress: string | undefined, since: string): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ identity, healthAddress, since }));
}

/** What a key says of its leader. A value that is not ours counts as a leader without a name: its lease still ends. */
export function seenKey(entry: StoreEntry): SeenKey {
  const { createRevision } = entry;
  try {
    const value = JSON.parse(new TextDecoder().decode(entry.value)) as Partial<Record<string, unknown>>;
    return { createRevision, identity: text(value["identity"]) ?? "", healthAddress: text(value["healthAddress"]) };
  } catch {
    return { createRevision, identity: "", healthAddress: undefined };
  }
}

export function encodeBeat(createRevision: number): Uint8Array {
  return new TextEncoder().encode(String(createRevision));
}

/** The create-revision that a beat names; NaN when it is not a beat of ours. */
export function decodeBeat(payload: Uint8Array): number {
  return Number(new TextDecoder().decode(payload));
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
