/** What is allowed in a pod, but hardly meant. */
import type { Container, PodSpec } from "@pilothouse/api/types/core-v1";
import { checkDns1123Label } from "@pilothouse/selectors/names";

/** `name`: the pod's; undefined for templates, whose pods get names of their own. */
export function podWarnings(spec: PodSpec, path: string, name?: string): readonly string[] {
  const containers = [
    ...(spec.initContainers ?? []).map((container, index) => [container, `${path}.initContainers[${index}]`] as const),
    ...(spec.containers ?? []).map((container, index) => [container, `${path}.containers[${index}]`] as const),
  ];
  return [
    ...nameWarnings(name),
    ...pullSecretWarnings(spec, path),
    ...graceWarnings(spec, path),
    ...containers.flatMap(([container, at]) => containerWarnings(container, at)),
  ];
}

function nameWarnings(name: string | undefined): readonly string[] {
  const texts = name === undefined || name === "" ? [] : checkDns1123Label(name);
  if (texts.length === 0) return [];
  return [
    "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; " +
      `a DNS label is recommended: [${texts.join(" ")}]`,
  ];
}

function pullSecretWarnings({ imagePullSecrets = [] }: PodSpec, path: string): readonly string[] {
  return imagePullSecrets.flatMap(({ name }, index) =>
    name ? [] : [`${path}.imagePullSecrets[${index}]: invalid empty name ""`],
  );
}

function graceWarnings({ terminationGracePeriodSeconds: seconds = 0 }: PodSpec, path: string): readonly string[] {
  if (seconds >= 0) return [];
  return [`${path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1`];
}

function containerWarnings({ env = [], resources }: Container, path: string): readonly string[] {
  const hidden = env.flatMap(({ name }, index) =>
    env.slice(0, index).some((earlier) => earlier.name === name)
      ? [`${path}.env[${index}]: hides previous definition of "${name}", which may be dropped when using apply`]
      : [],
  );
  const fractions = (["limits", "requests"] as const).flatMap((what) =>
    ["memory", "ephemeral-storage"].flatMap((name) => {
      const amount = resources?.[what]?.[name];
      const isFraction = amount !== undefined && /^[0-9.]+m$/.test(amount) && !/^[0-9]+000m$/.test(amount);
      return isFraction
        ? [`${path}.resources.${what}[${name}]: fractional byte value "${amount}" is invalid, must be an integer`]
        : [];
    }),
  );
  return [...hidden, ...fractions];
}
