import type { Pod, PodAffinityTerm, WeightedPodAffinityTerm } from "@pilothouse/api/types/core-v1";
import { sameValue } from "@pilothouse/kinds/field-errors";
import { labelOf, labelSelectorOf, matchesLabels, type LabelSelector } from "@pilothouse/selectors";
import { FITS, MAX_NODE_SCORE, unresolvable, unschedulable, type Plugin, type Remedy } from "../../core/framework.ts";
import type { NodeSnapshot, Snapshot, Surroundings } from "../../core/snapshot.ts";

export const AFFINITY_REASON = "node(s) didn't match pod affinity rules";
export const ANTI_AFFINITY_REASON = "node(s) didn't match pod anti-affinity rules";
export const EXISTING_ANTI_AFFINITY_REASON = "node(s) didn't satisfy existing pods anti-affinity rules";

/** How much a pod that merely must be near another is worth to that other (upstream's HardPodAffinityWeight). */
const HARD_AFFINITY_WEIGHT = 1;

/** A term made ready: whose pods it means. */
interface Term {
  readonly topologyKey: string;
  readonly selector: LabelSelector;
  readonly namespaces: ReadonlySet<string>;
  /** Namespaces by their labels; undefined where the term has no such selector. */
  readonly namespaceSelector: LabelSelector | undefined;
}

/** `<topology key>=<value>` */
type Domain = string;

interface Prepared {
  readonly affinity: readonly Term[];
  readonly antiAffinity: readonly Term[];
  /** Of each affinity term, in how many pods of each domain. */
  readonly near: readonly ReadonlyMap<Domain, number>[];
  readonly apart: readonly ReadonlyMap<Domain, number>[];
  /** Domains that pods which are there already keep this one out of. */
  readonly forbidden: ReadonlySet<Domain>;
  /** Whether the pod meets all of its own affinity terms: the first of a group may go anywhere. */
  readonly matchesItself: boolean;
  readonly worth: ReadonlyMap<Domain, number>;
}

