/**
 * From what services contribute to the commands that bring the kernel there: as few as will do, in one transaction.
 *
 * Where two services want the same thing to mean different things (an external IP used twice), the first by name has it; where
 * they mean the same (a chain that balances over three), it stays until the last one lets go.
 */
import type { NftCommand, NftObject } from "@pilothouse/packet-filter";
import type { ServicePortModel } from "./model.ts";
import { contributionOf, frame, type Contribution, type Item, type RulesetOptions, type UdpFlow } from "./ruleset.ts";

/** A transaction to apply, and what to do when it was applied. */
export interface Change {
  readonly commands: readonly NftCommand[];
  /** UDP connections to endpoints that are no more. */
  readonly forget: readonly UdpFlow[];
}

const FRAME = "";

export class Rules {
  readonly #table: string;
  readonly #contributions = new Map<string, Contribution>();
  /** Who wants a thing, by the thing's id and the service's name. */
  readonly #claims = new Map<string, Map<string, Item>>();
  readonly #touched = new Set<string>();
  readonly #inKernel = new Map<string, Item>();
  #forget: UdpFlow[] = [];

  constructor(table: string, options: RulesetOptions) {
    this.#table = table;
    this.#claim(FRAME, frame(options));
  }

  /** Says what a service wants from now on; no ports: nothing. */
  put(service: string, ports: readonly ServicePortModel[]): void {
    const before = this.#contributions.get(service);
    const now = contributionOf(service, ports, before);
    this.#release(service, before?.items ?? []);
    this.#claim(service, now.items);
    if (now.items.length > 0) this.#contributions.set(service, now);
    else this.#contributions.delete(service);
    const kept = new Set(now.udp.map(nameOfFlow));
    this.#forget.push(...(before?.udp ?? []).filter((flow) => !kept.has(nameOfFlow(flow))));
  }

  /** What must change since the last call of `applied`. */
  change(): Change {
    const gone: Item[] = [];
    const come: Item[] = [];
    for (const id of this.#touched) {
      const have = this.#inKernel.get(id);
      const want = this.#winner(id);
      if (have?.content === want?.content) continue;
      if (have) gone.push(have);
      if (want) come.push(want);
    }
    return { commands: this.#commands(gone, come), forget: this.#forget };
  }

  /** Everything, in place of whatever an earlier process left: the kernel changes from the old table to the new at once. */
  whole(): Change {
    const items = [...this.#claims.keys()].map((id) => this.#winner(id)).filter((item) => item !== undefined);
    const table = { table: { family: "ip", name: this.#table } };
    return {
      commands: [{ add: table }, { delete: table }, { add: table }, ...this.#commands([], items)],
      forget: this.#forget,
    };
  }

  /** The kernel has all that was put (nothing may be put between planning and this). */
  applied(): void {
    for (const id of this.#touched) {
      const item = this.#winner(id);
      if (item) this.#inKernel.set(id, item);
      else this.#inKernel.delete(id);
    }
    this.#touched.clear();
    this.#forget = [];
  }

  #claim(owner: string, items: readonly Item[]): void {
    for (const item of items) {
      let claims = this.#claims.get(item.id);
      if (!claims) this.#claims.set(item.id, (claims = new Map()));
      claims.set(owner, item);
      this.#touched.add(item.id);
    }
  }

  #release(owner: string, items: readonly Item[]): void {
    for (const { id } of items) {
      const claims = this.#claims.get(id);
      claims?.delete(owner);
      if (claims?.size === 0) this.#claims.delete(id);
      this.#touched.add(id);
    }
  }

  #winner(id: string): Item | undefined {
    const claims = this.#claims.get(id);
    if (!claims) return undefined;
    let first: string | undefined;
    for (const owner of claims.keys()) if (first === undefined || owner < first) first = owner;
    return claims.get(first as string);
  }

  /** In an order in which nothing names what is not there: out with old elements, in with the new, then out with old chains. */
  #commands(gone: readonly Item[], come: readonly Item[]): NftCommand[] {
    const stays = new Set(come.map(({ id }) => id));
    const of = (fields: NftObject): NftObject => ({ family: "ip", table: this.#table, ...fields });
    const chains = come.filter((item) => item.kind === "chain");
    const oldChains = gone.filter((item) => item.kind === "chain");
    const deadChains = oldChains.filter(({ id }) => !stays.has(id));
    const deadSets = gone.filter((item) => item.kind === "set");
    const sets = come.filter((item) => item.kind === "set");
    return [
      ...elementCommands(gone, (elem) => ({ delete: { element: of(elem) } }), keyOfElement),
      ...oldChains.map(({ name }): NftCommand => ({ flush: { chain: of({ name }) } })),
      ...sets.map(({ declaration }): NftCommand => ({
        add: { [declaration["map"] ? "map" : "set"]: of(declaration) },
      })),
      ...chains.map(({ name, hook }): NftCommand => ({ add: { chain: of({ name, ...hook }) } })),
      ...chains.flatMap(({ name, rules }) =>
        rules.map((expr): NftCommand => ({ add: { rule: of({ chain: name, expr }) } })),
      ),
      ...elementCommands(come, (elem) => ({ add: { element: of(elem) } }), entryOfElement),
      ...deadChains.map(({ name }): NftCommand => ({ delete: { chain: of({ name }) } })),
      ...deadSets.map(({ declaration }): NftCommand => ({ delete: { set: of({ name: declaration["name"] }) } })),
    ];
  }
}

type Element = Extract<Item, { kind: "element" }>;

/** One command for each set, with all its elements. */
function elementCommands(
  items: readonly Item[],
  command: (elements: NftObject) => NftCommand,
  describe: (element: Element) => unknown,
): NftCommand[] {
  const bySet = new Map<string, unknown[]>();
  for (const item of items) {
    if (item.kind !== "element") continue;
    const elements = bySet.get(item.set);
    if (elements) elements.push(describe(item));
    else bySet.set(item.set, [describe(item)]);
  }
  return [...bySet].map(([name, elem]) => command({ name, elem }));
}

function keyOfElement({ key }: Element): unknown {
  return key;
}

function entryOfElement({ key, value }: Element): unknown {
  return value === undefined ? key : [key, value];
}

function nameOfFlow({ address, port, endpoint }: UdpFlow): string {
  return `${address} ${port} ${endpoint}`;
}
