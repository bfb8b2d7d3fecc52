/** Every pod outlives five minutes of its node being not ready or unreachable, unless it says otherwise itself. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { admitTolerations } from "@pilothouse/kinds/core/pod-admission";
import type { AdmissionPlugin } from "./admission.ts";

export const defaultTolerationSeconds: AdmissionPlugin = {
  name: "DefaultTolerationSeconds",
  operations: ["CREATE"],
  resources: ["pods"],
  admit: (_deps, { object }) => admitTolerations(object as unknown as Pod),
};
