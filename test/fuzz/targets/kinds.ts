/** The kinds' rules on well-typed objects: whatever chance fills them with, rules answer with errors and never throw. */
import { canonicalObject, DecodeError, decodeJson, encodeJson } from "@pilothouse/api";
import { invalid } from "@pilothouse/errors";
import { validateObjectMeta, validateObjectMetaUpdate, type ApiObject, type KindDefinition } from "@pilothouse/kinds";
import { fullKinds, randomObject, schemaOfKind } from "../corpus.ts";
import { chance, mutateTree, pick } from "../mutate.ts";
import { bytesOf, resultOrRefusal, utf8PartOf, type Target } from "../target.ts";

export const kindRules: Target = {
  name: "kinds",
  casesInTests: 80_000,
  parts: ["kind", "object", "update"],
  fixed: [0],
  input(random) {
    const kind = pick(random, fullKinds);
    const object = randomObject(random, kind);
    const update = chance(random, 0.5) ? mutateTree(random, object) : randomObject(random, kind);
    return [kind.kind, utf8PartOf(JSON.stringify(object)), utf8PartOf(JSON.stringify(update))];
  },
  check([kindName, objectText, updateText]) {
    const kind = fullKinds.find((candidate) => candidate.kind === kindName);
    if (!kind) throw new Error(`no kind ${kindName}`);
    const old = decoded(kind, objectText);
    const next = decoded(kind, updateText);
    if (old) judgeCreate(kind, old);
    if (old && next) judgeUpdate(kind, next, old);
  },
};

function decoded(kind: KindDefinition, text: string | undefined): ApiObject | undefined {
  const object = resultOrRefusal([DecodeError], () => decodeJson(bytesOf(text), schemaOfKind(kind)).object);
  return object && { ...object, metadata: object["metadata"] ?? {} };
}

function judgeCreate(kind: KindDefinition, object: ApiObject): void {
  kind.defaults?.(object);
  kind.prepareForCreate?.(object);
  invalid(kind, "web", [
    ...validateObjectMeta(kind, object),
    ...(kind.validate?.(object) ?? []),
    ...(kind.validateCreate?.(object) ?? []),
  ]);
  kind.warnings?.(object, undefined);
  show(kind, object);
}

function judgeUpdate(kind: KindDefinition, object: ApiObject, old: ApiObject): void {
  kind.defaults?.(object);
  kind.prepareForUpdate?.(object, old);
  const rules = [...(kind.validate?.(object) ?? []), ...(kind.validateUpdate?.(object, old) ?? [])];
  invalid(kind, "web", [...validateObjectMetaUpdate(object, old), ...rules]);
  const now = "2026-01-01T00:00:00Z";
  kind.prepareForStatusUpdate?.(object, old, now);
  invalid(kind, "web", kind.validateStatusUpdate?.(object, old) ?? []);
  kind.prepareForApprovalUpdate?.(object, old, now);
  invalid(kind, "web", kind.validateApprovalUpdate?.(object, old) ?? []);
  for (const { prepare, validate } of Object.values(kind.subresourceUpdates ?? {})) {
    prepare(object, old);
    invalid(kind, "web", validate(object, old));
  }
  kind.warnings?.(object, old);
  show(kind, object);
}

function show(kind: KindDefinition, object: ApiObject): void {
  const schema = schemaOfKind(kind);
  encodeJson(canonicalObject({ ...object }, schema), schema);
  for (const { cell } of kind.columns ?? []) cell(object, 0);
  kind.selectableFields?.(object);
  kind.gracePeriodSeconds?.(object, undefined);
}
