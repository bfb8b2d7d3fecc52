/** Pods as templates describe them. Pure. */
import type { Pod, PodTemplateSpec } from "@pilothouse/api/types/core-v1";
import { controllerReference, type Controller } from "./ownership.ts";

/** Without its name, which is the caller's to choose. */
export function podFromTemplate(template: PodTemplateSpec | undefined, owner: Controller): Pod {
  const { metadata: { labels, annotations, finalizers } = {}, spec } = template ?? {};
  const { name = "", namespace = "" } = owner.metadata;
  return {
    metadata: {
      generateName: `${name}-`,
      namespace,
      ...(labels ? { labels } : {}),
      ...(annotations ? { annotations } : {}),
      ...(finalizers ? { finalizers } : {}),
      ownerReferences: [controllerReference(owner)],
    },
    spec: spec ?? { containers: [] },
  };
}