/** Pods that want to be near others, or apart from them, in a host, a zone, or whatever label says "near". */
export const interPodAffinity: Plugin<Prepared> = {
  name: "InterPodAffinity",
  weight: 2,
  undoneBy: {
    // Pods that are there already may be what is looked for, or keep nobody out of where they are not.
    "node added": () => true,
    "node removed": () => true,
    "node changed": (_pod, { before, node }) => !sameValue(before.metadata.labels, node.metadata.labels),
    "pod placed": (pod, event, surroundings) => isNearTo(pod, event.pod, surroundings),
    "pod changed": (pod, { before, pod: after }, surroundings) =>
      !sameValue(before.metadata.labels, after.metadata.labels) &&
      (isNearTo(pod, before, surroundings) !== isNearTo(pod, after, surroundings) ||
        keepsOut(pod, before, surroundings)),
    "pod left": (pod, event, surroundings) =>
      // The first of a group may go anywhere, once there is no other.
      isNearTo(pod, event.pod, surroundings) || keepsOut(pod, event.pod, surroundings),
    "namespace changed": () => true,
  },

  prepare(pod, snapshot) {
    const affinity = requiredNear(pod);
    const antiAffinity = requiredApart(pod);
    // All terms of affinity count the same pods: those that meet every one of them.
    const meetsAll = (other: Pod): boolean => affinity.every((term) => means(term, other, snapshot));
    return {
      affinity,
      antiAffinity,
      near: affinity.map(({ topologyKey }) => countDomains(snapshot, topologyKey, meetsAll)),
      apart: antiAffinity.map((term) =>
        countDomains(snapshot, term.topologyKey, (other) => means(term, other, snapshot)),
      ),
      forbidden: forbiddenDomains(pod, snapshot),
      matchesItself: meetsAll(pod),
      worth: worthOfDomains(pod, snapshot),
    };
  },

  filter(_pod, node, { affinity, antiAffinity, near, apart, forbidden, matchesItself }) {
    const isAlone = matchesItself && near.every((counts) => counts.size === 0);
    for (const [index, { topologyKey }] of affinity.entries()) {
      const domain = domainOf(node, topologyKey);
      if (domain === undefined) return unresolvable(AFFINITY_REASON);
      if (!isAlone && (near[index]?.get(domain) ?? 0) === 0) return unresolvable(AFFINITY_REASON);
    }
    for (const [index, { topologyKey }] of antiAffinity.entries()) {
      const domain = domainOf(node, topologyKey);
      if (domain !== undefined && (apart[index]?.get(domain) ?? 0) > 0) return unschedulable(ANTI_AFFINITY_REASON);
    }
    if (forbidden.size > 0 && domainsOf(node).some((domain) => forbidden.has(domain))) {
      return unschedulable(EXISTING_ANTI_AFFINITY_REASON);
    }
    return FITS;
  },

  explain(_pod, node, { affinity, antiAffinity, near, apart, forbidden, matchesItself }) {
    const isAlone = matchesItself && near.every((counts) => counts.size === 0);
    const place = (key: string): string => domainOf(node, key) ?? `${key}, which the node has no label for`;
    const lonely = affinity.flatMap(({ topologyKey }, index) => {
      const domain = domainOf(node, topologyKey);
      if (domain !== undefined && (isAlone || (near[index]?.get(domain) ?? 0) > 0)) return [];
      return [{ detail: `no pod that it must be near is in ${place(topologyKey)}`, remedy: changeOf("podAffinity") }];
    });
    const crowded = antiAffinity.flatMap(({ topologyKey }, index) => {
      const there = apart[index]?.get(domainOf(node, topologyKey) ?? "") ?? 0;
      if (there === 0) return [];
      const detail = `${there} of the pods that it must be apart from: in ${place(topologyKey)}`;
      return [{ detail, remedy: changeOf("podAntiAffinity") }];
    });
    const unwelcome = domainsOf(node)
      .filter((domain) => forbidden.has(domain))
      .map((domain) => ({ detail: `pods in ${domain} want it to be elsewhere (their anti-affinity)` }));
    return [...lonely, ...crowded, ...unwelcome];
  },

  score(_pod, node, { worth }) {
    if (worth.size === 0) return 0;
    return domainsOf(node).reduce((sum, domain) => sum + (worth.get(domain) ?? 0), 0);
  },
  normalize(scores) {
    const [least, most] = [Math.min(...scores), Math.max(...scores)];
    if (least === most) return scores.map(() => 0);
    return scores.map((score) => Math.floor((MAX_NODE_SCORE * (score - least)) / (most - least)));
  },
};

function requiredNear(pod: Pod): readonly Term[] {
  const terms = pod.spec.affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
  return terms.map((term) => termOf(term, pod));
}

function requiredApart(pod: Pod): readonly Term[] {
  const terms = pod.spec.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
  return terms.map((term) => termOf(term, pod));
}

/** Whether the pod must be near others, and this is one of them. */
function isNearTo(pod: Pod, other: Pod, surroundings: Surroundings): boolean {
  const terms = requiredNear(pod);
  return terms.length > 0 && terms.every((term) => means(term, other, surroundings));
}

/** Whether one of the two must be apart from the other. */
function keepsOut(pod: Pod, other: Pod, surroundings: Surroundings): boolean {
  return (
    requiredApart(pod).some((term) => means(term, other, surroundings)) ||
    requiredApart(other).some((term) => means(term, pod, surroundings))
  );
}

function changeOf(field: string): Remedy {
  return { do: "change the pod", field: `affinity.${field}` };
}

/** `matchLabelKeys` narrow the term to pods with the pod's own values, `mismatchLabelKeys` to those with others. */
function termOf(term: PodAffinityTerm, pod: Pod): Term {
  const { labels = {}, namespace = "" } = pod.metadata;
  const own = (keys: readonly string[] | undefined, operator: "In" | "NotIn"): object[] =>
    (keys ?? []).flatMap((key) => {
      const value = labelOf(labels, key);
      return value === undefined ? [] : [{ key, operator, values: [value] }];
    });
  const narrowed = [...own(term.matchLabelKeys, "In"), ...own(term.mismatchLabelKeys, "NotIn")];
  const stated = term.labelSelector;
  const selector =
    stated && narrowed.length > 0
      ? { ...stated, matchExpressions: [...(stated.matchExpressions ?? []), ...(narrowed as never[])] }
      : stated;
  const isOwnNamespace = (term.namespaces ?? []).length === 0 && term.namespaceSelector === undefined;
  return {
    topologyKey: term.topologyKey,
    selector: labelSelectorOf(selector),
    namespaces: new Set(isOwnNamespace ? [namespace] : term.namespaces),
    namespaceSelector: term.namespaceSelector && labelSelectorOf(term.namespaceSelector),
  };
}

