import type { KubernetesObject } from "@pilothouse/client";
import type { Informer, InformerChange } from "@pilothouse/informer";
import type { Scope } from "@pilothouse/lifecycle";

/** Reacts to what the informer holds, as if it had just been added, and to every change until the scope closes. */
export function followChanges<T extends KubernetesObject>(
  scope: Scope,
  informer: Informer<T>,
  react: (change: InformerChange<T>) => void,
): void {
  scope.defer(informer.onChange(react));
  for (const object of informer.list()) react({ type: "added", object, trace: undefined });
}
