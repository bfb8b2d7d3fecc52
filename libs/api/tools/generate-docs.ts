/**
 * Writes src/docs.json: what each structure, field and query parameter of the GA API versions is for, in upstream's words, taken from
 * the doc comments of @kubernetes/client-node's model, and which fields are required.
 * Run with `node libs/api/tools/generate-docs.ts`; a test fails when the committed file differs from what this writes.
 */
import { readFileSync, writeFileSync, existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import facts from "../src/facts.json" with { type: "json" };

interface StructureDocs {
  /** What the structure is. */
  about?: string;
  /** JSON name → what the field is. */
  fields: Record<string, string>;
  required: string[];
}
interface Docs {
  readonly structures: Record<string, StructureDocs>;
  /** `<operation>.<parameter>` or `<parameter>` → what it is. */
  readonly parameters: Record<string, string>;
}

const generated = new URL("../../../node_modules/@kubernetes/client-node/dist/gen/", import.meta.url);

/** The documents' parameters are described once per request type; these are where each is taken from. */
const PARAMETER_SOURCES = [
  "CoreV1ApiListNamespacedPodRequest",
  "CoreV1ApiDeleteNamespacedPodRequest",
  "CoreV1ApiReplaceNamespacedPodRequest",
  "CoreV1ApiReadNamespacedPodLogRequest",
  "CoreV1ApiConnectPostNamespacedPodExecRequest",
  "CoreV1ApiConnectPostNamespacedPodAttachRequest",
  "CoreV1ApiConnectPostNamespacedPodPortforwardRequest",
  "CoreV1ApiPatchNamespacedPodRequest",
];

export function generate(): string {
  const docs: Docs = { structures: {}, parameters: parameterDocs() };
  for (const [name, structure] of Object.entries(facts.types).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const text = modelOf(name);
    if (text) docs.structures[name] = structureDocs(text, new Set(fieldNames(structure.fields)));
  }
  return `{"structures":${linePerMember(docs.structures)},\n"parameters":${linePerMember(docs.parameters)}}\n`;
}

function linePerMember(members: Readonly<Record<string, unknown>>): string {
  const lines = Object.entries(members).map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
  return `{\n${lines.join(",\n")}\n}`;
}

interface FieldFact {
  readonly json?: string;
  readonly inline?: boolean;
  readonly type: string;
}

function fieldNames(fields: readonly FieldFact[]): string[] {
  const types = facts.types as unknown as Record<string, { fields: readonly FieldFact[] }>;
  return fields.flatMap((field) =>
    field.inline ? fieldNames(types[field.type]?.fields ?? []) : field.json ? [field.json] : [],
  );
}

/** `io.k8s.api.core.v1.Event` is CoreV1Event there, `io.k8s.api.core.v1.Pod` is V1Pod. Beta and alpha are left out. */
function modelOf(name: string): string | undefined {
  const [group = "", version = "", type = ""] = name.split(".").slice(-3);
  if (!/^v\d+$/.test(version)) return undefined;
  const title = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1);
  for (const model of [`${title(group)}${title(version)}${type}`, `${title(version)}${type}`]) {
    const file = new URL(`models/${model}.d.ts`, generated);
    if (existsSync(file)) return readFileSync(file, "utf8");
  }
  return undefined;
}

function structureDocs(text: string, known: ReadonlySet<string>): StructureDocs {
  const about = /\/\*\*\n\* ([^\n]*)\n\*\/\nexport declare class/.exec(text)?.[1];
  const fields: Record<string, string> = {};
  const required: string[] = [];
  const body = text.slice(text.indexOf("export declare class"));
  for (const match of body.matchAll(/(?:\/\*\*\n\s+\* ([^\n]*)\n\s+\*\/\n)?\s+'([^']+)'(\??): ([^;]+);/g)) {
    const [, comment, name = "", optional, type] = match;
    const json = known.has(name) ? name : name.replace(/^_/, "").replaceAll("_", "-");
    if (!known.has(json)) continue;
    // a field whose type is described elsewhere carries that description here
    if (comment && type !== "IntOrString") fields[json] = plain(comment);
    if (optional === "") required.push(json);
  }
  return { ...(about ? { about: plain(about) } : {}), fields, required: required.sort() };
}

function parameterDocs(): Record<string, string> {
  const text = readFileSync(new URL("types/ObjectParamAPI.d.ts", generated), "utf8");
  const docs: Record<string, string> = {};
  for (const source of PARAMETER_SOURCES) {
    const start = text.indexOf(`export interface ${source} {`);
    const body = text.slice(start, text.indexOf("\n}", start));
    const operation = /(?:Log|Exec|Attach|Portforward|Patch)/.exec(source)?.[0]?.toLowerCase();
    for (const match of body.matchAll(/\/\*\*\n\s+\* ([^\n]*)\n(?:\s+\*[^\n]*\n)*?\s+\*\/\n\s+(\w+)\??:/g)) {
      const [, comment = "", name = ""] = match;
      const key = name.replace(/^_/, "");
      if (name === "name" || name === "body" || docs[key] === plain(comment)) continue;
      docs[operation ? `${operation}.${key}` : key] = plain(comment);
    }
  }
  return Object.fromEntries(Object.entries(docs).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Undoes the generator's escapes. */
function plain(comment: string): string {
  return comment
    .replaceAll(/\\?&(quot|lt|gt|amp|#39|#x60|#x3D);/g, (_, entity: string) => ENTITIES[entity] ?? "")
    .replaceAll(/\\(["'`*\\])/g, "$1")
    .replaceAll("/_*", "/*");
}

const ENTITIES: Readonly<Record<string, string>> = {
  quot: '"',
  lt: "<",
  gt: ">",
  amp: "&",
  "#39": "'",
  "#x60": "`",
  "#x3D": "=",
};

if (import.meta.main) writeFileSync(fileURLToPath(new URL("../src/docs.json", import.meta.url)), generate());
