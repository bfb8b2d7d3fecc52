/**
 * The memory adapter: tables, chains, rules, sets, maps and elements kept as data, changed in whole transactions and refused
 * where the kernel refuses. It filters nothing: services/proxy/src/core/trace-packet.ts says what the rules would do.
 */
import { PacketFilterRefused, type NftCommand, type NftObject, type PacketFilter, type TableName } from "./index.ts";

type Fields = Readonly<Record<string, unknown>>;

interface Collection {
  readonly kind: "set" | "map";
  readonly fields: Fields;
  /** Value by key, both as JSON; a set's value is "". */
  readonly elements: Map<string, string>;
}

interface Chain {
  readonly fields: Fields;
  rules: Fields[];
}

interface Table {
  readonly chains: Map<string, Chain>;
  readonly collections: Map<string, Collection>;
}

type Tables = Map<string, Table>;
type Verb = "add" | "create" | "delete" | "flush";

const NOT_FOUND = "No such file or directory";
const EXISTS = "File exists";
const BUSY = "Device or resource busy";

export function memoryPacketFilter(): PacketFilter {
  let tables: Tables = new Map();
  return {
    apply(commands) {
      try {
        const next = copy(tables);
        for (const command of commands) carryOut(next, command);
        checkReferences(next);
        tables = next;
        return Promise.resolve();
      } catch (error) {
        return Promise.reject(error instanceof Error ? error : new Error(String(error)));
      }
    },
    list({ family, name }) {
      const table = tables.get(`${family} ${name}`);
      if (!table) return Promise.reject(refused(NOT_FOUND, { table: { family, name } }));
      return Promise.resolve(describe({ family, name }, table));
    },
    close: () => Promise.resolve(),
  };
}

function carryOut(tables: Tables, command: NftCommand): void {
  const [verb, object] = Object.entries(command)[0] as [string, NftObject];
  if (verb === "replace") throw refused("replace is not kept in memory", object);
  const [kind, fields] = Object.entries(object)[0] as [string, Fields];
  if (kind === "table") return onTable(tables, verb as Verb, object, fields);
  const table = tables.get(`${String(fields["family"])} ${String(fields["table"])}`);
  if (!table) throw refused(NOT_FOUND, object);
  switch (kind) {
    case "chain":
      return onChain(table, verb as Verb, object, fields);
    case "rule":
      return onRule(table, verb as Verb, object, fields);
    case "set":
    case "map":
      return onCollection(table, kind, verb as Verb, object, fields);
    case "element":
      return onElements(table, verb as Verb, object, fields);
    default:
      throw refused(`${kind} is not kept in memory`, object);
  }
}

function onTable(tables: Tables, verb: Verb, object: NftObject, fields: Fields): void {
  const name = `${String(fields["family"])} ${String(fields["name"])}`;
  const table = tables.get(name);
  if (verb === "add" && table) return;
  if (verb === "create" && table) throw refused(EXISTS, object);
  if (verb === "add" || verb === "create") {
    tables.set(name, { chains: new Map(), collections: new Map() });
    return;
  }
  if (!table) throw refused(NOT_FOUND, object);
  if (verb === "delete") tables.delete(name);
  else for (const chain of table.chains.values()) chain.rules = [];
}

function onChain(table: Table, verb: Verb, object: NftObject, fields: Fields): void {
  const name = fields["name"] as string;
  const chain = table.chains.get(name);
  if (verb === "add" && chain) return;
  if (verb === "create" && chain) throw refused(EXISTS, object);
  if (verb === "add" || verb === "create") {
    table.chains.set(name, { fields, rules: [] });
    return;
  }
  if (!chain) throw refused(NOT_FOUND, object);
  if (verb === "flush") chain.rules = [];
  else if (chain.rules.length > 0 || targetsIn(table).has(name)) throw refused(BUSY, object);
  else table.chains.delete(name);
}

function onRule(table: Table, verb: Verb, object: NftObject, fields: Fields): void {
  const chain = table.chains.get(fields["chain"] as string);
  if (!chain) throw refused(NOT_FOUND, object);
  if (verb !== "add") throw refused("only adding rules is kept in memory", object);
  chain.rules.push(fields);
}

