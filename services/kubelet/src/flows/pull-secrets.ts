/** Registry passwords out of a pod's `imagePullSecrets`. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import type { ImageAuth } from "@pilothouse/runtime";
import { bytesOfBase64, type PodSources } from "../core/environment.ts";

interface DockerConfig {
  readonly auths?: Readonly<Record<string, { username?: string; password?: string; auth?: string }>>;
}

/** What cannot be read is passed over: the pull then fails with the registry's own words. */
export function pullSecrets(pod: Pod, sources: PodSources): readonly ImageAuth[] {
  return (pod.spec.imagePullSecrets ?? []).flatMap(({ name = "" }) => {
    const text = sources.secret(name)?.data?.[".dockerconfigjson"];
    if (text === undefined) return [];
    try {
      const config = JSON.parse(new TextDecoder().decode(bytesOfBase64(text))) as DockerConfig;
      return Object.entries(config.auths ?? {}).map(([serverAddress, auth]) => ({ serverAddress, ...login(auth) }));
    } catch {
      return [];
    }
  });
}

function login(auth: { username?: string; password?: string; auth?: string }): { username: string; password: string } {
  const decoded = auth.auth === undefined ? "" : new TextDecoder().decode(bytesOfBase64(auth.auth));
  const colon = decoded.indexOf(":");
  return {
    username: auth.username ?? decoded.slice(0, Math.max(0, colon)),
    password: auth.password ?? decoded.slice(colon + 1),
  };
}