function means(term: Term, other: Pod, { namespaceLabels }: Surroundings): boolean {
  const { namespace = "", labels } = other.metadata;
  const isThere =
    term.namespaces.has(namespace) ||
    (term.namespaceSelector !== undefined && matchesLabels(term.namespaceSelector, namespaceLabels(namespace)));
  return isThere && matchesLabels(term.selector, labels);
}

function countDomains(
  { nodes }: Snapshot,
  topologyKey: string,
  isMeant: (pod: Pod) => boolean,
): ReadonlyMap<Domain, number> {
  const counts = new Map<Domain, number>();
  for (const node of nodes) {
    const domain = domainOf(node, topologyKey);
    if (domain === undefined) continue;
    // One that was told to go is there until it has gone.
    const meant = node.pods.filter(isMeant).length;
    if (meant > 0) counts.set(domain, (counts.get(domain) ?? 0) + meant);
  }
  return counts;
}

/** Who is there first may want to be alone. */
function forbiddenDomains(pod: Pod, snapshot: Snapshot): ReadonlySet<Domain> {
  const forbidden = new Set<Domain>();
  for (const node of snapshot.nodes) {
    for (const other of node.pods) {
      for (const term of requiredApart(other)) {
        const domain = domainOf(node, term.topologyKey);
        if (domain !== undefined && means(term, pod, snapshot)) forbidden.add(domain);
      }
    }
  }
  return forbidden;
}

/** What preferences, the pod's own and those of pods that are there, make of each domain. */
function worthOfDomains(pod: Pod, snapshot: Snapshot): ReadonlyMap<Domain, number> {
  const worth = new Map<Domain, number>();
  const add = (node: NodeSnapshot, topologyKey: string, weight: number): void => {
    const domain = domainOf(node, topologyKey);
    if (domain !== undefined) worth.set(domain, (worth.get(domain) ?? 0) + weight);
  };
  const own = preferencesOf(pod);
  for (const node of snapshot.nodes) {
    for (const other of node.pods) {
      for (const { term, weight } of own) if (means(term, other, snapshot)) add(node, term.topologyKey, weight);
      for (const { term, weight } of preferencesOf(other)) {
        if (means(term, pod, snapshot)) add(node, term.topologyKey, weight);
      }
      for (const required of other.spec.affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []) {
        const term = termOf(required, other);
        if (means(term, pod, snapshot)) add(node, term.topologyKey, HARD_AFFINITY_WEIGHT);
      }
    }
  }
  return worth;
}

/** Weights of anti-affinity count against. */
function preferencesOf(pod: Pod): readonly { readonly term: Term; readonly weight: number }[] {
  const { podAffinity, podAntiAffinity } = pod.spec.affinity ?? {};
  if (!podAffinity && !podAntiAffinity) return [];
  const read = (preferred: readonly WeightedPodAffinityTerm[] | undefined, sign: 1 | -1) =>
    (preferred ?? []).map(({ podAffinityTerm, weight }) => ({
      term: termOf(podAffinityTerm, pod),
      weight: sign * weight,
    }));
  return [
    ...read(podAffinity?.preferredDuringSchedulingIgnoredDuringExecution, 1),
    ...read(podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution, -1),
  ];
}

function domainOf({ node }: NodeSnapshot, topologyKey: string): Domain | undefined {
  const value = labelOf(node.metadata.labels, topologyKey);
  return value === undefined ? undefined : `${topologyKey}=${value}`;
}

function domainsOf({ node }: NodeSnapshot): readonly Domain[] {
  return Object.entries(node.metadata.labels ?? {}).map(([key, value]) => `${key}=${value}`);
}
