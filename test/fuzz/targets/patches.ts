/** The four patches against valid objects: a result that is JSON, or a StatusError; what is patched stays as it was. */
import { DecodeError, decodeJson } from "@pilothouse/api";
import { atOnce } from "@pilothouse/api/steps";
import { StatusError } from "@pilothouse/errors";
import type { ApiObject } from "@pilothouse/kinds";
import { recordUpdate } from "../../../services/apiserver/src/core/ownership.ts";
import { applyPatch, type PatchType } from "../../../services/apiserver/src/core/patch-request.ts";
import type { Random } from "@pilothouse/clock";
import { fixtureOf, fullKinds, randomObject, schemaOfKind } from "../corpus.ts";
import { chance, HOSTILE_TEXTS, mutateBytes, mutateJsonText, mutateTree, pick, randomJson, times } from "../mutate.ts";
import { bytesOf, expectSame, partOf, resultOrRefusal, utf8PartOf, type Target } from "../target.ts";

const TIME = "2026-01-01T00:00:00Z";

export const patches: Target = {
  name: "patches",
  casesInTests: 18_000,
  parts: ["kind", "patch type", "object", "patch"],
  fixed: [0, 1],
  input(random) {
    const kind = pick(random, fullKinds);
    const object = chance(random, 0.5)
      ? randomObject(random, kind)
      : (JSON.parse((fixtureOf(kind)?.json ?? "{}").toString()) as object);
    const type = pick<PatchType>(random, ["json", "merge", "strategic", "apply"]);
    const text = utf8PartOf(patchText(random, type, object));
    const patch = chance(random, 0.1) ? partOf(mutateBytes(random, bytesOf(text))) : text;
    return [kind.kind, type, utf8PartOf(JSON.stringify(object)), patch];
  },
  check([kindName, type, objectText, patchText]) {
    const kind = fullKinds.find((candidate) => candidate.kind === kindName);
    if (!kind) throw new Error(`no kind ${kindName}`);
    const schema = schemaOfKind(kind);
    const old = resultOrRefusal(
      [DecodeError],
      () => decodeJson(bytesOf(objectText), schema).object as unknown as ApiObject,
    );
    if (!old) return;
    const metadata = (old.metadata ??= {}) as Partial<ApiObject["metadata"]>;
    delete metadata.managedFields;
    const before = JSON.stringify(old);
    const options = { dryRun: false, fieldManager: "fuzz", fieldValidation: "Ignore", force: true } as const;
    const write = { type: type as PatchType, body: bytesOf(patchText), kind, options, subresource: "" };
    // A merged object may be built of the old one's parts; all others leave it as it was.
    const copied = (): ApiObject => (type === "merge" ? (JSON.parse(before) as ApiObject) : old);
    const patch = (): ApiObject => atOnce(applyPatch(write, copied, TIME, () => undefined));
    const patched = resultOrRefusal([StatusError], patch);
    expectSame("the object that is patched", JSON.stringify(old), before);
    if (!patched) return;
    expectSame("the same patch again", JSON.stringify(patch()), JSON.stringify(patched));
    atOnce(recordUpdate(patched, old, { kind, manager: "fuzz", subresource: "", time: TIME }));
  },
};

function patchText(random: Random, type: PatchType, object: object): string {
  if (type !== "json")
    return mutateJsonText(random, chance(random, 0.5) ? mutateTree(random, object) : strategicPatch(random));
  return JSON.stringify(times(random, 6, () => operation(random, object)));
}

function strategicPatch(random: Random): object {
  return {
    metadata: {
      labels: { [pick(random, HOSTILE_TEXTS)]: null },
      $patch: pick(random, ["replace", "delete", "merge", 7]),
    },
    spec: {
      containers: [{ name: "a", $patch: "delete" }, { $patch: "replace" }, { name: randomJson(random, 1), env: null }],
      "$setElementOrder/containers": [{ name: "b" }, randomJson(random, 1)],
      "$deleteFromPrimitiveList/finalizers": randomJson(random, 1),
      $retainKeys: randomJson(random, 1),
      template: { spec: { volumes: [{ name: "v", $retainKeys: ["name"] }] } },
    },
  };
}

function operation(random: Random, object: object): unknown {
  const op = pick(random, ["add", "remove", "replace", "move", "copy", "test", "spoil"]);
  const operation = { op, path: pointer(random, object), from: pointer(random, object), value: randomJson(random, 2) };
  return chance(random, 0.05) ? mutateTree(random, operation) : operation;
}

/** A way down the object, and now and then beside it. */
function pointer(random: Random, object: object): string {
  let text = "";
  let node: unknown = object;
  while (typeof node === "object" && node !== null && chance(random, 0.8)) {
    const key = chance(random, 0.9)
      ? pick(random, Object.keys(node))
      : pick(random, [...HOSTILE_TEXTS, "-", "-1", "99"]);
    if (key === undefined) break;
    text += `/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    node = (node as Record<string, unknown>)[key];
  }
  return text;
}
