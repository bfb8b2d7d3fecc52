import type { Node } from "@pilothouse/api/types/core-v1";
import { checkLabelKey, checkLabelValue } from "@pilothouse/selectors/names";
import { AGE, orNone, shown, wide } from "../columns.ts";
import {
  firstErrors,
  duplicate,
  forbidden,
  invalid,
  invalidEach,
  notSupported,
  required,
  sameValue,
} from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { checkCidr, ipFamily } from "../ip.ts";
import { keepField } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { proxyOf, STATUS } from "../subresources.ts";
import { amountRules } from "./resource-rules.ts";
import { TAINT_EFFECTS } from "./scheduling-rules.ts";

const ROLE_PREFIX = "node-role.kubernetes.io/";
const ROLE_LABEL = "kubernetes.io/role";

export const node: KindDefinition<Node> = {
  group: "",
  version: "v1",
  kind: "Node",
  resource: "nodes",
  singular: "node",
  shortNames: ["no"],
  categories: [],
  namespaced: false,
  verbs: ALL_VERBS,
  subresources: [STATUS, proxyOf("Node")],
  depth: "full",
  defaults: (node) => {
    node.spec ??= {};
    const { status } = node;
    // What may be used is all there is, unless the kubelet keeps some back.
    if (status?.capacity) status.allocatable = { ...status.capacity, ...status.allocatable };
    const { podCIDR, podCIDRs } = node.spec;
    if (podCIDR && !podCIDRs?.length) node.spec.podCIDRs = [podCIDR];
    else if (!podCIDR && podCIDRs?.[0]) node.spec.podCIDR = podCIDRs[0];
  },
  // A node may bring its status along when it registers; from then on /status is the only way.
  prepareForUpdate: (node, old) => keepField(node, old, "status"),
  prepareForStatusUpdate: (node, old) => keepField(node, old, "spec"),
  validate: (node) => firstErrors(rules(node)),
  validateUpdate: (node, old) => firstErrors(updateRules(node, old)),
  validateStatusUpdate: (node) => firstErrors(statusRules(node)),
  selectableFields: ({ spec }) => ({ "spec.unschedulable": String(spec?.unschedulable === true) }),
  columns: [
    shown("Status", statusText, "The status of the node"),
    shown("Roles", rolesText, "The roles of the node"),
    AGE,
    shown("Version", ({ status }) => status?.nodeInfo?.kubeletVersion ?? "", "Kubelet Version reported by the node."),
    wide("Internal-IP", (node) => addressOf(node, "InternalIP"), "Its address inside the cluster."),
    wide("External-IP", (node) => addressOf(node, "ExternalIP"), "Its address outside the cluster."),
    wide("OS-Image", ({ status }) => status?.nodeInfo?.osImage || "<unknown>", "The operating system."),
    wide("Kernel-Version", ({ status }) => status?.nodeInfo?.kernelVersion || "<unknown>", "The kernel."),
    wide(
      "Container-Runtime",
      ({ status }) => status?.nodeInfo?.containerRuntimeVersion || "<unknown>",
      "What runs the containers.",
    ),
  ],
  ageColumn: false,
};

function* rules(node: Node): FieldErrors {
  const { taints = [], podCIDRs = [], podCIDR } = node.spec;
  const seen = new Set<string>();
  for (const [index, { key, value, effect }] of taints.entries()) {
    const at = `spec.taints[${index}]`;
    yield* invalidEach(`${at}.key`, key ?? "", checkLabelKey(key ?? ""));
    const texts = checkLabelValue(value ?? "");
    if (texts.length > 0) yield invalid(`${at}.value`, value, texts.join(";"));
    if (!effect) yield required(`${at}.effect`);
    else if (!TAINT_EFFECTS.includes(effect)) yield notSupported(`${at}.effect`, effect, TAINT_EFFECTS);
    const pair = `${key}:${effect}`;
    if (seen.has(pair)) {
      yield { ...duplicate(at, node.spec.taints?.[index]), detail: "taints must be unique by key and effect pair" };
    }
    seen.add(pair);
  }
  yield* statusRules(node);

  if (podCIDRs.length === 0) return;
  if (podCIDR !== undefined && podCIDR !== podCIDRs[0]) {
    yield invalid("spec.podCIDRs", podCIDRs, "podCIDR must be the first of podCIDRs");
  }
  for (const [index, cidr] of podCIDRs.entries()) {
    yield* invalidEach(`spec.podCIDRs[${index}]`, cidr, checkCidr(cidr));
  }
  if (podCIDRs.length > 1) {
    const families = new Set(podCIDRs.map((cidr) => ipFamily(cidr.split("/")[0] ?? "")));
    if (podCIDRs.length > 2 || families.size !== 2) {
      yield invalid("spec.podCIDRs", podCIDRs, "may specify no more than one CIDR for each IP family");
    }
  }
}

function* statusRules({ status }: Node): FieldErrors {
  for (const field of ["capacity", "allocatable"] as const) {
    for (const [name, amount] of Object.entries(status?.[field] ?? {})) {
      yield* amountRules(amount, `status.${field}.${name}`);
    }
  }
  const addresses = new Set<string>();
  for (const [index, address] of (status?.addresses ?? []).entries()) {
    const key = `${address.type}/${address.address}`;
    if (addresses.has(key)) yield duplicate(`status.addresses[${index}]`, address);
    addresses.add(key);
  }
}

/** What is set once for a node's life. */
function* updateRules({ spec }: Node, { spec: old }: Node): FieldErrors {
  if ((old.podCIDRs ?? []).length > 0 && !sameValue(spec.podCIDRs, old.podCIDRs)) {
    yield forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid');
  }
  if (old.providerID && spec.providerID !== old.providerID) {
    yield forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid');
  }
}

function statusText({ spec, status }: Node): string {
  const ready = status?.conditions?.find(({ type }) => type === "Ready");
  const word = ready ? (ready.status === "True" ? "Ready" : "NotReady") : "Unknown";
  return spec?.unschedulable ? `${word},SchedulingDisabled` : word;
}

function rolesText({ metadata }: Node): string {
  const labels = Object.entries(metadata.labels ?? {});
  const roles = labels.flatMap(([key, value]) => {
    if (key.startsWith(ROLE_PREFIX)) return [key.slice(ROLE_PREFIX.length)].filter((role) => role !== "");
    return key === ROLE_LABEL && value !== "" ? [value] : [];
  });
  return orNone([...new Set(roles)].sort().join(","));
}

function addressOf({ status }: Node, wanted: string): string {
  return orNone(status?.addresses?.find(({ type }) => type === wanted)?.address);
}
