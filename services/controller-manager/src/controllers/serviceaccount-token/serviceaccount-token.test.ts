import type { Secret, ServiceAccount } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { memoryCrypto } from "@pilothouse/crypto/memory";
import * as fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { cluster, type Cluster } from "../../cluster.fixture.ts";
import { plan } from "./plan.ts";
import { startServiceAccountTokenController } from "./reconcile.ts";

const TYPE = "kubernetes.io/service-account-token";
const NAME = "kubernetes.io/service-account.name";
const UID = "kubernetes.io/service-account.uid";
const base64 = (text: string): string => Buffer.from(text).toString("base64");
const textOf = (value: string | undefined): string => Buffer.from(value ?? "", "base64").toString();

const opened: Cluster[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

async function started(config: Parameters<typeof cluster>[1] = {}): Promise<Cluster> {
  const world = await cluster("tokens", config);
  opened.push(world);
  startServiceAccountTokenController(world.ports);
  await world.client.create(resources.serviceAccounts, { metadata: { name: "bot", namespace: "default" } });
  return world;
}

const tokenSecret = (annotations: Record<string, string> = { [NAME]: "bot" }): Secret => ({
  metadata: { name: "bot-token", namespace: "default", annotations },
  type: TYPE,
});

const secretNow = (world: Cluster): Promise<Secret | undefined> =>
  world.find(resources.secrets, "default", "bot-token");

describe("a Secret for a token", () => {
  it("gets token, authority and namespace, and is told whose it is", async () => {
    const world = await started();
    await world.client.create(resources.secrets, tokenSecret());
    await world.pass(500);
    const account = await world.client.get(resources.serviceAccounts, "default", "bot");
    const secret = await secretNow(world);
    expect(secret?.metadata.annotations).toEqual({ [NAME]: "bot", [UID]: account.metadata.uid });
    expect(textOf(secret?.data?.["ca.crt"])).toBe("-----CA-----\n");
    expect(textOf(secret?.data?.["namespace"])).toBe("default");
    expect(await memoryCrypto().verifyToken(textOf(secret?.data?.["token"]), 0)).toEqual({
      iss: "kubernetes/serviceaccount",
      sub: "system:serviceaccount:default:bot",
      "kubernetes.io/serviceaccount/namespace": "default",
      "kubernetes.io/serviceaccount/secret.name": "bot-token",
      "kubernetes.io/serviceaccount/service-account.name": "bot",
      "kubernetes.io/serviceaccount/service-account.uid": account.metadata.uid,
    });
    const before = world.writes.length;
    await world.pass(5_000);
    expect(world.writes.length).toBe(before);
    expect(world.failures).toEqual([]);
  });

  it("goes with its account, and one made again does not inherit it", async () => {
    const world = await started();
    await world.client.create(resources.secrets, tokenSecret());
    await world.pass(500);
    await world.client.delete(resources.serviceAccounts, "default", "bot");
    await world.client.create(resources.serviceAccounts, { metadata: { name: "bot", namespace: "default" } });
    await world.pass(500);
    expect(await secretNow(world)).toBeUndefined();
  });

  it("of nobody goes at once; other Secrets are not looked at", async () => {
    const world = await started();
    await world.client.create(resources.secrets, tokenSecret({ [NAME]: "nobody" }));
    await world.client.create(resources.secrets, {
      ...tokenSecret({ [NAME]: "nobody" }),
      type: "Opaque",
      metadata: { name: "mine", namespace: "default", annotations: { [NAME]: "nobody" } },
    });
    await world.pass(500);
    expect(await secretNow(world)).toBeUndefined();
    expect((await world.find(resources.secrets, "default", "mine"))?.data).toBeUndefined();
  });

  it("is not concluded to be nobody's from feeds that do not show its account (C13)", async () => {
    const world = await started();
    await world.pass(500);
    world.frozen.add("serviceaccounts");
    await world.client.create(resources.serviceAccounts, { metadata: { name: "late", namespace: "default" } });
    await world.client.create(resources.secrets, tokenSecret({ [NAME]: "late" }));
    await world.pass(1_000);
    expect(textOf((await secretNow(world))?.data?.["namespace"])).toBe("default");
  });

  it("follows the authority, and keeps its token and what a user wrote", async () => {
    let bundle = "old";
    const world = await started({ rootCa: () => bundle });
    await world.client.create(resources.secrets, { ...tokenSecret(), stringData: { token: "mine", more: "too" } });
    await world.pass(500);
    expect(textOf((await secretNow(world))?.data?.["ca.crt"])).toBe("old");
    bundle = "old and new";
    world.rootCaChanged();
    await world.pass(500);
    const { data } = (await secretNow(world)) ?? {};
    expect([data?.["ca.crt"], data?.["token"], data?.["more"]].map(textOf)).toEqual(["old and new", "mine", "too"]);
  });
});

describe("the plan for a token's Secret", () => {
  const account: ServiceAccount = { metadata: { name: "bot", namespace: "default", uid: "u1" } };
  const whole = { "ca.crt": base64("CA"), namespace: base64("default"), token: base64("t") };
  const secret = (fields: Partial<Secret>): Secret => ({ ...tokenSecret(), ...fields });
  const rows: readonly (readonly [string, Secret, ServiceAccount | undefined, string])[] = [
    ["whole", secret({ data: whole }), account, "nothing"],
    ["empty", secret({}), account, "fill"],
    ["of another authority", secret({ data: { ...whole, "ca.crt": base64("old") } }), account, "fill"],
    ["of nobody", secret({ data: whole }), undefined, "delete"],
    ["of an earlier account", { ...tokenSecret({ [NAME]: "bot", [UID]: "u0" }), data: whole }, account, "delete"],
    ["immutable, and empty", secret({ immutable: true }), account, "nothing"],
    ["immutable, of nobody", secret({ immutable: true }), undefined, "delete"],
    [
      "on its way out",
      secret({ metadata: { ...tokenSecret().metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } }),
      undefined,
      "nothing",
    ],
  ];
  it.each(rows)("%s", (_what, one, owner, does) => {
    expect(plan(one, owner, "CA").do).toBe(does);
  });

  it("comes to rest after one step, and takes nothing away that is there", () => {
    const value = fc.option(fc.constantFrom("", base64("a"), base64("CA")), { nil: undefined });
    const data = fc.record({ "ca.crt": value, namespace: value, token: value, own: value });
    fc.assert(
      fc.property(data, fc.constantFrom("", "CA"), (fields, rootCa) => {
        const given = Object.fromEntries(Object.entries(fields).filter(([, text]) => text !== undefined));
        const step = plan(secret({ data: given as Record<string, string> }), account, rootCa);
        if (step.do !== "fill") return;
        const filled: Record<string, string> = {
          ...step.secret.data,
          ...(step.claims ? { token: base64("new") } : {}),
        };
        expect(plan({ ...step.secret, data: filled }, account, rootCa).do).toBe("nothing");
        expect(filled["own"]).toBe(given["own"]);
        if (given["token"]) expect(filled["token"]).toBe(given["token"]);
      }),
    );
  });
});
