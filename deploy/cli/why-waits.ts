/** The first thing that a pod waits for, and on whom: a rule table over what the API shows. Pure. */
import type {
  ContainerStatus,
  Event,
  Node,
  PersistentVolumeClaim,
  Pod,
  PodCondition,
} from "@pilothouse/api/types/core-v1";
import { claimsOf } from "@pilothouse/kinds/core/volume-binding";

export interface PodFacts {
  readonly pod: Pod;
  /** The pod's own; undefined where it has none, or none of that name is known. */
  readonly node: Node | undefined;
  /** Of the pod. */
  readonly events: readonly Event[];
  /** In the pod's namespace, by name. */
  readonly claims: ReadonlyMap<string, PersistentVolumeClaim>;
}

export interface Wait {
  /** A sentence without its end. */
  readonly what: string;
  /** Who has to act; undefined where nobody has to. */
  readonly on?: string;
  readonly command?: string;
}

type Rule = (facts: PodFacts) => Wait | undefined;

/** In this order; the first that applies is what the pod waits for. A pod without a node is not among them. */
const RULES: readonly Rule[] = [
  isEnded,
  nodeIsSilent,
  isLeaving,
  claimIsUnbound,
  initContainerWaits,
  containerWaits,
  isNotReady,
];

/** Undefined where it waits for nothing. */
export function firstWait(facts: PodFacts): Wait | undefined {
  for (const rule of RULES) {
    const wait = rule(facts);
    if (wait) return wait;
  }
  return undefined;
}

/** Of a pod that has no node: what keeps it from being looked at by our scheduler at all. */
export function beforeScheduling({ metadata, spec, status }: Pod): Wait | undefined {
  const { name = "", namespace = "" } = metadata;
  if (status?.phase === "Succeeded" || status?.phase === "Failed") return { what: `it ended (${status.phase})` };
  if (metadata.deletionTimestamp !== undefined) {
    const held = metadata.finalizers ?? [];
    return held.length > 0
      ? { what: `it is being deleted and held by ${held.join(", ")}`, on: "whoever put that finalizer there" }
      : { what: "it is being deleted" };
  }
  const gates = spec.schedulingGates ?? [];
  if (gates.length > 0) {
    return {
      what: `its scheduling gates are not open: ${gates.map((gate) => gate.name).join(", ")}`,
      on: "whoever put the gates there",
      command: `kubectl -n ${namespace} patch pod ${name} --type json -p '[{"op":"remove","path":"/spec/schedulingGates"}]'`,
    };
  }
  const { schedulerName = "default-scheduler" } = spec;
  if (schedulerName === "default-scheduler") return undefined;
  return { what: `it wants another scheduler, ${schedulerName}`, on: schedulerName };
}

function isEnded({ pod: { metadata, status } }: PodFacts): Wait | undefined {
  if (status?.phase === "Succeeded") return { what: "it has done its work and ended (Succeeded)" };
  if (status?.phase !== "Failed") return undefined;
  const failed = (status.containerStatuses ?? []).find(({ state }) => (state?.terminated?.exitCode ?? 0) !== 0);
  const why = status.message ?? (failed ? `container ${failed.name} ${endOf(failed)}` : "");
  return {
    what: `it failed for good${status.reason ? ` (${status.reason})` : ""}${why ? `: ${why}` : ""}`,
    command: `kubectl -n ${metadata.namespace} logs ${metadata.name}`,
  };
}

function nodeIsSilent({ pod, node }: PodFacts): Wait | undefined {
  const { nodeName } = pod.spec;
  if (!node) return { what: `its node ${nodeName} is no more`, on: "pod-garbage-collector, which takes it away" };
  const ready = node.status?.conditions?.find(({ type }) => type === "Ready");
  if (ready?.status === "True") return undefined;
  return {
    what: `its node ${nodeName} is not Ready${ready?.message ? `: ${ready.message}` : ""}`,
    on: `the kubelet of ${nodeName}`,
    command: `kubectl describe node ${nodeName}`,
  };
}

function isLeaving({ pod: { metadata, spec } }: PodFacts): Wait | undefined {
  if (metadata.deletionTimestamp === undefined) return undefined;
  const held = metadata.finalizers ?? [];
  if (held.length > 0) {
    const what = `it is being deleted and held by ${held.join(", ")}`;
    return { what, on: "whoever put that finalizer there" };
  }
  return {
    what: `its containers are being stopped, by ${metadata.deletionTimestamp}`,
    on: `the kubelet of ${spec.nodeName}`,
  };
}

function claimIsUnbound({ pod, claims }: PodFacts): Wait | undefined {
  const { namespace } = pod.metadata;
  for (const name of claimsOf(pod)) {
    const claim = claims.get(name);
    if (!claim) return { what: `its claim ${name} does not exist`, on: "whoever is to create it" };
    const { phase = "Pending" } = claim.status ?? {};
    if (phase === "Bound") continue;
    const storageClass = claim.spec?.storageClassName;
    return {
      what: `its claim ${name} is ${phase}`,
      on: storageClass ? `who makes volumes of class ${storageClass}` : "a volume that will do",
      command: `kubectl -n ${namespace} describe pvc ${name}`,
    };
  }
  return undefined;
}

