/**
 * The key of Secrets at rest, led through its rotation: one phase at a time, each on every apiserver before the next. Pure.
 *
 *   add    the new key behind the others: all can read what it will write
 *   use    the new key first: it writes
 *   drop   all others go, once nothing is left that they wrote
 *
 * Keys are told apart by the number in their names: the one with the highest is the newest. So a rotation that was cut off is taken up
 * where it was, and no phase does anything twice.
 */
import { parseDocument, type Document, type YAMLMap, type YAMLSeq } from "yaml";

export type KeyPhase = "add" | "use" | "drop";

export interface LedKeys {
  /** The configuration; the very text that was given where nothing is to be done. */
  readonly text: string;
  /** Names of the keys; the first writes, all read. */
  readonly keys: readonly string[];
}

/**
 * @param text an EncryptionConfiguration whose first provider of Secrets is aesgcm
 * @param makeSecret gives a key of 32 bytes, as base64
 * @throws Error for another configuration, and where `drop` is asked for while the newest key does not write yet
 */
export function leadKeys(text: string, phase: KeyPhase, makeSecret: () => string): LedKeys {
  const document = parseDocument(text);
  const list = keyListOf(document);
  const newest = list.items.reduce((best, item) => (numberOf(item) > numberOf(best) ? item : best));
  const isUnderWay = list.items.length > 1 && numberOf(newest) > 0;
  const led = (): LedKeys => ({ text: document.toString({ lineWidth: 0 }), keys: list.items.map(nameOf) });
  const unchanged: LedKeys = { text, keys: list.items.map(nameOf) };
  switch (phase) {
    case "add":
      if (isUnderWay) return unchanged;
      list.add(document.createNode({ name: `key${numberOf(newest) + 1}`, secret: makeSecret() }));
      return led();
    case "use":
      if (list.items[0] === newest) return unchanged;
      list.items = [newest, ...list.items.filter((item) => item !== newest)];
      return led();
    case "drop":
      if (list.items.length === 1) return unchanged;
      if (list.items[0] !== newest) throw new Error(`${nameOf(newest)} does not write yet: nothing is dropped`);
      list.items = [newest];
      return led();
  }
}

function keyListOf(document: Document): YAMLSeq<YAMLMap> {
  const resources = (document.toJS() as { resources?: readonly { resources?: readonly string[] }[] } | null)?.resources;
  const at = resources?.findIndex((rule) => rule.resources?.includes("secrets")) ?? -1;
  const keys = at < 0 ? undefined : document.getIn(["resources", at, "providers", 0, "aesgcm", "keys"]);
  const list = keys as YAMLSeq<YAMLMap> | undefined;
  if (!list?.items?.length) throw new Error("this is no EncryptionConfiguration that writes Secrets by aesgcm");
  return list;
}

function nameOf(key: YAMLMap): string {
  return String(key.get("name"));
}

function numberOf(key: YAMLMap): number {
  return Number(/^key(\d+)$/.exec(nameOf(key))?.[1] ?? 0);
}
