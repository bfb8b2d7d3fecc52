/** What a HorizontalPodAutoscaler may ask for, in upstream's words. */
import type {
  CrossVersionObjectReference,
  HPAScalingPolicy,
  HPAScalingRules,
  HorizontalPodAutoscalerSpec,
  HorizontalPodAutoscalerStatus,
  MetricIdentifier,
  MetricSpec,
  MetricTarget,
} from "@pilothouse/api/types/autoscaling-v2";
import { parseQuantity, Quantity } from "@pilothouse/quantity";
import { checkPathSegment } from "@pilothouse/selectors/names";
import {
  forbidden,
  invalid,
  invalidEach,
  notNegative,
  NOT_NEGATIVE,
  notSupported,
  required,
  type FieldErrors,
} from "../field-errors.ts";

const MAX_WINDOW_SECONDS = 3_600;
const MAX_PERIOD_SECONDS = 1_800;
const SOURCES = ["ContainerResource", "External", "Object", "Pods", "Resource"] as const;
const TARGETS = ["Utilization", "Value", "AverageValue"];

export function* autoscalerRules(spec: HorizontalPodAutoscalerSpec): FieldErrors {
  const { minReplicas, maxReplicas, scaleTargetRef, metrics = [], behavior } = spec;
  if (minReplicas !== undefined && minReplicas < 1) {
    yield invalid("spec.minReplicas", minReplicas, "must be greater than or equal to 1");
  }
  if (maxReplicas < 1) yield invalid("spec.maxReplicas", maxReplicas, "must be greater than 0");
  if (minReplicas !== undefined && maxReplicas < minReplicas) {
    yield invalid("spec.maxReplicas", maxReplicas, "must be greater than or equal to `minReplicas`");
  }
  yield* referenceRules("spec.scaleTargetRef", scaleTargetRef);
  for (const [index, metric] of metrics.entries()) yield* metricRules(`spec.metrics[${index}]`, metric);
  yield* scalingRules("spec.behavior.scaleUp", behavior?.scaleUp);
  yield* scalingRules("spec.behavior.scaleDown", behavior?.scaleDown);
}

export function* autoscalerStatusRules(status: HorizontalPodAutoscalerStatus | undefined): FieldErrors {
  yield* notNegative("status.currentReplicas", status?.currentReplicas);
  yield* notNegative("status.desiredReplicas", status?.desiredReplicas);
}

function* referenceRules(path: string, reference: CrossVersionObjectReference | undefined): FieldErrors {
  yield* segmentRules(`${path}.kind`, reference?.kind, "");
  yield* segmentRules(`${path}.name`, reference?.name, "");
}

function* segmentRules(path: string, value: string | undefined, missing: string): FieldErrors {
  if (!value) yield required(path, missing);
  else yield* invalidEach(path, value, checkPathSegment(value));
}

function* metricRules(path: string, metric: MetricSpec): FieldErrors {
  const { type } = metric;
  if (!type) yield required(`${path}.type`, "must specify a metric source type");
  const isKnown = SOURCES.some((source) => source === type);
  if (!isKnown) yield notSupported(`${path}.type`, type, SOURCES);
  const present = SOURCE_RULES.filter(([name]) => metric[name] !== undefined);
  const [first] = present;
  if (first) yield* first[1](`${path}.${first[0]}`, metric);
  const expected = isKnown ? `${type.charAt(0).toLowerCase()}${type.slice(1)}` : "";
  if (!isKnown) yield notSupported(`${path}.type`, type, SOURCES);
  else if (!present.some(([name]) => name === expected)) {
    yield required(`${path}.${expected}`, "must populate information for the given metric source");
  }
  if (present.length === 1) return;
  for (const [name] of present) {
    if (name !== expected) yield forbidden(`${path}.${name}`, "must populate the given metric source only");
  }
}

type SourceName = "object" | "external" | "pods" | "resource" | "containerResource";

/** In upstream's order: only the first source that is there is looked into. */
const SOURCE_RULES: readonly (readonly [SourceName, (path: string, metric: MetricSpec) => FieldErrors])[] = [
  ["object", objectRules],
  ["external", externalRules],
  ["pods", podsRules],
  ["resource", resourceRules],
  ["containerResource", containerResourceRules],
];

function* objectRules(path: string, { object }: MetricSpec): FieldErrors {
  if (!object) return;
  yield* referenceRules(`${path}.describedObject`, object.describedObject);
  yield* identifierRules(`${path}.metric`, object.metric);
  yield* targetRules(`${path}.target`, object.target);
  const { value, averageValue } = object.target;
  if (value === undefined && averageValue === undefined) {
    yield required(`${path}.target.averageValue`, "must set either a target value or averageValue");
  }
}

