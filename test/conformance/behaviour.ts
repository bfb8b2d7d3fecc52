/**
 * A behaviour of Kubernetes that upstream's conformance suite asks for, told anew from its description: one of upstream's names, and
 * what must hold on a running cluster. Behaviours know nothing of how the cluster is made.
 */
import type { Trial } from "./trial.ts";

export interface Behaviour {
  /** Upstream's name of the test, as upstream.json has it. */
  readonly name: string;
  /** Resolves if it holds; throws what does not. */
  readonly holds: (trial: Trial) => Promise<void>;
}

/** What a behaviour throws on a cluster that is too small to show it: that says nothing about Kubernetes. */
export class TooSmall extends Error {
  override readonly name = "TooSmall";
}

/** Behaviours by upstream's names: what a file of `behaviours/` exports. */
export type Behaviours = Readonly<Record<string, (trial: Trial) => Promise<void>>>;

export function behavioursOf(...files: readonly Behaviours[]): readonly Behaviour[] {
  return files.flatMap((file) => Object.entries(file).map(([name, holds]) => ({ name, holds })));
}

/** Upstream marks what hurts others, or is hurt by them: such a behaviour is tried alone. */
export function isSerial(name: string): boolean {
  return name.includes("[Serial]") || name.includes("[Disruptive]");
}
