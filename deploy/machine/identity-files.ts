/**
 * The files of one identity. `tls.crt` and `tls.key` lead through the link `.current` into a folder that holds one pair and is
 * never written again: replacing the link replaces both at once. The pair before stays until the next one, for a reader that is
 * between the two files; it reads again when they do not match.
 *
 *   <identity>/tls.crt -> .current/tls.crt      <identity>/.current -> .pair-3f0c…   (of its fingerprint)
 *   <identity>/tls.key -> .current/tls.key      <identity>/tls.key.new               (a key that waits for its certificate)
 */
import { X509Certificate } from "node:crypto";
import { existsSync, lstatSync, readdirSync, readlinkSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { createPrivateKey } from "@pilothouse/pki";
import { certificateFacts, isIssuedBy, keyId } from "@pilothouse/pki/facts";
import type { HeldCertificate } from "./certificate-plan.ts";
import { openFolder, readIfThere, removeDurably, renameDurably, syncDirectory, writeDurably } from "./durable-files.ts";

/** What the machine does for the files besides keeping them. */
export interface Hands {
  /** Gives files to `user:group`; says whether any had another owner. */
  chown(owner: string, paths: readonly string[]): boolean;
  /** Runs a program to its end; throws if it fails. */
  run(argv: readonly string[]): void;
  /** Told each step before it is taken; a test interrupts here. */
  beforeStep(what: string): void;
}

const PAIR = ".pair-";
/** Present from before a pair is replaced until `onRenew` has succeeded. */
const UNTOLD = ".untold";

/** What the identity has; undefined if either file is missing or cannot be read as what it should be. */
export function readHeld(folder: string, bundlePem: string): HeldCertificate | undefined {
  const [certificatePem, keyPem] = ["tls.crt", "tls.key"].map((file) => readIfThere(join(folder, file)));
  if (certificatePem === undefined || keyPem === undefined) return undefined;
  const authorityEndMs = certificateFacts(bundlePem).notAfterMs;
  try {
    const facts = certificateFacts(certificatePem);
    const isIssuedByFirst = isIssuedBy(certificatePem, bundlePem);
    return { facts, keyMatches: facts.keyId === keyId(keyPem), isIssuedByFirst, authorityEndMs };
  } catch {
    return undefined;
  }
}

/** The key that waits for a certificate: the one of an earlier request, so that an answer to that one still fits; or a new one. */
export async function ensureWaitingKey(folder: string, hands: Hands): Promise<string> {
  const waiting = waitingKey(folder);
  if (waiting !== undefined) return waiting;
  hands.beforeStep("make key");
  openFolder(folder);
  const made = await createPrivateKey();
  writeDurably(join(folder, "tls.key.new"), made, 0o600);
  return made;
}

/** The key, of those the identity has, that a certificate was made for; undefined if it has no such key. */
export function keyFor(folder: string, certificatePem: string): string | undefined {
  const wanted = certificateFacts(certificatePem).keyId;
  const keys = ["tls.key.new", "tls.key"].map((file) => readIfThere(join(folder, file)));
  return keys.find((key) => key !== undefined && keyId(key) === wanted);
}

/** Replaces the identity's pair as one; says whether it was another. */
export function replacePair(
  folder: string,
  pair: { certificatePem: string; keyPem: string },
  { owner, isTold }: { owner: string | undefined; isTold: boolean },
  hands: Hands,
): boolean {
  if (readIfThere(join(folder, "tls.crt")) === pair.certificatePem && isLinked(folder)) return false;
  const name = nameOfPair(pair.certificatePem);
  const fresh = join(folder, name);
  hands.beforeStep("write pair");
  openFolder(folder);
  openFolder(fresh);
  writeDurably(join(fresh, "tls.key"), pair.keyPem, 0o600);
  writeDurably(join(fresh, "tls.crt"), pair.certificatePem, 0o644);
  if (owner !== undefined) hands.chown(owner, [join(fresh, "tls.key"), join(fresh, "tls.crt")]);
  syncDirectory(folder);
  if (isTold) {
    hands.beforeStep("note that it is untold");
    writeDurably(join(folder, UNTOLD), "", 0o600);
  }
  const before = currentName(folder);
  hands.beforeStep("replace pair");
  link(name, join(folder, ".current"));
  for (const file of ["tls.key", "tls.crt"]) {
    if (linkTarget(join(folder, file)) === `.current/${file}`) continue;
    hands.beforeStep(`link ${file}`);
    link(`.current/${file}`, join(folder, file));
  }
  hands.beforeStep("tidy");
  tidy(folder, [name, before]);
  return true;
}

/** Gives the pair to its owner again, should it have another one, and lets the owner reach it. */
export function ensureOwner(folder: string, owner: string | undefined, hands: Hands): boolean {
  if (existsSync(join(folder, ".current"))) openFolder(join(folder, ".current"));
  const paths = ["tls.key", "tls.crt"].map((file) => join(folder, file)).filter((path) => existsSync(path));
  return owner !== undefined && paths.length > 0 && hands.chown(owner, paths);
}

/** Runs `onRenew` if the pair was replaced since it last succeeded; says whether it did. */
export function tellOnce(folder: string, onRenew: readonly string[] | undefined, hands: Hands): boolean {
  if (!existsSync(join(folder, UNTOLD))) return false;
  if (onRenew !== undefined && onRenew.length > 0) {
    hands.beforeStep("onRenew");
    hands.run(onRenew);
  }
  removeDurably(join(folder, UNTOLD));
  return true;
}

/** A key whose certificate is installed already waits for nothing. */
function waitingKey(folder: string): string | undefined {
  const key = readIfThere(join(folder, "tls.key.new"));
  if (key === undefined) return undefined;
  try {
    const used = readIfThere(join(folder, "tls.key"));
    return used !== undefined && keyId(used) === keyId(key) ? undefined : key;
  } catch {
    return undefined;
  }
}

function tidy(folder: string, kept: readonly (string | undefined)[]): void {
  rmSync(join(folder, "tls.key.new"), { force: true });
  for (const entry of readdirSync(folder))
    if (entry.startsWith(PAIR) && !kept.includes(entry)) rmSync(join(folder, entry), { recursive: true });
  syncDirectory(folder);
}

function nameOfPair(certificatePem: string): string {
  const { fingerprint256 } = new X509Certificate(certificatePem);
  return `${PAIR}${fingerprint256.replaceAll(":", "").slice(0, 16).toLowerCase()}`;
}

function currentName(folder: string): string | undefined {
  return linkTarget(join(folder, ".current"));
}

function isLinked(folder: string): boolean {
  return ["tls.key", "tls.crt"].every((file) => linkTarget(join(folder, file)) === `.current/${file}`);
}

function linkTarget(path: string): string | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ? readlinkSync(path) : undefined;
}

function link(target: string, path: string): void {
  const beside = `${path}.linking`;
  rmSync(beside, { force: true });
  symlinkSync(target, beside);
  renameDurably(beside, path);
}
