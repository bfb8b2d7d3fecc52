import type {
  IPBlock,
  NetworkPolicy,
  NetworkPolicyPeer,
  NetworkPolicyPort,
  NetworkPolicySpec,
} from "@pilothouse/api/types/networking-v1";
import { AGE, selectorText, shown } from "../columns.ts";
import { firstErrors, forbidden, invalid, invalidEach, notSupported, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { checkCidr, isWithin } from "../ip.ts";
import { nextGeneration, startGeneration } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { labelSelectorRules } from "../meta.ts";
import { portRules, protocolRules } from "../port-rules.ts";

const TYPES = ["Ingress", "Egress"];

export const networkPolicy: KindDefinition<NetworkPolicy> = {
  group: "networking.k8s.io",
  version: "v1",
  kind: "NetworkPolicy",
  resource: "networkpolicies",
  singular: "networkpolicy",
  shortNames: ["netpol"],
  categories: [],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
  defaults: (policy) => {
    const spec = (policy.spec ??= { podSelector: {} });
    spec.podSelector ??= {};
    for (const { ports } of [...(spec.ingress ?? []), ...(spec.egress ?? [])]) {
      for (const port of ports ?? []) port.protocol ??= "TCP";
    }
    if ((spec.policyTypes ?? []).length > 0) return;
    spec.policyTypes = (spec.egress ?? []).length > 0 ? ["Ingress", "Egress"] : ["Ingress"];
  },
  prepareForCreate: startGeneration,
  prepareForUpdate: (policy, old) => nextGeneration(policy, old),
  validate: ({ spec }) => firstErrors(rules(spec)),
  columns: [shown("Pod-Selector", ({ spec }) => selectorText(spec.podSelector), "Which pods it is about."), AGE],
  ageColumn: false,
};

function* rules(spec: NetworkPolicySpec): FieldErrors {
  yield* labelSelectorRules(spec.podSelector, "spec.podSelector");
  for (const [index, { ports = [], from = [] }] of (spec.ingress ?? []).entries()) {
    yield* portsRules(`spec.ingress[${index}].ports`, ports);
    yield* peersRules(`spec.ingress[${index}].from`, from);
  }
  for (const [index, { ports = [], to = [] }] of (spec.egress ?? []).entries()) {
    yield* portsRules(`spec.egress[${index}].ports`, ports);
    yield* peersRules(`spec.egress[${index}].to`, to);
  }
  const { policyTypes = [] } = spec;
  if (policyTypes.length > TYPES.length) {
    yield invalid("spec.policyTypes", policyTypes, "may not specify more than two policyTypes");
    return;
  }
  for (const [index, type] of policyTypes.entries()) {
    if (!TYPES.includes(type)) yield notSupported(`spec.policyTypes[${index}]`, type, TYPES);
  }
}

function* portsRules(path: string, ports: readonly NetworkPolicyPort[]): FieldErrors {
  for (const [index, { protocol, port, endPort }] of ports.entries()) {
    const at = `${path}[${index}]`;
    if (protocol !== undefined) yield* protocolRules(protocol, `${at}.protocol`);
    if (typeof port === "number") {
      yield* portRules(port, `${at}.port`);
      if (endPort === undefined) continue;
      if (endPort < port) yield invalid(`${at}.endPort`, endPort, "must be greater than or equal to `port`");
      yield* portRules(endPort, `${at}.endPort`);
    } else {
      const missing = port === undefined ? "`port` is not specified" : "`port` is non-numeric";
      if (endPort !== undefined) yield invalid(`${at}.endPort`, endPort, `may not be specified when ${missing}`);
      if (port !== undefined) yield* portRules(port, `${at}.port`);
    }
  }
}

function* peersRules(path: string, peers: readonly NetworkPolicyPeer[]): FieldErrors {
  for (const [index, { podSelector, namespaceSelector, ipBlock }] of peers.entries()) {
    const at = `${path}[${index}]`;
    if (podSelector) yield* labelSelectorRules(podSelector, `${at}.podSelector`);
    if (namespaceSelector) yield* labelSelectorRules(namespaceSelector, `${at}.namespaceSelector`);
    if (ipBlock) yield* blockRules(`${at}.ipBlock`, ipBlock);
    const given = [podSelector, namespaceSelector, ipBlock].filter((one) => one !== undefined).length;
    if (given === 0) yield required(at, "must specify a peer");
    else if (given > 1 && ipBlock) yield forbidden(at, "may not specify both ipBlock and another peer");
  }
}

function* blockRules(path: string, { cidr, except = [] }: IPBlock): FieldErrors {
  if (!cidr) {
    yield required(`${path}.cidr`);
    return;
  }
  const texts = checkCidr(cidr);
  yield* invalidEach(`${path}.cidr`, cidr, texts);
  if (texts.length > 0) return;
  for (const [index, hole] of except.entries()) {
    const at = `${path}.except[${index}]`;
    const wrong = checkCidr(hole);
    yield* invalidEach(at, hole, wrong);
    if (wrong.length === 0 && !isWithin(hole, cidr)) yield invalid(at, hole, "must be a strict subset of `cidr`");
  }
}
