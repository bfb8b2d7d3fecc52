/** A pod that has no node, for people: what each plugin of the scheduler says of each node, and the nearest fix. Pure. */
import type { Container, Pod } from "@pilothouse/api/types/core-v1";
import { amountText, podRequests } from "@pilothouse/kinds/core/pod-resources";
import type { Explanation, NodeVerdicts, Obstacle, Remedy } from "@pilothouse/scheduler/explain";

/** `deployment/web`: whose template the pod is made of; undefined where the pod stands for itself, or its owner never changes. */
export type Template = string | undefined;

const MAX_NODES = 20;
const NAME_WIDTH = 20;
const WELL_KNOWN = "node.kubernetes.io/";

/** The smaller, the less a remedy asks of people. */
const COST: Readonly<Record<Remedy["do"], number>> = {
  uncordon: 1,
  "label node": 2,
  "remove taint": 3,
  "look at claim": 3,
  "request less": 4,
  "change the pod": 5,
};

export function unschedulableLines(
  pod: Pod,
  { decision, nodes, preemption }: Explanation,
  template: Template,
): readonly string[] {
  const sorted = [...nodes].sort((a, b) => costOf(a, pod) - costOf(b, pod));
  const shown = sorted.slice(0, MAX_NODES).flatMap(nodeLines);
  const rest = sorted.length > MAX_NODES ? [`  … and ${sorted.length - MAX_NODES} nodes that are further away`] : [];
  if (decision.outcome === "scheduled") {
    return [
      `${decision.node.name} would take it now; the scheduler has not come to it yet, or cannot write.`,
      ...shown,
      ...rest,
      ...tryLines(["npx pilot status"]),
    ];
  }
  return [decision.message, ...shown, ...rest, ...outcomeLines(pod, sorted[0], preemption, template)];
}

function nodeLines({ node, verdicts }: NodeVerdicts): readonly string[] {
  const passed = verdicts.filter(({ obstacles }) => obstacles.length === 0).map(({ plugin }) => plugin);
  const against = verdicts.flatMap(({ plugin, obstacles }) =>
    obstacles.map(({ detail }) => `    ✘ ${plugin.padEnd(NAME_WIDTH)} ${detail}`),
  );
  return [`  ${node}`, ...against, ...(passed.length > 0 ? [`    ✔ ${passed.join(", ")}`] : [])];
}

function outcomeLines(
  pod: Pod,
  nearest: NodeVerdicts | undefined,
  preemption: Explanation["preemption"],
  template: Template,
): readonly string[] {
  if (preemption?.outcome === "victims") {
    const names = preemption.victims.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`).join(", ");
    return [`The scheduler makes room on ${preemption.nodeName}: less important pods have to go (${names}).`];
  }
  const told = preemption ? [`Preemption: ${preemption.message}`] : [];
  if (!nearest) return [...told, ...tryLines(["kubectl get nodes"])];
  if (!Number.isFinite(costOf(nearest, pod))) {
    return [...told, "No single command helps: other pods have to end, or a node has to come."];
  }
  return [...told, `Nearest: ${nearest.node}.`, ...tryLines(commandsFor(pod, nearest, template))];
}

/** Infinite where something stands against the node that no command takes away. */
function costOf({ verdicts }: NodeVerdicts, pod: Pod): number {
  return verdicts.flatMap(({ obstacles }) => obstacles).reduce((sum, one) => sum + costOfOne(one, pod), 0);
}

function costOfOne({ remedy }: Obstacle, pod: Pod): number {
  if (!remedy) return Number.POSITIVE_INFINITY;
  if (remedy.do === "request less" && !lowered(pod, remedy)) return Number.POSITIVE_INFINITY;
  return COST[remedy.do];
}

function commandsFor(pod: Pod, { node, verdicts }: NodeVerdicts, template: Template): readonly string[] {
  const remedies = verdicts.flatMap(({ obstacles }) => obstacles.flatMap(({ remedy }) => (remedy ? [remedy] : [])));
  return [...new Set(remedies.map((remedy) => commandOf(remedy, pod, node, template)))];
}

function commandOf(remedy: Remedy, pod: Pod, node: string, template: Template): string {
  const within = `kubectl -n ${pod.metadata.namespace}`;
  const name = pod.metadata.name ?? "";
  switch (remedy.do) {
    case "uncordon":
      return `kubectl uncordon ${node}`;
    case "remove taint":
      // Such a taint comes back as long as what it stands for is so.
      if (remedy.taint.key.startsWith(WELL_KNOWN)) return `kubectl describe node ${node}`;
      return `kubectl taint node ${node} ${remedy.taint.key}:${remedy.taint.effect}-`;
    case "label node":
      return `kubectl label node ${node} --overwrite ${Object.entries(remedy.labels)
        .map(([key, value]) => `${key}=${value}`)
        .join(" ")}`;
    case "look at claim":
      return `${within} describe pvc ${remedy.claim}`;
    case "change the pod": {
      if (template !== undefined) return `${within} edit ${template}  # spec.template.spec.${remedy.field}`;
      const file = `${name}.yaml`;
      return `${within} get pod ${name} -o yaml > ${file}; \${EDITOR:-vi} ${file}; kubectl replace --force -f ${file}  # spec.${remedy.field}`;
    }
    case "request less": {
      const { container = "", request = "" } = lowered(pod, remedy) ?? {};
      if (template !== undefined) {
        return `${within} set resources ${template} -c ${container} --requests=${remedy.resource}=${request}`;
      }
      const requests = { [remedy.resource]: request };
      const isExact = pod.status?.qosClass === "Guaranteed";
      const resources = isExact ? { requests, limits: requests } : { requests };
      const patch = JSON.stringify({ spec: { containers: [{ name: container, resources }] } });
      return `${within} patch pod ${name} --subresource resize -p '${patch}'`;
    }
    default:
      throw new Error(`no command for ${JSON.stringify(remedy satisfies never)}`);
  }
}

/** What the container that asks for most would have to ask for instead; undefined where even nothing would be too much. */
function lowered(
  pod: Pod,
  { resource, available }: Extract<Remedy, { do: "request less" }>,
): { readonly container: string; readonly request: string } | undefined {
  const requestOf = (container: Container): number =>
    podRequests({ metadata: {}, spec: { containers: [container] } }).get(resource) ?? 0;
  const [largest] = [...pod.spec.containers].sort((a, b) => requestOf(b) - requestOf(a));
  if (!largest || available <= 0) return undefined;
  const left = requestOf(largest) - ((podRequests(pod).get(resource) ?? 0) - available);
  return left <= 0 ? undefined : { container: largest.name, request: exactText(resource, left) };
}

/** Never more than the amount: what is told here has to fit. */
function exactText(resource: string, amount: number): string {
  if (resource === "cpu") return `${Math.floor(amount)}m`;
  const isBytes = amountText(resource, 2 ** 20) === "1Mi";
  return isBytes && amount >= 2 ** 20 ? `${Math.floor(amount / 2 ** 20)}Mi` : String(Math.floor(amount));
}

export function tryLines(commands: readonly string[]): readonly string[] {
  return commands.map((command) => `  try: ${command}`);
}