function onCollection(table: Table, kind: "set" | "map", verb: Verb, object: NftObject, fields: Fields): void {
  const name = fields["name"] as string;
  const collection = table.collections.get(name);
  if (verb === "add" && collection) return;
  if (verb === "create" && collection) throw refused(EXISTS, object);
  if (verb === "add" || verb === "create") {
    table.collections.set(name, { kind, fields, elements: new Map() });
    return;
  }
  if (!collection) throw refused(NOT_FOUND, object);
  if (verb === "flush") collection.elements.clear();
  else if (namedCollectionsIn(table).has(name)) throw refused(BUSY, object);
  else table.collections.delete(name);
}

function onElements(table: Table, verb: Verb, object: NftObject, fields: Fields): void {
  const collection = table.collections.get(fields["name"] as string);
  if (!collection) throw refused(NOT_FOUND, object);
  for (const element of fields["elem"] as readonly unknown[]) {
    const [key, value] = entryOf(collection, element);
    const present = collection.elements.get(key);
    if (verb === "delete") {
      if (present === undefined) throw refused(NOT_FOUND, object);
      collection.elements.delete(key);
      continue;
    }
    if (present !== undefined && (verb === "create" || present !== value)) throw refused(EXISTS, object);
    collection.elements.set(key, value);
  }
}

/** A map's element is `[key, value]` when it is added, and may be the bare key when it is deleted. */
function entryOf({ kind }: Collection, element: unknown): [key: string, value: string] {
  if (kind === "map" && Array.isArray(element)) return [JSON.stringify(element[0]), JSON.stringify(element[1])];
  return [JSON.stringify(element), ""];
}

/** The kernel takes no rule and no verdict that names what is not there. */
function checkReferences(tables: Tables): void {
  for (const table of tables.values()) {
    for (const chain of targetsIn(table)) if (!table.chains.has(chain)) throw refused(NOT_FOUND, { chain });
    for (const name of namedCollectionsIn(table))
      if (!table.collections.has(name)) throw refused(NOT_FOUND, { set: name });
  }
}

/** Chains that rules or verdict maps jump or go to. */
function targetsIn(table: Table): Set<string> {
  const targets = new Set<string>();
  const texts = [...table.chains.values()].map(({ rules }) => JSON.stringify(rules));
  for (const { fields, elements } of table.collections.values())
    if (fields["map"] === "verdict") texts.push(...elements.values());
  for (const text of texts)
    for (const match of text.matchAll(/"(?:goto|jump)":\{"target":"([^"]+)"/g)) targets.add(match[1] as string);
  return targets;
}

/** Sets and maps that rules name. */
function namedCollectionsIn(table: Table): Set<string> {
  const names = new Set<string>();
  for (const { rules } of table.chains.values())
    for (const match of JSON.stringify(rules).matchAll(/"@([^"]+)"/g)) names.add(match[1] as string);
  return names;
}

function describe({ family, name }: TableName, table: Table): NftObject[] {
  const collections = [...table.collections.values()].map(({ kind, fields, elements }) => ({
    [kind]: {
      ...fields,
      ...(elements.size === 0 ? {} : { elem: [...elements].map(([key, value]) => elementOf(key, value)) }),
    },
  }));
  const chains = [...table.chains.values()].map(({ fields }) => ({ chain: fields }));
  const rules = [...table.chains.values()].flatMap((chain) => chain.rules.map((rule) => ({ rule })));
  return [{ table: { family, name } }, ...collections, ...chains, ...rules];
}

function elementOf(key: string, value: string): unknown {
  return value === "" ? JSON.parse(key) : [JSON.parse(key), JSON.parse(value)];
}

function copy(tables: Tables): Tables {
  return new Map(
    [...tables].map(([name, { chains, collections }]) => [
      name,
      {
        chains: new Map([...chains].map(([key, { fields, rules }]) => [key, { fields, rules: [...rules] }])),
        collections: new Map(
          [...collections].map(([key, { kind, fields, elements }]) => [
            key,
            { kind, fields, elements: new Map(elements) },
          ]),
        ),
      },
    ]),
  );
}

function refused(why: string, object: NftObject): PacketFilterRefused {
  return new PacketFilterRefused(`Could not process rule: ${why} (${JSON.stringify(object).slice(0, 200)})`);
}
