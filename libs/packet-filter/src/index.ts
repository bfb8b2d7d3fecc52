/**
 * The packet filter port: one table of rules owned by one process, replaced or changed atomically.
 *
 * A ruleset is in libnftables-json vocabulary: the planner (services/proxy/src/core) builds it, the adapter hands it to the
 * kernel in one transaction, so there is never a moment with half of the rules.
 */
export interface PacketFilter {
  /** Applies all commands in one transaction; nothing of it holds if it throws. */
  apply(commands: readonly NftCommand[]): Promise<void>;
  /** What the kernel has under the given table now (for drift detection and tests). */
  list(table: TableName): Promise<readonly NftObject[]>;
  close(): Promise<void>;
}

export interface TableName {
  readonly family: "ip" | "ip6" | "inet";
  readonly name: string;
}

/** One libnftables-json object, for example `{ chain: { family, table, name, type, hook, prio, policy } }`. */
export type NftObject = Readonly<Record<string, unknown>>;

/** One libnftables-json command. */
export type NftCommand =
  | { readonly add: NftObject }
  | { readonly create: NftObject }
  | { readonly delete: NftObject }
  | { readonly flush: NftObject }
  | { readonly replace: NftObject };

/** The kernel refused a transaction. */
export class PacketFilterRefused extends Error {
  override readonly name = "PacketFilterRefused";
}
