/**
 * The tokens controller: a Secret of type kubernetes.io/service-account-token gets its token, the API's authority and its
 * namespace, and goes with its account. Only a controller-manager that was given the key of these tokens runs it.
 *
 * Promises: what it writes or deletes rests on a consistent read of the account (C13); a token that stands is not replaced.
 */
import type { Secret, ServiceAccount } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { done, followChanges, OwnWrites } from "@pilothouse/controller";
import type { Outcome, ReconcileContext } from "@pilothouse/controller";
import type { LegacyTokenClaims } from "@pilothouse/crypto";
import { keyOf, splitKey } from "@pilothouse/informer";
import { WorkQueue } from "@pilothouse/workqueue";
import type { ControllerPorts } from "../../controller-ports.ts";
import type { Cause } from "../../executor.ts";
import { BY_ACCOUNT } from "../../informers.ts";
import { startWorkers } from "../../start-workers.ts";
import { ACCOUNT_NAME, base64, plan, type TokenStep } from "./plan.ts";

const NAME = "serviceaccount-token";
const WORKERS = 2;

export function startServiceAccountTokenController(ports: ControllerPorts): void {
  const { clock, telemetry, scope, informers, config, onRootCaChange } = ports;
  if (!config.signAccountToken) return;
  const { tokenSecrets, serviceAccounts } = informers;
  const queue = new WorkQueue({ name: NAME, clock, tracer: telemetry.tracer });
  followChanges(scope, tokenSecrets, ({ object, trace }) => void queue.add(keyOf(object), trace));
  followChanges(scope, serviceAccounts, ({ object, trace }) => {
    for (const secret of tokenSecrets.byIndex(BY_ACCOUNT, keyOf(object))) queue.add(keyOf(secret), trace);
  });
  onRootCaChange(() => {
    for (const secret of tokenSecrets.list()) queue.add(keyOf(secret));
  });
  const controller = new TokenController(ports, config.signAccountToken);
  startWorkers(ports, { name: NAME, queue, workers: WORKERS, controller });
}

class TokenController {
  readonly #ports: ControllerPorts;
  readonly #sign: (claims: LegacyTokenClaims) => Promise<string>;
  readonly ownWrites = new OwnWrites();

  constructor(ports: ControllerPorts, sign: (claims: LegacyTokenClaims) => Promise<string>) {
    this.#ports = ports;
    this.#sign = sign;
  }

  async reconcile(key: string, { trace, signal }: ReconcileContext): Promise<Outcome> {
    const { informers } = this.#ports;
    const { namespace, name } = splitKey(key);
    const secret = informers.tokenSecrets.get(namespace, name);
    if (!secret) {
      this.ownWrites.forget(key);
      return done;
    }
    const account = informers.serviceAccounts.get(namespace, accountOf(secret));
    if (this.#plan(secret, account).do === "nothing") return done;
    const cause: Cause = { key, trace, signal, ownWrites: this.ownWrites };
    await this.#carryOut(secret, this.#plan(secret, await this.#readAccount(secret, cause)), cause);
    return done;
  }

  #plan(secret: Secret, account: ServiceAccount | undefined): TokenStep {
    return plan(secret, account, this.#ports.config.rootCa());
  }

  #readAccount(secret: Secret, cause: Cause): Promise<ServiceAccount | undefined> {
    const { namespace = "" } = secret.metadata;
    return this.#ports.executor.read(resources.serviceAccounts, namespace, accountOf(secret), cause);
  }

  async #carryOut(seen: Secret, step: TokenStep, cause: Cause): Promise<void> {
    const { executor, informers } = this.#ports;
    switch (step.do) {
      case "nothing":
        return;
      case "delete":
        return executor.delete(informers.tokenSecrets, seen, cause);
      case "fill": {
        const { secret, claims } = step;
        const token = claims && { token: base64(await this.#sign(claims)) };
        await executor.update(informers.tokenSecrets, { ...secret, data: { ...secret.data, ...token } }, cause);
        return;
      }
    }
  }
}

const accountOf = ({ metadata }: Secret): string => metadata.annotations?.[ACCOUNT_NAME] ?? "";
