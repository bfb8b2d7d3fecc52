/** What a pod needs from the API before its containers can be made: ConfigMaps, Secrets, tokens, Services. Read when needed, never kept. */
import type {
  ConfigMap,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  Secret,
  Service,
} from "@pilothouse/api/types/core-v1";
import { resources, type ApiClient, type KubernetesObject, type ResourceType } from "@pilothouse/client";
import type { Clock } from "@pilothouse/clock";
import { isStatus } from "@pilothouse/errors";
import { claimsOf } from "@pilothouse/kinds/core/volume-binding";
import type { TraceContext } from "@pilothouse/telemetry";
import {
  referencedObjects,
  tokenRequests,
  type MountedObject,
  type TokenRequest,
  type VolumeSources,
} from "../core/volumes.ts";

export interface PodInputs {
  readonly sources: VolumeSources;
  readonly services: readonly Service[];
}

export interface InputPorts {
  readonly client: ApiClient;
  /** All Services, as the kubelet follows them. */
  readonly services: () => readonly Service[];
  readonly clock: Clock;
}

interface Token {
  readonly text: string;
  readonly renewAtMs: number;
}

/** A token is renewed when 80 % of its life, or a day, is over. */
const RENEW_AFTER = 0.8;
const DAY_MS = 86_400_000;

/** The inputs of one pod; keeps its tokens until they must be renewed. */
export class InputReader {
  readonly #ports: InputPorts;
  readonly #tokens = new Map<string, Token>();
  /** As they were read last, by `resource/name`; "" for what was not there. */
  readonly #versions = new Map<string, string>();

  constructor(ports: InputPorts) {
    this.#ports = ports;
  }

  /** The version of a ConfigMap or Secret that was read last; undefined when none was. */
  versionOf({ resource, name }: MountedObject): string | undefined {
    return this.#versions.get(`${resource}/${name}`);
  }

  async read(pod: Pod, trace: TraceContext | undefined): Promise<PodInputs> {
    const wanted = referencedObjects(pod);
    const [configMaps, secrets, claims, tokens] = await Promise.all([
      this.#readAll<ConfigMap>(resources.configMaps, pod, wanted.configMaps, trace),
      this.#readAll<Secret>(resources.secrets, pod, wanted.secrets, trace),
      this.#readAll<PersistentVolumeClaim>(resources.persistentVolumeClaims, pod, claimsOf(pod), trace),
      this.#readTokens(pod, trace),
    ]);
    const volumes = await this.#readVolumes([...claims.values()], trace);
    return {
      services: this.#ports.services(),
      sources: {
        configMap: (name) => configMaps.get(name),
        secret: (name) => secrets.get(name),
        claimed: (name) => {
          const claim = claims.get(name);
          return claim && { claim, volume: volumes.get(claim.spec.volumeName ?? "") };
        },
        token: (request) => tokens.get(keyOf(request)),
      },
    };
  }

  async #readAll<T extends KubernetesObject>(
    type: ResourceType<T>,
    pod: Pod,
    names: readonly string[],
    trace: TraceContext | undefined,
  ): Promise<ReadonlyMap<string, T>> {
    const found = new Map<string, T>();
    const read = async (name: string): Promise<void> => {
      try {
        const object = await this.#ports.client.get(type, pod.metadata.namespace ?? "", name, { trace });
        found.set(name, object);
        this.#versions.set(`${type.resource}/${name}`, object.metadata.resourceVersion ?? "");
      } catch (error) {
        if (!isStatus(error, "NotFound")) throw error;
        this.#versions.set(`${type.resource}/${name}`, "");
      }
    };
    await Promise.all(names.map(read));
    return found;
  }

  /** Volumes belong to no namespace. Those that are not there yet are left out. */
  async #readVolumes(
    claims: readonly PersistentVolumeClaim[],
    trace: TraceContext | undefined,
  ): Promise<ReadonlyMap<string, PersistentVolume>> {
    const found = new Map<string, PersistentVolume>();
    for (const { spec } of claims) {
      if (!spec.volumeName) continue;
      try {
        found.set(
          spec.volumeName,
          await this.#ports.client.get(resources.persistentVolumes, "", spec.volumeName, { trace }),
        );
      } catch (error) {
        if (!isStatus(error, "NotFound")) throw error;
      }
    }
    return found;
  }

  async #readTokens(pod: Pod, trace: TraceContext | undefined): Promise<ReadonlyMap<string, string>> {
    const result = new Map<string, string>();
    for (const request of tokenRequests(pod)) result.set(keyOf(request), await this.#token(pod, request, trace));
    return result;
  }

  async #token(pod: Pod, request: TokenRequest, trace: TraceContext | undefined): Promise<string> {
    const { client, clock } = this.#ports;
    const nowMs = clock.now();
    const known = this.#tokens.get(keyOf(request));
    if (known && known.renewAtMs > nowMs) return known.text;
    const { name, namespace = "", uid } = pod.metadata;
    const answer = await client.createSubresource<{ status?: { token?: string; expirationTimestamp?: string } }>(
      resources.serviceAccounts,
      namespace,
      pod.spec.serviceAccountName ?? "default",
      "token",
      {
        kind: "TokenRequest",
        apiVersion: "authentication.k8s.io/v1",
        metadata: {},
        spec: {
          audiences: request.audience === "" ? [] : [request.audience],
          expirationSeconds: request.expirationSeconds,
          boundObjectRef: { kind: "Pod", apiVersion: "v1", name, uid },
        },
      },
      { trace },
    );
    const text = answer.status?.token ?? "";
    const expiresAtMs =
      Date.parse(answer.status?.expirationTimestamp ?? "") || nowMs + request.expirationSeconds * 1000;
    const renewAtMs = nowMs + Math.min(DAY_MS, (expiresAtMs - nowMs) * RENEW_AFTER);
    this.#tokens.set(keyOf(request), { text, renewAtMs });
    return text;
  }
}

function keyOf({ audience, expirationSeconds }: TokenRequest): string {
  return `${audience} ${expirationSeconds}`;
}
