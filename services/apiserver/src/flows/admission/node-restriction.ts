/** A kubelet may touch its own node, its pods and what they name, nothing else. */
import { forbidden } from "@pilothouse/errors";
import { nodeDeleteProblem, nodeWriteProblem } from "../../core/access/node-authorizer.ts";
import { nodeOf } from "../../core/access/users.ts";
import type { AdmissionPlugin } from "./admission.ts";

export const nodeRestriction: AdmissionPlugin = {
  name: "NodeRestriction",
  operations: ["CREATE", "UPDATE", "DELETE"],
  subresources: "*",
  admit(_deps, { context, kind, object, old }) {
    const node = nodeOf(context.user);
    if (node === undefined) return;
    const problem = object
      ? nodeWriteProblem(node, kind.resource, object, old)
      : nodeDeleteProblem(node, kind.resource, context.info.subresource, old);
    if (problem !== undefined) throw forbidden(kind, (object ?? old).metadata.name ?? "", problem);
  },
};
