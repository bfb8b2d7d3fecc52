/** Metrics as autoscaling/v1 writes them into annotations, flat, and as v2 has them. What is absent stays absent. */
import type { MetricSpec, MetricStatus } from "@pilothouse/api/types/autoscaling-v2";

/** What an annotation holds is anybody's: nothing of it is taken for granted. */
type Loose = Readonly<Record<string, unknown>>;
type Part = Readonly<Record<string, Loose | undefined>>;

export function metricToV1(spec: MetricSpec): object {
  const { type, object, pods, resource, containerResource, external } = spec;
  return present({
    type,
    object:
      object &&
      present({
        target: object.describedObject,
        metricName: object.metric.name,
        targetValue: object.target.value ?? "0",
        selector: object.metric.selector,
        averageValue: object.target.averageValue,
      }),
    pods:
      pods &&
      present({
        metricName: pods.metric.name,
        targetAverageValue: pods.target.averageValue,
        selector: pods.metric.selector,
      }),
    resource: resource && usageToV1(resource),
    containerResource: containerResource && { ...usageToV1(containerResource), container: containerResource.container },
    external:
      external &&
      present({
        metricName: external.metric.name,
        metricSelector: external.metric.selector,
        targetValue: external.target.value,
        targetAverageValue: external.target.averageValue,
      }),
  });
}

export function metricFromV1(given: Loose): MetricSpec {
  const { type, object, pods, resource, containerResource, external } = given as Part;
  const targetOf = (value: unknown, averageValue: unknown): object =>
    present({ type: averageValue === undefined ? "Value" : "AverageValue", value, averageValue });
  return present({
    type,
    object:
      object &&
      present({
        describedObject: object["target"],
        metric: metricOf(object["metricName"], object["selector"]),
        target: targetOf(
          object["averageValue"] !== undefined && object["targetValue"] === "0" ? undefined : object["targetValue"],
          object["averageValue"],
        ),
      }),
    pods: pods && {
      metric: metricOf(pods["metricName"], pods["selector"]),
      target: targetOf(undefined, pods["targetAverageValue"]),
    },
    resource: resource && usageFromV1(resource),
    containerResource: containerResource && {
      ...usageFromV1(containerResource),
      container: containerResource["container"],
    },
    external: external && {
      metric: metricOf(external["metricName"], external["metricSelector"]),
      target: targetOf(external["targetValue"], external["targetAverageValue"]),
    },
  }) as MetricSpec;
}

export function statusToV1(status: MetricStatus): object {
  const { type, object, pods, resource, containerResource, external } = status;
  return present({
    type,
    object:
      object &&
      present({
        target: object.describedObject,
        metricName: object.metric.name,
        currentValue: object.current.value ?? "0",
        selector: object.metric.selector,
        averageValue: object.current.averageValue,
      }),
    pods:
      pods &&
      present({
        metricName: pods.metric.name,
        currentAverageValue: pods.current.averageValue ?? "0",
        selector: pods.metric.selector,
      }),
    resource: resource && usedToV1(resource),
    containerResource: containerResource && { ...usedToV1(containerResource), container: containerResource.container },
    external:
      external &&
      present({
        metricName: external.metric.name,
        metricSelector: external.metric.selector,
        currentValue: external.current.value ?? "0",
        currentAverageValue: external.current.averageValue,
      }),
  });
}

export function statusFromV1(given: Loose): MetricStatus {
  const { type, object, pods, resource, containerResource, external } = given as Part;
  return present({
    type,
    object: object && {
      describedObject: object["target"],
      metric: metricOf(object["metricName"], object["selector"]),
      current: present({ value: object["currentValue"], averageValue: object["averageValue"] }),
    },
    pods: pods && {
      metric: metricOf(pods["metricName"], pods["selector"]),
      current: present({ averageValue: pods["currentAverageValue"] }),
    },
    resource: resource && usedFromV1(resource),
    containerResource: containerResource && {
      ...usedFromV1(containerResource),
      container: containerResource["container"],
    },
    external: external && {
      metric: metricOf(external["metricName"], external["metricSelector"]),
      current: present({ value: external["currentValue"], averageValue: external["currentAverageValue"] }),
    },
  }) as unknown as MetricStatus;
}

function usageToV1({ name, target }: NonNullable<MetricSpec["resource"]>): object {
  return present({
    name,
    targetAverageUtilization: target.averageUtilization,
    targetAverageValue: target.averageValue,
  });
}

function usageFromV1(given: Loose): object {
  const averageUtilization = given["targetAverageUtilization"];
  const averageValue = given["targetAverageValue"];
  const type = averageUtilization === undefined ? "AverageValue" : "Utilization";
  return { name: given["name"], target: present({ type, averageValue, averageUtilization }) };
}

function usedToV1({ name, current }: NonNullable<MetricStatus["resource"]>): object {
  return present({
    name,
    currentAverageUtilization: current.averageUtilization,
    currentAverageValue: current.averageValue ?? "0",
  });
}

function usedFromV1(given: Loose): object {
  return {
    name: given["name"],
    current: present({
      averageUtilization: given["currentAverageUtilization"],
      averageValue: given["currentAverageValue"],
    }),
  };
}

function metricOf(name: unknown, selector: unknown): object {
  return present({ name, selector });
}

function present(fields: Record<string, unknown>): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null));
}