function initContainerWaits(facts: PodFacts): Wait | undefined {
  const { spec, status } = facts.pod;
  for (const { name, restartPolicy } of spec.initContainers ?? []) {
    const told = status?.initContainerStatuses?.find((one) => one.name === name);
    const isSidecar = restartPolicy === "Always";
    const isDone = isSidecar ? told?.started === true : told?.state?.terminated?.exitCode === 0;
    if (isDone) continue;
    const stopped = told && waitOf(facts, told, `init container ${name}`);
    if (stopped) return stopped;
    if (told?.state?.running) {
      const what = isSidecar ? `sidecar ${name} has not started up` : `init container ${name} is at work`;
      return { what, on: `container ${name}`, command: logsOf(facts.pod, name) };
    }
    return preparing(facts);
  }
  return undefined;
}

function containerWaits(facts: PodFacts): Wait | undefined {
  const { containers } = facts.pod.spec;
  for (const { name } of containers) {
    const told = facts.pod.status?.containerStatuses?.find((one) => one.name === name);
    if (!told) return preparing(facts);
    const wait = waitOf(facts, told, `container ${name}`);
    if (wait) return wait;
  }
  return undefined;
}

/** Of a container that neither runs nor has ended well. */
function waitOf(facts: PodFacts, told: ContainerStatus, who: string): Wait | undefined {
  const { pod } = facts;
  const { waiting, terminated } = told.state ?? {};
  if (terminated) {
    if (terminated.exitCode === 0) return undefined;
    return { what: `${who} ${endOf(told)}`, on: `container ${told.name}`, command: logsOf(pod, told.name) };
  }
  if (!waiting) return undefined;
  const { reason = "", message } = waiting;
  const more = message ? `: ${message}` : "";
  switch (reason) {
    case "ErrImagePull":
    case "ImagePullBackOff":
    case "InvalidImageName":
    case "RegistryUnavailable":
    case "ErrImageNeverPull":
      return {
        what: `${who} has no image ${told.image} (${reason})${more}`,
        on: `the registry of ${told.image}, or whoever names the image`,
        command: `kubectl -n ${pod.metadata.namespace} describe pod ${pod.metadata.name}`,
      };
    case "CreateContainerConfigError":
      return { what: `${who} cannot be made as it is written${more}`, on: "whoever is to create what it names" };
    case "CrashLoopBackOff":
      return {
        what: `${who} ends again and again, ${told.restartCount} times so far; the last time it ${endOf(told)}`,
        on: `container ${told.name}`,
        command: `${logsOf(pod, told.name)} --previous`,
      };
    case "":
    case "ContainerCreating":
    case "PodInitializing":
      return preparing(facts);
    default:
      return { what: `${who} waits (${reason})${more}`, on: `the kubelet of ${pod.spec.nodeName}` };
  }
}

/** Volumes, network, images: the kubelet says in events what does not go on. */
function preparing({ pod, events }: PodFacts): Wait {
  const { nodeName } = pod.spec;
  const warning = newest(events.filter(({ type }) => type === "Warning"));
  const what = warning
    ? `its node prepares it, and says (${warning.reason}): ${warning.message ?? ""}`
    : "its node prepares it: volumes, network, images";
  return {
    what,
    on: `the kubelet of ${nodeName}`,
    command: `kubectl -n ${pod.metadata.namespace} describe pod ${pod.metadata.name}`,
  };
}

function isNotReady({ pod, events }: PodFacts): Wait | undefined {
  const conditions = pod.status?.conditions ?? [];
  const isTrue = (wanted: string): boolean =>
    conditions.some(({ type, status }) => type === wanted && status === "True");
  if (isTrue("Ready")) return undefined;
  const unready = pod.status?.containerStatuses?.find(({ ready }) => !ready);
  if (unready) {
    const unhealthy = newest(events.filter(({ reason }) => reason === "Unhealthy"));
    return {
      what: `container ${unready.name} runs and is not ready${unhealthy?.message ? `: ${unhealthy.message}` : ""}`,
      on: `container ${unready.name}, whose probe has to succeed`,
      command: logsOf(pod, unready.name),
    };
  }
  const gate = (pod.spec.readinessGates ?? []).find(({ conditionType }) => !isTrue(conditionType));
  if (gate) {
    return { what: `its condition ${gate.conditionType} is not True`, on: `whoever sets ${gate.conditionType}` };
  }
  const ready: PodCondition | undefined = conditions.find(({ type }) => type === "Ready");
  return { what: `it runs and is not Ready${ready?.message ? `: ${ready.message}` : ""}` };
}

/** `exited with code 1 (Error)`, of its last life. */
function endOf({ state, lastState }: ContainerStatus): string {
  const end = state?.terminated ?? lastState?.terminated;
  return end ? `exited with code ${end.exitCode}${end.reason ? ` (${end.reason})` : ""}` : "ended";
}

function logsOf({ metadata }: Pod, container: string): string {
  return `kubectl -n ${metadata.namespace} logs ${metadata.name} -c ${container}`;
}

export function newest(events: readonly Event[]): Event | undefined {
  const atMs = ({ lastTimestamp, eventTime, metadata, series }: Event): number =>
    Date.parse(series?.lastObservedTime ?? lastTimestamp ?? eventTime ?? metadata.creationTimestamp ?? "") || 0;
  return events.reduce<Event | undefined>((best, one) => (!best || atMs(one) >= atMs(best) ? one : best), undefined);
}
