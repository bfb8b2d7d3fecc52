/**
 * Which of a machine's identities need a new certificate, and why: decided from `certificates.json` and from what the files say.
 * An identity is a name, a key that never leaves the machine, and a certificate of one of the two authorities.
 */
import { isIP } from "node:net";
import type { LeafRequest } from "@pilothouse/pki";
import type { CertificateFacts } from "@pilothouse/pki/facts";
import { AUTHORITIES, type AuthorityName } from "./authorities.ts";

export interface IdentityPlan extends Omit<LeafRequest, "validDays" | "nowMs"> {
  /** The folder of its files, below the configuration's `directory`. */
  readonly name: string;
  readonly authority: AuthorityName;
  /** `user:group`, who may read the key; whoever runs the program if it is not there. */
  readonly owner?: string;
  /** Program and arguments, run after the files were replaced. */
  readonly onRenew?: readonly string[];
}

/** What is to be signed for whom: a part of `certificates.json`, and all that a master needs to know of another machine. */
export interface SigningPlan {
  readonly identities: readonly IdentityPlan[];
  /** How long a certificate lives, in one of two units; a year if neither is there. */
  readonly lifetimeDays?: number;
  readonly lifetimeMinutes?: number;
}

/** `/etc/pilothouse/certificates.json`. Paths are absolute. */
export interface MachinePlan extends SigningPlan {
  readonly directory: string;
  readonly clusterCaBundle: string;
  readonly backboneCaBundle: string;
  /** Where the authorities lie; on masters only. */
  readonly authorities?: string;
  /** The kubelet's, by which the API is asked where there are no authorities; /etc/pilothouse/kubelet.conf if it is not there. */
  readonly kubeconfig?: string;
}

/** What an identity has; undefined for what is missing or unreadable. */
export interface HeldCertificate {
  readonly facts: CertificateFacts;
  readonly keyMatches: boolean;
  /** By the first certificate of the authority's bundle, which is the one that signs now. */
  readonly isIssuedByFirst: boolean;
  /** When that one ends, in milliseconds since the epoch: no certificate lives longer. */
  readonly authorityEndMs: number;
}

const DEFAULT_LIFETIME_DAYS = 365;
const MINUTES_PER_DAY = 1440;

interface DueRule {
  readonly reason: string;
  readonly fits: (held: HeldCertificate, plan: IdentityPlan, nowMs: number) => boolean;
}

/** Why an identity needs a new certificate; the first rule that fits. */
const RULES: readonly DueRule[] = [
  { reason: "its key is another", fits: ({ keyMatches }) => !keyMatches },
  { reason: "another authority signed it", fits: ({ isIssuedByFirst }) => !isIssuedByFirst },
  { reason: "it says something else than the plan", fits: ({ facts }, plan) => !saysWhatIsPlanned(facts, plan) },
  { reason: "expired", fits: ({ facts }, _, nowMs) => nowMs >= facts.notAfterMs },
  {
    reason: "past two thirds of its life",
    // One that ends with its authority would not live longer if it were made anew.
    fits: ({ facts, authorityEndMs }, _, nowMs) => nowMs >= renewalMs(facts) && facts.notAfterMs < authorityEndMs,
  },
];

/** Why the identity needs a new certificate; undefined if it does not. */
export function dueReason(plan: IdentityPlan, held: HeldCertificate | undefined, nowMs: number): string | undefined {
  if (held === undefined) return "missing";
  return RULES.find(({ fits }) => fits(held, plan, nowMs))?.reason;
}

/** When two thirds of its life are over. */
export function renewalMs({ notBeforeMs, notAfterMs }: CertificateFacts): number {
  return notBeforeMs + ((notAfterMs - notBeforeMs) * 2) / 3;
}

