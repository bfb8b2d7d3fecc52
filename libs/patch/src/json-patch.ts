import { isJsonObject, MAX_DEPTH } from "@pilothouse/api";
import { badRequest, StatusError, tooLarge } from "@pilothouse/errors";
import { isDeeperThan, jsonEqual, own, setOwn } from "./json.ts";

const MAX_OPERATIONS = 10_000;
/** What all copies of one patch may take together, in characters and members: as much as a request's body. */
const MAX_COPIED_CHARACTERS = 3 * 1024 * 1024;

/**
 * JSON Patch (RFC 6902), with upstream's liberties: negative indices count from the end, and a missing member tests
 * equal to null. The document is not changed; what the patch leaves alone is shared.
 *
 * @throws StatusError 400 if this is no patch, 413 for too many operations, 422 if an operation does not apply
 */
export function applyJsonPatch(document: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch) || !patch.every(isJsonObject))
    throw badRequest(
      `error decoding patch: json: cannot unmarshal ${jsonTypeOf(patch)} into Go value of type []handlers.jsonPatchOp`,
    );
  if (patch.length > MAX_OPERATIONS)
    throw tooLarge(
      `Request entity too large: The allowed maximum operations in a JSON patch is ${MAX_OPERATIONS}, got ${patch.length}`,
    );
  const draft = new Draft(document);
  for (const operation of patch) draft.perform(operation);
  return draft.finish();
}

type Container = unknown[] | Record<string, unknown>;

/** A document of which every container is copied once, when it first changes. */
class Draft {
  #root: unknown;
  /** Containers made here and reachable by one way only: these may be changed in place. */
  readonly #owned = new Set<unknown>();
  #copyBudget = MAX_COPIED_CHARACTERS;

  constructor(root: unknown) {
    this.#root = root;
  }

  finish(): unknown {
    if (isDeeperThan(this.#root, MAX_DEPTH)) throw doesNotApply();
    return this.#root;
  }

  perform(operation: Readonly<Record<string, unknown>>): void {
    const path = parsePointer(own(operation, "path"));
    const value = own(operation, "value") ?? null;
    switch (own(operation, "op")) {
      case "add":
        return this.#add(path, value);
      case "remove":
        return this.#remove(path);
      case "replace":
        return this.#replace(path, value);
      case "move": {
        const from = parsePointer(own(operation, "from"));
        const moved = this.#existing(from);
        this.#remove(from);
        return this.#add(path, moved);
      }
      case "copy":
        return this.#add(path, this.#copied(parsePointer(own(operation, "from"))));
      case "test":
        if (!jsonEqual(this.#get(path) ?? null, value)) throw doesNotApply();
        return;
      default:
        throw doesNotApply();
    }
  }

  #add(path: readonly string[], value: unknown): void {
    const last = path.at(-1);
    if (last === undefined) {
      this.#root = value;
      return;
    }
    const parent = this.#ownedAt(path.slice(0, -1));
    if (!Array.isArray(parent)) setOwn(parent, last, value);
    else if (last === "-") parent.push(value);
    else parent.splice(indexOf(last, parent.length + 1), 0, value);
  }

  #remove(path: readonly string[]): void {
    this.#existing(path);
    const last = path.at(-1);
    if (last === undefined) throw doesNotApply();
    const parent = this.#ownedAt(path.slice(0, -1));
    if (Array.isArray(parent)) parent.splice(indexOf(last, parent.length), 1);
    else delete parent[last];
  }

  #replace(path: readonly string[], value: unknown): void {
    const last = path.at(-1);
    if (last === undefined) {
      this.#root = value;
      return;
    }
    this.#existing(path);
    this.#set(this.#ownedAt(path.slice(0, -1)), last, value);
  }

  /** The value will be reachable by two ways: nothing made so far may be changed in place any more. */
  #copied(from: readonly string[]): unknown {
    const value = this.#existing(from);
    this.#copyBudget -= characters(value, this.#copyBudget);
    if (this.#copyBudget < 0) throw doesNotApply();
    this.#owned.clear();
    return value;
  }

  #existing(path: readonly string[]): unknown {
    const value = this.#get(path);
    if (value === undefined) throw doesNotApply();
    return value;
  }

  /** undefined if the last step leads nowhere; the steps before it must lead somewhere. */
  #get(path: readonly string[]): unknown {
    let node = this.#root;
    for (const token of path) {
      if (Array.isArray(node)) node = node[indexOf(token, node.length)];
      else if (isJsonObject(node)) node = own(node, token);
      else throw doesNotApply();
    }
    return node;
  }

  #ownedAt(path: readonly string[]): Container {
    let node = this.#ownedCopy(this.#root);
    this.#root = node;
    for (const token of path) {
      const child = this.#ownedCopy(Array.isArray(node) ? node[indexOf(token, node.length)] : own(node, token));
      this.#set(node, token, child);
      node = child;
    }
    return node;
  }

  #ownedCopy(value: unknown): Container {
    if (this.#owned.has(value)) return value as Container;
    if (!Array.isArray(value) && !isJsonObject(value)) throw doesNotApply();
    const copy: Container = Array.isArray(value) ? [...(value as unknown[])] : { ...value };
    // After each `copy` operation all that changes is copied anew: what that adds up to is bounded like what it copies.
    this.#copyBudget -= Object.keys(copy).length;
    if (this.#copyBudget < 0) throw doesNotApply();
    this.#owned.add(copy);
    return copy;
  }

  #set(parent: Container, token: string, value: unknown): void {
    if (Array.isArray(parent)) parent[indexOf(token, parent.length)] = value;
    else setOwn(parent, token, value);
  }
}

function parsePointer(pointer: unknown): readonly string[] {
  if (pointer === "") return [];
  if (typeof pointer !== "string" || !pointer.startsWith("/")) throw doesNotApply();
  const tokens = pointer.slice(1).split("/");
  if (tokens.length > MAX_DEPTH) throw doesNotApply();
  return tokens.map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function indexOf(token: string, length: number): number {
  if (!/^-?[0-9]{1,9}$/.test(token)) throw doesNotApply();
  const index = Number(token) < 0 ? Number(token) + length : Number(token);
  if (index < 0 || index >= length) throw doesNotApply();
  return index;
}

/** About the length of its JSON; stops counting over `limit`. */
function characters(value: unknown, limit: number): number {
  if (typeof value === "string") return value.length + 2;
  if (typeof value !== "object" || value === null) return 5;
  let sum = 2;
  for (const [key, item] of Object.entries(value)) {
    sum += (Array.isArray(value) ? 1 : key.length + 4) + characters(item, limit - sum);
    if (sum > limit) return sum;
  }
  return sum;
}

/** Upstream hides which operation failed, and why. */
function doesNotApply(): StatusError {
  return new StatusError(422, "Invalid", "the server rejected our request due to an error in our request", {});
}

function jsonTypeOf(value: unknown): string {
  if (Array.isArray(value)) return "array";
  return typeof value === "boolean" ? "bool" : typeof value;
}
