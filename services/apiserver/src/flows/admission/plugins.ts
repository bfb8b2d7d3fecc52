/** The plugins that are on, in upstream's order. */
import type { AdmissionPlugin } from "./admission.ts";
import { certificateRequestor } from "./certificate-requestor.ts";
import { certificateSubjectRestriction } from "./certificate-subject-restriction.ts";
import { defaultIngressClass } from "./default-ingress-class.ts";
import { defaultStorageClass } from "./default-storage-class.ts";
import { defaultTolerationSeconds } from "./default-toleration-seconds.ts";
import { limitRanger } from "./limit-ranger.ts";
import { nodeRestriction } from "./node-restriction.ts";
import { podSecurity } from "./pod-security.ts";
import { priority } from "./priority.ts";
import { runtimeClass } from "./runtime-class.ts";
import { serviceAccount } from "./service-account.ts";
import { storageObjectInUseProtection } from "./storage-object-in-use-protection.ts";
import { taintNodesByCondition } from "./taint-nodes-by-condition.ts";

export const ADMISSION_PLUGINS: readonly AdmissionPlugin[] = [
  // NamespaceLifecycle is not here: it is judged in the transaction of the write itself (writes/namespace-gate.ts).
  // Nor is ResourceQuota, upstream's last: what a write costs is charged in that transaction too (writes/charge.ts).
  certificateRequestor,
  limitRanger,
  serviceAccount,
  nodeRestriction,
  taintNodesByCondition,
  podSecurity,
  priority,
  defaultTolerationSeconds,
  defaultStorageClass,
  storageObjectInUseProtection,
  runtimeClass,
  certificateSubjectRestriction,
  defaultIngressClass,
];
