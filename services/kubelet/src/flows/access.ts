/**
 * Who may use the kubelet's own server: the API server, and whoever the API server vouches for. Upstream's delegation: a client
 * certificate of the cluster's authority or a bearer token (TokenReview) says who it is, a SubjectAccessReview what it may.
 *
 * Answers are kept for as long as upstream keeps them: who was let in once may come in for five minutes more, whatever was taken away
 * meanwhile; a token is believed for two.
 */
import { resources, type ApiClient } from "@pilothouse/client";
import type { Clock } from "@pilothouse/clock";
import type { Logger } from "@pilothouse/telemetry";
import { forbiddenText, subresourcesOf, verbOf, type Caller } from "../core/access.ts";

export interface AccessPorts {
  readonly client: ApiClient;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface AccessOptions {
  readonly nodeName: string;
  /** Common names of the API servers' certificates: they need not ask themselves. */
  readonly apiServers: readonly string[];
}

export interface Credentials {
  /** Of a client certificate that is good. */
  readonly certificate: { readonly commonName: string; readonly organizations: readonly string[] } | undefined;
  /** Of the header `Authorization`. */
  readonly authorization: string | undefined;
}

export type Access =
  | { readonly is: "granted" }
  | { readonly is: "refused"; readonly status: 401 | 403 | 500; readonly body: string };

const TOKEN_MS = 120_000;
const ALLOWED_MS = 300_000;
const DENIED_MS = 30_000;
const MAX_KNOWN = 4_096;

const GRANTED: Access = { is: "granted" };
const UNAUTHORIZED: Access = { is: "refused", status: 401, body: "Unauthorized" };

interface Known<T> {
  readonly value: T;
  readonly untilMs: number;
}

export class KubeletAccess {
  readonly #ports: AccessPorts;
  readonly #options: AccessOptions;
  readonly #callers = new Map<string, Known<Caller>>();
  readonly #verdicts = new Map<string, Known<boolean>>();

  constructor(ports: AccessPorts, options: AccessOptions) {
    this.#ports = ports;
    this.#options = options;
  }

  /** `target` is a path with its query. Never rejects. */
  async judge(credentials: Credentials, method: string, target: string): Promise<Access> {
    const { certificate } = credentials;
    if (certificate && this.#options.apiServers.includes(certificate.commonName)) return GRANTED;
    const [path = "/"] = target.split("?", 1);
    try {
      const caller = await this.#callerOf(credentials);
      if (!caller) return UNAUTHORIZED;
      const [verb, subresources] = [verbOf(method), subresourcesOf(path)];
      for (const subresource of subresources) if (await this.#may(caller, verb, subresource)) return GRANTED;
      return { is: "refused", status: 403, body: forbiddenText(caller, verb, subresources) };
    } catch (error) {
      this.#ports.log.warn("the API server could not be asked who may use this kubelet", { error });
      return { is: "refused", status: 500, body: "Authorization error" };
    }
  }

  /** Undefined: nobody whom we know. */
  async #callerOf({ certificate, authorization }: Credentials): Promise<Caller | undefined> {
    if (certificate && certificate.commonName !== "") {
      return { name: certificate.commonName, groups: [...certificate.organizations, AUTHENTICATED] };
    }
    const [, token] = /^Bearer +(\S+)$/i.exec(authorization ?? "") ?? [];
    if (token === undefined) return undefined;
    const { client, clock } = this.#ports;
    const known = this.#callers.get(token);
    if (known && known.untilMs > clock.monotonicMs()) return known.value;
    const { status } = await client.create(resources.tokenReviews, { metadata: {}, spec: { token } });
    if (status?.authenticated !== true || !status.user?.username) return undefined;
    const { username: name, uid, groups = [], extra } = status.user;
    const caller = { name, groups, ...(uid === undefined ? {} : { uid }), ...(extra ? { extra } : {}) };
    remember(this.#callers, token, { value: caller, untilMs: clock.monotonicMs() + TOKEN_MS });
    return caller;
  }

  async #may(caller: Caller, verb: string, subresource: string): Promise<boolean> {
    const { client, clock } = this.#ports;
    const { name: user, uid, groups, extra } = caller;
    const key = JSON.stringify([caller, verb, subresource]);
    const known = this.#verdicts.get(key);
    if (known && known.untilMs > clock.monotonicMs()) return known.value;
    const { status } = await client.create(resources.subjectAccessReviews, {
      metadata: {},
      spec: {
        resourceAttributes: { verb, version: "v1", resource: "nodes", subresource, name: this.#options.nodeName },
        user,
        groups: [...groups],
        ...(uid === undefined ? {} : { uid }),
        ...(extra ? { extra: Object.fromEntries(Object.entries(extra).map(([name, list]) => [name, [...list]])) } : {}),
      },
    });
    const isAllowed = status?.allowed ?? false;
    const untilMs = clock.monotonicMs() + (isAllowed ? ALLOWED_MS : DENIED_MS);
    remember(this.#verdicts, key, { value: isAllowed, untilMs });
    return isAllowed;
  }
}

const AUTHENTICATED = "system:authenticated";

/** The oldest goes: nobody fills the memory by asking. */
function remember<T>(known: Map<string, Known<T>>, key: string, value: Known<T>): void {
  known.delete(key);
  const [oldest] = known.keys();
  if (known.size >= MAX_KNOWN && oldest !== undefined) known.delete(oldest);
  known.set(key, value);
}
