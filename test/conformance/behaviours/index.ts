/** All behaviours that are written. */
import { behavioursOf } from "../behaviour.ts";
import { ownersAndNamespaces } from "./apimachinery/owners-and-namespaces.ts";
import { serving } from "./apimachinery/serving.ts";
import { watches } from "./apimachinery/watches.ts";
import { budgetsAndQuotas } from "./apps/budgets-and-quotas.ts";
import { jobs } from "./apps/jobs.ts";
import { replicas } from "./apps/replicas.ts";
import { sets } from "./apps/sets.ts";
import { accounts } from "./auth/accounts.ts";
import { changingPods } from "./common-node/changing-pods.ts";
import { environments } from "./common-node/environment.ts";
import { pods } from "./common-node/pods.ts";
import { probes } from "./common-node/probes.ts";
import { security } from "./common-node/security.ts";
import { dataVolumes } from "./common-storage/data-volumes.ts";
import { downwardVolumes } from "./common-storage/downward-volumes.ts";
import { emptyDir } from "./common-storage/empty-dir.ts";
import { imageVolumes } from "./common-storage/image-volumes.ts";
import { kinds } from "./kinds.ts";
import { commands } from "./kubectl/commands.ts";
import { names } from "./network/names.ts";
import { proxy } from "./network/proxy.ts";
import { services } from "./network/services.ts";
import { placement } from "./scheduling/placement.ts";
import { subPath } from "./storage/sub-path.ts";

export const BEHAVIOURS = behavioursOf(
  accounts,
  budgetsAndQuotas,
  changingPods,
  commands,
  ownersAndNamespaces,
  serving,
  watches,
  replicas,
  environments,
  pods,
  probes,
  security,
  dataVolumes,
  downwardVolumes,
  emptyDir,
  imageVolumes,
  jobs,
  kinds,
  names,
  placement,
  proxy,
  services,
  sets,
  subPath,
);
