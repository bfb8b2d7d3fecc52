/** What every adapter of the PacketFilter port must do: run it with an adapter that has no table of this name. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PacketFilterRefused, type NftCommand, type NftObject, type PacketFilter } from "./index.ts";

export interface ConformanceSubject {
  readonly filter: PacketFilter;
  stop(): Promise<void>;
}

const TABLE = { family: "ip", name: "pilothouse-conformance" } as const;
const of = (fields: NftObject): NftObject => ({ family: TABLE.family, table: TABLE.name, ...fields });
const key = (address: string, port: number): unknown => ({ concat: [address, "tcp", port] });

const declare: readonly NftCommand[] = [
  { add: { table: TABLE } },
  {
    add: { map: of({ name: "services", type: ["ipv4_addr", "inet_proto", "inet_service"], map: "verdict" }) },
  },
  { add: { set: of({ name: "closed", type: "ipv4_addr" }) } },
  { add: { chain: of({ name: "one" }) } },
  { add: { chain: of({ name: "two" }) } },
  { add: { chain: of({ name: "output", type: "nat", hook: "output", prio: -100, policy: "accept" }) } },
  {
    add: {
      rule: of({
        chain: "output",
        expr: [
          {
            vmap: {
              key: {
                concat: [
                  { payload: { protocol: "ip", field: "daddr" } },
                  { meta: { key: "l4proto" } },
                  { payload: { protocol: "th", field: "dport" } },
                ],
              },
              data: "@services",
            },
          },
        ],
      }),
    },
  },
  {
    add: {
      rule: of({
        chain: "one",
        expr: [
          { match: { op: "==", left: { payload: { protocol: "ip", field: "saddr" } }, right: "@closed" } },
          { drop: null },
        ],
      }),
    },
  },
];

export function packetFilterConformance(name: string, start: () => Promise<ConformanceSubject>): void {
  describe(`PacketFilter port: ${name}`, () => {
    let subject: ConformanceSubject;
    const apply = (commands: readonly NftCommand[]): Promise<void> => subject.filter.apply(commands);
    const addTo = (map: string, elem: readonly unknown[]): NftCommand => ({
      add: { element: of({ name: map, elem }) },
    });
    const deleteFrom = (map: string, elem: readonly unknown[]): NftCommand => ({
      delete: { element: of({ name: map, elem }) },
    });
    const elements = async (name: string): Promise<string[]> => {
      const objects = await subject.filter.list(TABLE);
      const found = objects
        .map((object) => (object["map"] ?? object["set"]) as NftObject)
        .find((it) => it?.["name"] === name);
      return ((found?.["elem"] ?? []) as unknown[]).map((element) => JSON.stringify(element)).sort();
    };
    const names = async (kind: string): Promise<string[]> =>
      (await subject.filter.list(TABLE))
        .flatMap((object) => (object[kind] ? [object[kind] as NftObject] : []))
        .map((fields) => (fields["name"] ?? fields["chain"]) as string)
        .sort();
    const refusal = async (commands: readonly NftCommand[]): Promise<unknown> =>
      apply(commands).then(
        () => undefined,
        (error: unknown) => error,
      );

    beforeAll(async () => {
      subject = await start();
      await apply(declare);
    });
    afterAll(() => subject.stop());

    test("lists what it was given", async () => {
      expect(await names("chain")).toEqual(["one", "output", "two"]);
      expect(await names("rule")).toEqual(["one", "output"]);
      expect(await names("map")).toEqual(["services"]);
      expect(await elements("services")).toEqual([]);
    });

    test("elements come, change their verdict in one transaction, and go", async () => {
      await apply([addTo("services", [[key("198.19.0.1", 80), { goto: { target: "one" } }]])]);
      await apply([
        deleteFrom("services", [key("198.19.0.1", 80)]),
        addTo("services", [[key("198.19.0.1", 80), { goto: { target: "two" } }]]),
      ]);
      expect(await elements("services")).toEqual([
        JSON.stringify([key("198.19.0.1", 80), { goto: { target: "two" } }]),
      ]);
      await apply([deleteFrom("services", [key("198.19.0.1", 80)])]);
      expect(await elements("services")).toEqual([]);
    });

    test("adding what is there changes nothing; another value for the same key is refused", async () => {
      const one = addTo("services", [[key("198.19.0.2", 80), { goto: { target: "one" } }]]);
      await apply([one]);
      await apply([one]);
      const two = addTo("services", [[key("198.19.0.2", 80), { goto: { target: "two" } }]]);
      expect(await refusal([two])).toBeInstanceOf(PacketFilterRefused);
      await apply([deleteFrom("services", [key("198.19.0.2", 80)])]);
    });

    test("a refused transaction changes nothing at all, and says why", async () => {
      const good = addTo("closed", ["198.18.0.9"]);
      const error = await refusal([good, deleteFrom("services", [key("198.19.9.9", 1)])]);
      expect(error).toBeInstanceOf(PacketFilterRefused);
      expect(String(error)).toContain("No such file or directory");
      expect(await elements("closed")).toEqual([]);
    });

    test("a chain goes in the same transaction as the last that led to it, and not before", async () => {
      const verdict = addTo("services", [[key("198.19.0.3", 80), { goto: { target: "short" } }]]);
      await apply([{ add: { chain: of({ name: "short" }) } }, verdict]);
      const gone: NftCommand = { delete: { chain: of({ name: "short" }) } };
      expect(await refusal([gone])).toBeInstanceOf(PacketFilterRefused);
      await apply([deleteFrom("services", [key("198.19.0.3", 80)]), gone]);
      expect(await names("chain")).toEqual(["one", "output", "two"]);
    });

    test("a rule that names what is not there is refused", async () => {
      const toNowhere = { rule: of({ chain: "two", expr: [{ jump: { target: "nowhere" } }] }) };
      expect(await refusal([{ add: toNowhere }])).toBeInstanceOf(PacketFilterRefused);
    });

    test("a chain's rules are replaced by flushing and adding", async () => {
      const rule: NftCommand = { add: { rule: of({ chain: "two", expr: [{ accept: null }] }) } };
      await apply([rule, rule]);
      await apply([{ flush: { chain: of({ name: "two" }) } }, rule]);
      expect((await names("rule")).filter((chain) => chain === "two")).toHaveLength(1);
    });

    test("a whole table is replaced by deleting and declaring it again, whether it was there or not", async () => {
      await apply([addTo("closed", ["198.18.0.7"])]);
      await apply([{ add: { table: TABLE } }, { delete: { table: TABLE } }, ...declare]);
      expect(await elements("closed")).toEqual([]);
      expect(await names("rule")).toEqual(["one", "output"]);
    });

    test("listing a table that is not there is refused", async () => {
      await expect(subject.filter.list({ family: "ip", name: "nobodys" })).rejects.toBeInstanceOf(PacketFilterRefused);
    });
  });
}