/** The order of names, usages and organizations means nothing. */
export function saysWhatIsPlanned(facts: CertificateFacts, plan: IdentityPlan): boolean {
  const same = (a: readonly string[], b: readonly string[] = []): boolean =>
    JSON.stringify([...new Set(a)].sort()) === JSON.stringify([...new Set(b)].sort());
  return (
    facts.commonName === plan.commonName &&
    same(facts.organizations, plan.organizations) &&
    same(facts.dnsNames, plan.dnsNames) &&
    same(facts.ipAddresses.map(plainAddress), plan.ipAddresses?.map(plainAddress)) &&
    same(facts.usages, plan.usages)
  );
}

export function lifetimeDaysOf({ lifetimeDays, lifetimeMinutes }: SigningPlan): number {
  if (lifetimeMinutes !== undefined) return lifetimeMinutes / MINUTES_PER_DAY;
  return lifetimeDays ?? DEFAULT_LIFETIME_DAYS;
}

export function bundlePathOf(plan: MachinePlan, authority: AuthorityName): string {
  return authority === "cluster-ca" ? plan.clusterCaBundle : plan.backboneCaBundle;
}

/** Throws an Error that says what is wrong with `certificates.json`. */
export function checkMachinePlan(plan: unknown): MachinePlan {
  const { directory, clusterCaBundle, backboneCaBundle, authorities } = Object(plan) as Partial<MachinePlan>;
  for (const [name, path] of Object.entries({ directory, clusterCaBundle, backboneCaBundle }))
    if (typeof path !== "string" || !path.startsWith("/")) throw new Error(`${name} must be an absolute path`);
  if (authorities !== undefined && typeof authorities !== "string") throw new Error("authorities must be a path");
  checkSigningPlan(plan);
  return plan as MachinePlan;
}

/** Throws an Error that says what is wrong with the identities or their lifetime. */
export function checkSigningPlan(plan: unknown): SigningPlan {
  const { identities, lifetimeDays, lifetimeMinutes } = Object(plan) as Partial<SigningPlan>;
  for (const [name, life] of Object.entries({ lifetimeDays, lifetimeMinutes }))
    if (life !== undefined && !(typeof life === "number" && life > 0)) throw new Error(`${name} must be above 0`);
  if (!Array.isArray(identities)) throw new Error("identities must be a list");
  for (const identity of identities) checkIdentity(identity);
  const names = identities.map(({ name }: IdentityPlan) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new Error(`identities: ${twice} is there twice`);
  return plan as SigningPlan;
}

function checkIdentity(identity: unknown): void {
  const plan = Object(identity) as Partial<Record<keyof IdentityPlan, unknown>>;
  const { name } = plan;
  if (typeof name !== "string" || !/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(name))
    throw new Error(`identities: ${JSON.stringify(name)} is no name of a folder (lower case letters, digits, -)`);
  const isTextList = (list: unknown): boolean =>
    list === undefined || (Array.isArray(list) && list.every((item) => typeof item === "string"));
  const wrong = (
    [
      ["authority", AUTHORITIES.some((authority) => authority === plan.authority)],
      ["commonName", typeof plan.commonName === "string" && plan.commonName !== ""],
      ["organizations", isTextList(plan.organizations)],
      ["dnsNames", isTextList(plan.dnsNames)],
      [
        "ipAddresses",
        isTextList(plan.ipAddresses) && ((plan.ipAddresses ?? []) as string[]).every((ip) => isIP(ip) > 0),
      ],
      ["usages", isTextList(plan.usages) && isUsages(plan.usages)],
      ["owner", plan.owner === undefined || (typeof plan.owner === "string" && /^[^:\s]+:[^:\s]+$/.test(plan.owner))],
      ["onRenew", isTextList(plan.onRenew)],
    ] as const
  ).find(([, isRight]) => !isRight);
  if (wrong) throw new Error(`identities: ${name}: ${wrong[0]} is missing or wrong`);
}

function isUsages(usages: unknown): boolean {
  return (
    Array.isArray(usages) && usages.length > 0 && usages.every((usage) => usage === "client" || usage === "server")
  );
}

/** One spelling for each IPv6 address. */
function plainAddress(address: string): string {
  return isIP(address) === 6 ? new URL(`http://[${address}]`).hostname : address;
}
