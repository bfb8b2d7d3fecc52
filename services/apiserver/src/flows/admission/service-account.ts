/** Gives a pod its identity: the account that it names, or `default`, must exist; its token is mounted. */
import type { Pod, ServiceAccount } from "@pilothouse/api/types/core-v1";
import { sleep } from "@pilothouse/clock";
import { forbidden } from "@pilothouse/errors";
import { admitServiceAccount, serviceAccountNameOf } from "@pilothouse/kinds/core/pod-admission";
import { randomSuffix } from "../../core/names.ts";
import { known } from "../../registry/known.ts";
import type { AdmissionDeps, AdmissionPlugin, AdmissionRequest } from "./admission.ts";

export const serviceAccount: AdmissionPlugin = {
  name: "ServiceAccount",
  operations: ["CREATE"],
  resources: ["pods"],
  async admit(deps, request) {
    const pod = request.object as unknown as Pod;
    if (pod.metadata.annotations?.["kubernetes.io/config.mirror"] !== undefined) return;
    const account = await accountOf(pod, deps, request);
    admitServiceAccount(pod, account, randomSuffix(deps.time.random));
  },
};

/** A controller makes the account `default` of a new namespace: who is faster than it waits for it a little, as upstream has it. */
async function accountOf(
  pod: Pod,
  { cached, time }: AdmissionDeps,
  request: AdmissionRequest,
): Promise<ServiceAccount> {
  const { kind, context } = request;
  const { signal } = context.request;
  const { namespace = "", name = "" } = pod.metadata;
  const wanted = serviceAccountNameOf(pod);
  const find = (): ServiceAccount | undefined => cached.get(known.serviceAccounts, namespace, wanted);
  const found = (): ServiceAccount => {
    const account = find();
    if (account) return account;
    const why = `error looking up service account ${namespace}/${wanted}: serviceaccount ${JSON.stringify(wanted)} not found`;
    throw forbidden(kind, name, why);
  };
  const mayCome = wanted === DEFAULT_ACCOUNT;
  for (let tries = mayCome ? 1 : MOST_TRIES; !find() && tries < MOST_TRIES; tries++)
    await sleep(time.clock, LEAST_PAUSE_MS * (1 + time.random.next()), signal);
  return cached.judge(found, signal);
}

const DEFAULT_ACCOUNT = "default";
const MOST_TRIES = 10;
const LEAST_PAUSE_MS = 100;
