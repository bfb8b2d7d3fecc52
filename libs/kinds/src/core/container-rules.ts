/** Rules for the containers of a pod. */
import type {
  Container,
  ContainerPort,
  ContainerResizePolicy,
  ContainerRestartRule,
  Volume,
} from "@pilothouse/api/types/core-v1";
import { checkDns1123Label, checkPortName, checkPortNumber } from "@pilothouse/selectors/names";
import { duplicate, forbidden, invalid, invalidEach, notSupported, oneOf, required, tooMany } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { protocolRules } from "../port-rules.ts";
import { envFromRules, envRules } from "./env-rules.ts";
import { lifecycleRules, probeRules } from "./handler-rules.ts";
import { devicesRules, mountsRules } from "./mount-rules.ts";
import { resourceRules } from "./resource-rules.ts";
import { containerSecurityRules } from "./security-rules.ts";

/** What the rules of a container need to know of its pod. */
export interface PodContext {
  /** Those that can be mounted: with nothing wrong. */
  readonly volumes: readonly Volume[];
  readonly restartPolicy: string | undefined;
  /** How long the pod has to end; a hook that sleeps longer would never be done. */
  readonly graceSeconds: number | undefined;
  /** False for a pod with users of its own. */
  readonly hostUsers: boolean;
  /** What the pod calls its resource claims. */
  readonly claimNames: readonly string[];
}

const MAX_RESTART_RULES = 20;
const MAX_EXIT_CODES = 255;

/** Only a sidecar, an init container that keeps running, is probed and has hooks. */
const SIDECAR_ONLY = ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] as const;
const NOT_FOR_INIT = "may not be set for init containers without restartPolicy=Always";

export function* containersRules(containers: readonly Container[], pod: PodContext, path: string): FieldErrors {
  if (containers.length === 0) {
    yield required(path);
    return;
  }
  const names = new Set<string>();
  for (const [index, container] of containers.entries()) {
    const at = `${path}[${index}]`;
    yield* containerRules(container, pod, at);
    if (names.has(container.name)) yield duplicate(`${at}.name`, container.name);
    names.add(container.name);
    yield* lifecycleRules(container.lifecycle, pod.graceSeconds, `${at}.lifecycle`);
    yield* allProbesRules(container, at);
  }
  yield* hostPortConflicts(containers, path);
}

export function* initContainersRules(
  containers: readonly Container[],
  others: readonly Container[],
  pod: PodContext,
  path: string,
): FieldErrors {
  const names = new Set(others.map(({ name }) => name));
  for (const [index, container] of containers.entries()) {
    const at = `${path}[${index}]`;
    yield* containerRules(container, pod, at);
    if (names.has(container.name)) yield duplicate(`${at}.name`, container.name);
    if (container.name) names.add(container.name);
    // One after the other, so each may have the same port.
    yield* hostPortConflicts([container], path);
    if (container.restartPolicy === "Always") {
      yield* lifecycleRules(container.lifecycle, pod.graceSeconds, `${at}.lifecycle`);
      yield* allProbesRules(container, at);
    } else {
      for (const field of SIDECAR_ONLY) if (container[field]) yield forbidden(`${at}.${field}`, NOT_FOR_INIT);
    }
  }
}

/** What holds for a container of any sort. */
export function* containerRules(container: Container, pod: PodContext, path: string): FieldErrors {
  if (!container.name) yield required(`${path}.name`);
  else yield* invalidEach(`${path}.name`, container.name, checkDns1123Label(container.name));
  if (!container.image) yield required(`${path}.image`);
  yield* oneOf(`${path}.terminationMessagePolicy`, container.terminationMessagePolicy, [
    "File",
    "FallbackToLogsOnError",
  ]);
  yield* portsRules(container.ports ?? [], `${path}.ports`);
  yield* envRules(container.env ?? [], `${path}.env`);
  yield* envFromRules(container.envFrom ?? [], `${path}.envFrom`);
  yield* mountsRules(container, pod.volumes, `${path}.volumeMounts`);
  yield* devicesRules(container, pod.volumes, `${path}.volumeDevices`);
  yield* oneOf(`${path}.imagePullPolicy`, container.imagePullPolicy, ["Always", "IfNotPresent", "Never"]);
  yield* resourceRules(container.resources, pod.claimNames, `${path}.resources`);
  yield* resizePolicyRules(container.resizePolicy ?? [], pod.restartPolicy, `${path}.resizePolicy`);
  yield* containerSecurityRules(container.securityContext, `${path}.securityContext`, pod.hostUsers);
  yield* restartRules(container, path);
}

