/** autoscaling/v2 HorizontalPodAutoscaler: how many replicas something may have, and what decides. */
import type {
  CrossVersionObjectReference,
  HPAScalingRules,
  HorizontalPodAutoscaler,
  MetricSpec,
  MetricStatus,
} from "@pilothouse/api/types/autoscaling-v2";
import { AGE, shown } from "../columns.ts";
import { firstErrors } from "../field-errors.ts";
import { keepField } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { STATUS } from "../subresources.ts";
import { autoscalerRules, autoscalerStatusRules } from "./autoscaler-rules.ts";

const DEFAULT_CPU_PERCENT = 80;
/** More are counted only. */
const METRICS_SHOWN = 2;

export const horizontalPodAutoscaler: KindDefinition<HorizontalPodAutoscaler> = {
  group: "autoscaling",
  version: "v2",
  kind: "HorizontalPodAutoscaler",
  resource: "horizontalpodautoscalers",
  singular: "horizontalpodautoscaler",
  shortNames: ["hpa"],
  categories: ["all"],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [STATUS],
  depth: "full",
  defaults: (autoscaler) => {
    const spec = (autoscaler.spec ??= { scaleTargetRef: NOTHING(), maxReplicas: 0 });
    spec.scaleTargetRef ??= NOTHING();
    spec.maxReplicas ??= 0;
    spec.minReplicas ??= 1;
    if ((spec.metrics ?? []).length === 0) {
      const target = { type: "Utilization", averageUtilization: DEFAULT_CPU_PERCENT };
      spec.metrics = [{ type: "Resource", resource: { name: "cpu", target } }];
    }
    (spec.metrics ?? []).forEach(completeMetric);
    const { behavior } = spec;
    if (!behavior) return;
    behavior.scaleUp = { ...SCALE_UP(), ...set(behavior.scaleUp) };
    behavior.scaleDown = { ...SCALE_DOWN(), ...set(behavior.scaleDown) };
  },
  prepareForCreate: (autoscaler) => {
    delete autoscaler.status;
  },
  prepareForUpdate: (autoscaler, old) => keepField(autoscaler, old, "status"),
  prepareForStatusUpdate: (autoscaler, old) => keepField(autoscaler, old, "spec"),
  validate: ({ spec }) => firstErrors(autoscalerRules(spec)),
  validateStatusUpdate: ({ status }) => firstErrors(autoscalerStatusRules(status)),
  columns: [
    shown("Reference", ({ spec }) => `${spec.scaleTargetRef.kind}/${spec.scaleTargetRef.name}`, "What is scaled."),
    shown(
      "Targets",
      ({ spec, status }) => targetsText(spec.metrics ?? [], status?.currentMetrics ?? []),
      "What decides.",
    ),
    shown(
      "MinPods",
      ({ spec }) => (spec.minReplicas === undefined ? "<unset>" : String(spec.minReplicas)),
      "The fewest.",
    ),
    shown("MaxPods", ({ spec }) => spec.maxReplicas, "The most."),
    shown("Replicas", ({ status }) => status?.currentReplicas ?? 0, "How many there are."),
    AGE,
  ],
  ageColumn: false,
};

const NOTHING = (): CrossVersionObjectReference => ({ kind: "", name: "" });

/** Structures that every metric of its type has: rules look into them. In place. */
function completeMetric({ object, pods, external, resource, containerResource }: MetricSpec): void {
  if (object) object.describedObject ??= NOTHING();
  for (const source of [object, pods, external]) if (source) source.metric ??= { name: "" };
  for (const source of [object, pods, external, resource, containerResource]) {
    if (source) source.target ??= { type: "" };
  }
}

const SCALE_UP = (): HPAScalingRules => ({
  stabilizationWindowSeconds: 0,
  selectPolicy: "Max",
  policies: [
    { type: "Pods", value: 4, periodSeconds: 15 },
    { type: "Percent", value: 100, periodSeconds: 15 },
  ],
});

const SCALE_DOWN = (): HPAScalingRules => ({
  selectPolicy: "Max",
  policies: [{ type: "Percent", value: 100, periodSeconds: 15 }],
});

/** What is there of the rules: an absent field does not hide a default. */
function set(rules: HPAScalingRules | undefined): Partial<HPAScalingRules> {
  return Object.fromEntries(Object.entries(rules ?? {}).filter(([, value]) => value !== undefined && value !== null));
}

function targetsText(specs: readonly MetricSpec[], statuses: readonly MetricStatus[]): string {
  if (specs.length === 0) return "<none>";
  const texts = specs.slice(0, METRICS_SHOWN).map((spec, index) => targetText(spec, statuses[index]));
  const more = specs.length - METRICS_SHOWN;
  return more > 0 ? `${texts.join(", ")} + ${more} more...` : texts.join(", ");
}

function targetText(spec: MetricSpec, status: MetricStatus | undefined): string {
  const { external, pods, object, resource, containerResource } = spec;
  const single = external ?? object;
  if (single) {
    const current = (external ? status?.external : status?.object)?.current;
    const { averageValue, value } = single.target;
    if (averageValue !== undefined) return `${current?.averageValue ?? UNKNOWN}/${averageValue} (avg)`;
    return `${current?.value ?? UNKNOWN}/${value ?? UNKNOWN}`;
  }
  if (pods) return `${status?.pods?.current?.averageValue ?? UNKNOWN}/${pods.target.averageValue ?? UNKNOWN}`;
  const used = resource ?? containerResource;
  if (!used) return "<unknown type>";
  const current = (resource ? status?.resource : status?.containerResource)?.current;
  const { averageValue, averageUtilization } = used.target;
  if (averageValue !== undefined) return `${used.name}: ${current?.averageValue ?? UNKNOWN}/${averageValue}`;
  return `${used.name}: ${percent(current?.averageUtilization, UNKNOWN)}/${percent(averageUtilization, "<auto>")}`;
}

const UNKNOWN = "<unknown>";

function percent(value: number | undefined, otherwise: string): string {
  return value === undefined ? otherwise : `${value}%`;
}