function* externalRules(path: string, { external }: MetricSpec): FieldErrors {
  if (!external) return;
  yield* identifierRules(`${path}.metric`, external.metric);
  yield* targetRules(`${path}.target`, external.target);
  const { value, averageValue } = external.target;
  if (value === undefined && averageValue === undefined) {
    yield required(`${path}.target.averageValue`, "must set either a target value for metric or a per-pod target");
  }
  if (value !== undefined && averageValue !== undefined) {
    yield forbidden(`${path}.target.value`, "may not set both a target value for metric and a per-pod target");
  }
}

function* podsRules(path: string, { pods }: MetricSpec): FieldErrors {
  if (!pods) return;
  yield* identifierRules(`${path}.metric`, pods.metric);
  yield* targetRules(`${path}.target`, pods.target);
  if (pods.target.averageValue === undefined) {
    yield required(`${path}.target.averageValue`, "must specify a positive target averageValue");
  }
}

function* containerResourceRules(path: string, { containerResource }: MetricSpec): FieldErrors {
  if (!containerResource) return;
  const { name, container, target } = containerResource;
  if (!name) yield required(`${path}.name`, "must specify a resource name");
  if (!container) yield required(`${path}.container`, "must specify a container");
  yield* usageRules(path, target);
}

function* resourceRules(path: string, { resource }: MetricSpec): FieldErrors {
  if (!resource) return;
  if (!resource.name) yield required(`${path}.name`, "must specify a resource name");
  yield* usageRules(path, resource.target);
}

function* usageRules(path: string, target: MetricTarget): FieldErrors {
  yield* targetRules(`${path}.target`, target);
  const { averageUtilization, averageValue } = target;
  if (averageUtilization === undefined && averageValue === undefined) {
    const detail = "must set either a target raw value or a target utilization";
    yield required(`${path}.target.averageUtilization`, detail);
  }
  if (averageUtilization !== undefined && averageValue !== undefined) {
    yield forbidden(`${path}.target.averageValue`, "may not set both a target raw value and a target utilization");
  }
}

function* targetRules(path: string, { type, value, averageValue, averageUtilization }: MetricTarget): FieldErrors {
  if (!type) yield required(`${path}.type`, "must specify a metric target type");
  if (!TARGETS.includes(type)) {
    yield invalid(`${path}.type`, type, "must be either Utilization, Value, or AverageValue");
  }
  for (const [name, amount] of Object.entries({ value, averageValue })) {
    if (amount !== undefined && !isPositive(amount)) yield invalid(`${path}.${name}`, amount, "must be positive");
  }
  if (averageUtilization !== undefined && averageUtilization < 1) {
    yield invalid(`${path}.averageUtilization`, averageUtilization, "must be greater than 0");
  }
}

function* identifierRules(path: string, { name }: MetricIdentifier): FieldErrors {
  yield* segmentRules(`${path}.name`, name, "must specify a metric name");
}

function* scalingRules(path: string, rules: HPAScalingRules | undefined): FieldErrors {
  if (!rules) return;
  const { stabilizationWindowSeconds: seconds, selectPolicy, policies = [], tolerance } = rules;
  if (seconds !== undefined && seconds < 0) {
    yield invalid(`${path}.stabilizationWindowSeconds`, seconds, "must be greater than or equal to zero");
  }
  if (seconds !== undefined && seconds > MAX_WINDOW_SECONDS) {
    const detail = `must be less than or equal to ${MAX_WINDOW_SECONDS}`;
    yield invalid(`${path}.stabilizationWindowSeconds`, seconds, detail);
  }
  const choices = ["Disabled", "Max", "Min"];
  if (selectPolicy !== undefined && !choices.includes(selectPolicy)) {
    yield notSupported(`${path}.selectPolicy`, selectPolicy, choices);
  }
  if (policies.length === 0) yield required(`${path}.policies`, "must specify at least one Policy");
  for (const [index, policy] of policies.entries()) yield* policyRules(`${path}.policies[${index}]`, policy);
  if (tolerance !== undefined && parseQuantity(tolerance).compare(Quantity.zero) < 0) {
    yield invalid(`${path}.tolerance`, tolerance, NOT_NEGATIVE);
  }
}

function* policyRules(path: string, { type, value, periodSeconds }: HPAScalingPolicy): FieldErrors {
  if (type !== "Pods" && type !== "Percent") yield notSupported(`${path}.type`, type, ["Percent", "Pods"]);
  if (value <= 0) yield invalid(`${path}.value`, value, "must be greater than zero");
  if (periodSeconds <= 0) yield invalid(`${path}.periodSeconds`, periodSeconds, "must be greater than zero");
  if (periodSeconds > MAX_PERIOD_SECONDS) {
    yield invalid(`${path}.periodSeconds`, periodSeconds, `must be less than or equal to ${MAX_PERIOD_SECONDS}`);
  }
}

function isPositive(amount: string): boolean {
  return parseQuantity(amount).compare(Quantity.zero) > 0;
}