/** How a resource is resized, at most once for each. */
function* resizePolicyRules(
  policies: readonly ContainerResizePolicy[],
  podRestartPolicy: string | undefined,
  path: string,
): FieldErrors {
  const names = new Set<string>();
  for (const [index, { resourceName, restartPolicy }] of policies.entries()) {
    if (names.has(resourceName)) yield duplicate(`${path}[${index}]`, resourceName);
    names.add(resourceName);
    yield* oneOf(path, resourceName, ["cpu", "memory"]);
    yield* oneOf(path, restartPolicy, ["NotRequired", "RestartContainer"]);
    if (podRestartPolicy === "Never" && restartPolicy !== "NotRequired") {
      yield invalid(path, restartPolicy, "must be 'NotRequired' when `restartPolicy` is 'Never'");
    }
  }
}

function* restartRules({ restartPolicy, restartPolicyRules = [] }: Container, path: string): FieldErrors {
  if (restartPolicy !== undefined) {
    const policies = ["Always", "Never", "OnFailure"];
    if (!policies.includes(restartPolicy)) yield notSupported(`${path}.restartPolicy`, restartPolicy, policies);
  } else if (restartPolicyRules.length > 0) {
    yield required(`${path}.restartPolicy`, "must specify restartPolicy when restart rules are used");
  }
  const at = `${path}.restartPolicyRules`;
  if (restartPolicyRules.length > MAX_RESTART_RULES) yield tooMany(at, restartPolicyRules.length, MAX_RESTART_RULES);
  for (const [index, rule] of restartPolicyRules.entries()) yield* restartRuleRules(rule, `${at}[${index}]`);
}

function* restartRuleRules({ action, exitCodes }: ContainerRestartRule, path: string): FieldErrors {
  if (action !== "Restart") yield notSupported(`${path}.action`, action ?? "", ["Restart"]);
  if (!exitCodes) {
    yield required(`${path}.exitCodes`, "must be specified");
    return;
  }
  const { operator = "", values = [] } = exitCodes;
  if (operator !== "In" && operator !== "NotIn") {
    yield notSupported(`${path}.exitCodes.operator`, operator, ["In", "NotIn"]);
  }
  if (values.length > MAX_EXIT_CODES) yield tooMany(`${path}.exitCodes.values`, values.length, MAX_EXIT_CODES);
}

function* allProbesRules(container: Container, path: string): FieldErrors {
  for (const use of ["livenessProbe", "readinessProbe", "startupProbe"] as const) {
    yield* probeRules(container[use], `${path}.${use}`, use);
  }
}

function* portsRules(ports: readonly ContainerPort[], path: string): FieldErrors {
  const names = new Set<string>();
  for (const [index, port] of ports.entries()) {
    const at = `${path}[${index}]`;
    if (port.name) {
      const texts = checkPortName(port.name);
      yield* invalidEach(`${at}.name`, port.name, texts);
      if (texts.length === 0 && names.has(port.name)) yield duplicate(`${at}.name`, port.name);
      if (texts.length === 0) names.add(port.name);
    }
    if (!port.containerPort) yield required(`${at}.containerPort`);
    else yield* invalidEach(`${at}.containerPort`, port.containerPort, checkPortNumber(port.containerPort));
    if (port.hostPort) yield* invalidEach(`${at}.hostPort`, port.hostPort, checkPortNumber(port.hostPort));
    yield* protocolRules(port.protocol, `${at}.protocol`);
  }
}

function* hostPortConflicts(containers: readonly Container[], path: string): FieldErrors {
  const taken = new Set<string>();
  for (const [index, { ports = [] }] of containers.entries()) {
    for (const [portIndex, { protocol, hostIP = "", hostPort }] of ports.entries()) {
      if (!hostPort) continue;
      const key = `${protocol}/${hostIP}/${hostPort}`;
      if (taken.has(key)) yield duplicate(`${path}[${index}].ports[${portIndex}].hostPort`, key);
      taken.add(key);
    }
  }
}
