/**
 * What the program `certificates` does with a machine's identities: asks for what is due, signs for others, installs what was
 * signed. Each may be interrupted anywhere and run again.
 */
import { join } from "node:path";
import { createCertificateRequest, signCertificateRequest } from "@pilothouse/pki";
import { certificateFacts, isIssuedBy, keyId } from "@pilothouse/pki/facts";
import { AUTHORITIES, readAuthority, type AuthorityName } from "./authorities.ts";
import {
  bundlePathOf,
  dueReason,
  lifetimeDaysOf,
  renewalMs,
  saysWhatIsPlanned,
  type HeldCertificate,
  type IdentityPlan,
  type MachinePlan,
  type SigningPlan,
} from "./certificate-plan.ts";
import { readIfThere } from "./durable-files.ts";
import {
  ensureOwner,
  ensureWaitingKey,
  keyFor,
  readHeld,
  replacePair,
  tellOnce,
  type Hands,
} from "./identity-files.ts";

export interface CertificateRequest {
  readonly identity: string;
  readonly authority: AuthorityName;
  readonly csrPem: string;
  /** The id of the key that it is for. */
  readonly keyId: string;
}

export interface IssuedCertificate {
  readonly identity: string;
  readonly certificatePem: string;
}

/** One identity's line; times are ISO 8601, or not there if there is no certificate. */
export interface StatusLine {
  readonly identity: string;
  readonly authority: AuthorityName;
  readonly commonName: string;
  /** `ok`, or why it needs a new certificate. */
  readonly state: string;
  readonly isUsable: boolean;
  readonly expires?: string;
  readonly renewal?: string;
}

/** What is not the files' own: time, the machine's hands, and where a line for people goes. */
export interface MachinePorts {
  readonly hands: Hands;
  readonly now: () => number;
  readonly say: (line: string) => void;
}

/** A request for every identity that needs a certificate (`all`: for each), its key made and kept beside. */
export async function requestCertificates(
  plan: MachinePlan,
  { all }: { all: boolean },
  { hands, now, say }: MachinePorts,
): Promise<readonly CertificateRequest[]> {
  const requests: CertificateRequest[] = [];
  for (const identity of plan.identities) {
    const reason = dueReason(identity, heldBy(plan, identity), now()) ?? (all ? "asked for" : undefined);
    if (reason === undefined) continue;
    say(`${identity.name}: ${reason}`);
    const key = await ensureWaitingKey(folderOf(plan, identity), hands);
    const csrPem = await createCertificateRequest(key, identity);
    requests.push({ identity: identity.name, authority: identity.authority, csrPem, keyId: keyId(key) });
  }
  return requests;
}

/**
 * Signs requests by the authorities in `directory`. What a certificate says comes from `plan`; a request gives its key alone.
 * Throws, having signed nothing, if a request is not in the plan or not signed by its key, or an authority has ended.
 */
export async function signCertificates(
  directory: string,
  requests: readonly Pick<CertificateRequest, "identity" | "csrPem">[],
  plan: SigningPlan,
  { now, say }: Pick<MachinePorts, "now" | "say">,
): Promise<readonly IssuedCertificate[]> {
  const signed: IssuedCertificate[] = [];
  for (const { identity, csrPem } of requests) {
    const leaf = plan.identities.find(({ name }) => name === identity);
    if (!leaf) throw new Error(`${identity} is asked for, but is in no plan`);
    const authority = readAuthority(directory, leaf.authority);
    const nowMs = now();
    if (certificateFacts(authority.certificatePem).notAfterMs <= nowMs)
      throw new Error(`${leaf.authority} has expired`);
    try {
      const life = { validDays: lifetimeDaysOf(plan), nowMs };
      const certificatePem = await signCertificateRequest(authority, csrPem, { ...leaf, ...life });
      signed.push({ identity, certificatePem });
    } catch (error) {
      throw new Error(`${identity}: the request cannot be signed: ${messageOf(error)}`, { cause: error });
    }
    say(`${identity}: signed by ${leaf.authority}`);
  }
  return signed;
}

/**
 * Installs certificates, sets every identity's owner and runs what has to be told. Says which identities changed. Throws, having
 * replaced nothing, if a certificate is not for a key of this machine, not by its authority, or not what the plan says.
 */
