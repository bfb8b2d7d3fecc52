/** All targets of the fuzzer. */
import type { Target } from "../target.ts";
import { json, protobuf, yaml } from "./codec.ts";
import { kindRules } from "./kinds.ts";
import { patches } from "./patches.ts";
import { paths } from "./paths.ts";
import { requests } from "./requests.ts";
import { continueTokens, mediaTypes, quantities, selectors } from "./texts.ts";

export const targets: readonly Target[] = [
  json,
  yaml,
  protobuf,
  patches,
  kindRules,
  selectors,
  quantities,
  paths,
  mediaTypes,
  continueTokens,
  requests,
];

export function targetNamed(name: string): Target {
  const target = targets.find((candidate) => candidate.name === name);
  if (!target) throw new Error(`no target ${name}: there are ${targets.map((one) => one.name).join(", ")}`);
  return target;
}
