/** A small scenario for each controller, one for the scheduler and one for the kubelet; proxy and dns write nothing to the API. To add one: a row here; the sweep finds its points itself. */
import type { Scenario } from "./scenario.ts";
import { certificates } from "./scenarios/certificates.ts";
import { jobs } from "./scenarios/jobs.ts";
import { kubelet } from "./scenarios/kubelet.ts";
import { namespaces } from "./scenarios/namespaces.ts";
import { nodes } from "./scenarios/nodes.ts";
import { owners } from "./scenarios/owners.ts";
import { roles } from "./scenarios/roles.ts";
import { policies } from "./scenarios/policies.ts";
import { services } from "./scenarios/services.ts";
import { tokens } from "./scenarios/tokens.ts";
import { volumes } from "./scenarios/volumes.ts";
import { workloads } from "./scenarios/workloads.ts";

export const scenarios: readonly Scenario[] = [
  ...workloads,
  ...jobs,
  ...services,
  ...namespaces,
  ...tokens,
  ...owners,
  ...policies,
  ...nodes,
  ...certificates,
  ...volumes,
  ...roles,
  kubelet,
];