export function installCertificates(
  plan: MachinePlan,
  certificates: readonly IssuedCertificate[],
  { hands, say }: Pick<MachinePorts, "hands" | "say">,
): readonly string[] {
  const changed = new Set<string>();
  const pairs = certificates.map((issued) => checkIssued(plan, issued));
  for (const { identity, ...pair } of pairs) {
    const { owner, onRenew } = identity;
    const isTold = onRenew !== undefined && onRenew.length > 0;
    if (!replacePair(folderOf(plan, identity), pair, { owner, isTold }, hands)) continue;
    say(`${identity.name}: replaced`);
    changed.add(identity.name);
  }
  const failures: string[] = [];
  for (const identity of plan.identities) {
    const folder = folderOf(plan, identity);
    try {
      if (ensureOwner(folder, identity.owner, hands)) changed.add(identity.name);
      if (tellOnce(folder, identity.onRenew, hands)) say(`${identity.name}: told (${identity.onRenew?.join(" ")})`);
    } catch (error) {
      failures.push(`${identity.name}: ${messageOf(error)}`);
    }
  }
  if (failures.length > 0) throw new Error(failures.join("; "));
  return [...changed];
}

/** How each identity is. */
export function certificateStatus(plan: MachinePlan, nowMs: number): readonly StatusLine[] {
  return plan.identities.map((identity) => {
    const held = heldBy(plan, identity);
    const { name, authority, commonName } = identity;
    const state = dueReason(identity, held, nowMs) ?? "ok";
    if (!held) return { identity: name, authority, commonName, state, isUsable: false };
    const isUsable = held.keyMatches && nowMs < held.facts.notAfterMs;
    const times = { expires: isoTime(held.facts.notAfterMs), renewal: isoTime(renewalMs(held.facts)) };
    return { identity: name, authority, commonName, state, isUsable, ...times };
  });
}

/** Who is asked where the authorities are not at hand. */
export type AskElsewhere = (requests: readonly CertificateRequest[]) => Promise<readonly IssuedCertificate[]>;

/** Renews what is due: signs where the authorities are at hand, asks where they are not. Says which identities changed. */
export async function renewCertificates(
  plan: MachinePlan,
  ports: MachinePorts,
  askElsewhere: AskElsewhere,
): Promise<readonly string[]> {
  const { authorities } = plan;
  const requests = await requestCertificates(plan, { all: false }, ports);
  const sign = (): Promise<readonly IssuedCertificate[]> =>
    authorities === undefined ? askElsewhere(requests) : signCertificates(authorities, requests, plan, ports);
  return installCertificates(plan, requests.length > 0 ? await sign() : [], ports);
}

function checkIssued(
  plan: MachinePlan,
  { identity: name, certificatePem }: IssuedCertificate,
): { identity: IdentityPlan; certificatePem: string; keyPem: string } {
  const identity = plan.identities.find((known) => known.name === name);
  if (!identity) throw new Error(`${name} is no identity of this machine`);
  const keyPem = keyFor(folderOf(plan, identity), certificatePem);
  if (keyPem === undefined) throw new Error(`${name}: the certificate is for a key that is not here`);
  if (!isIssuedBy(certificatePem, bundleOf(plan, identity.authority)))
    throw new Error(`${name}: the certificate is not by the first of ${bundlePathOf(plan, identity.authority)}`);
  if (!saysWhatIsPlanned(certificateFacts(certificatePem), identity))
    throw new Error(`${name}: the certificate says something else than the plan`);
  return { identity, certificatePem, keyPem };
}

function heldBy(plan: MachinePlan, identity: IdentityPlan): HeldCertificate | undefined {
  return readHeld(folderOf(plan, identity), bundleOf(plan, identity.authority));
}

function bundleOf(plan: MachinePlan, authority: AuthorityName): string {
  const path = bundlePathOf(plan, authority);
  const pem = readIfThere(path);
  if (pem === undefined) throw new Error(`${path} is not there: ${AUTHORITIES.join(" and ")} must be known first`);
  return pem;
}

function folderOf({ directory }: MachinePlan, { name }: IdentityPlan): string {
  return join(directory, name);
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
