/** Gives a pod its identity: the account that it names, or `default`, must exist; its token is mounted. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { forbidden } from "@pilothouse/errors";
import { admitServiceAccount, serviceAccountNameOf } from "@pilothouse/kinds/core/pod-admission";
import { randomSuffix } from "../../core/names.ts";
import { known } from "../../registry/known.ts";
import type { AdmissionPlugin } from "./admission.ts";

export const serviceAccount: AdmissionPlugin = {
  name: "ServiceAccount",
  operations: ["CREATE"],
  resources: ["pods"],
  async admit({ cached, time }, { object, kind, context }) {
    const pod = object as unknown as Pod;
    const { namespace = "", name = "", annotations } = pod.metadata;
    if (annotations?.["kubernetes.io/config.mirror"] !== undefined) return;
    const wanted = serviceAccountNameOf(pod);
    const account = await cached.judge(() => {
      const found = cached.get(known.serviceAccounts, namespace, wanted);
      if (found) return found;
      const why = `error looking up service account ${namespace}/${wanted}: serviceaccount ${JSON.stringify(wanted)} not found`;
      throw forbidden(kind, name, why);
    }, context.request.signal);
    admitServiceAccount(pod, account, randomSuffix(time.random));
  },
};
