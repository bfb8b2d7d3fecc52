/** Registry passwords out of a pod's `imagePullSecrets`. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import type { ImageAuth } from "@pilothouse/runtime";
import { bytesOfBase64, type PodSources } from "../core/environment.ts";
import type { Login } from "../core/pull-logins.ts";
import type { EventRecorder } from "./events.ts";

interface DockerAuth {
  readonly username?: string;
  readonly password?: string;
  /** `username:password`, in base64. */
  readonly auth?: string;
}

type DockerAuths = Readonly<Record<string, DockerAuth>>;

/** Tells of those that are not there: a pull without them may do. */
export function tellMissingPullSecrets(events: EventRecorder, pod: Pod, sources: PodSources): void {
  const names = (pod.spec.imagePullSecrets ?? []).flatMap(({ name }) => (name ? [name] : []));
  const missing = names.filter((name) => !sources.secret(name)).join(", ");
  if (missing === "") return;
  const message = `Unable to retrieve some image pull secrets (${missing}); attempting to pull the image may not succeed.`;
  events.pod(pod, "Warning", "FailedToRetrieveImagePullSecret", message);
}

/** By server. What cannot be read is passed over: the pull then fails with the registry's own words. */
export function pullSecrets(pod: Pod, sources: PodSources): readonly Login[] {
  return (pod.spec.imagePullSecrets ?? []).flatMap(({ name = "" }) => {
    const { data = {} } = sources.secret(name) ?? {};
    const [config, oldConfig] = [data[".dockerconfigjson"], data[".dockercfg"]];
    try {
      const auths =
        config === undefined
          ? (parsed(oldConfig) as DockerAuths | undefined)
          : (parsed(config) as { readonly auths?: DockerAuths }).auths;
      return Object.entries(auths ?? {}).map(([server, auth]) => ({ server, ...login(auth) }));
    } catch {
      return [];
    }
  });
}

function parsed(base64: string | undefined): unknown {
  return base64 === undefined ? undefined : JSON.parse(new TextDecoder().decode(bytesOfBase64(base64)));
}

function login(auth: DockerAuth): ImageAuth {
  const decoded = auth.auth === undefined ? "" : new TextDecoder().decode(bytesOfBase64(auth.auth));
  const colon = decoded.indexOf(":");
  return {
    username: auth.username ?? decoded.slice(0, Math.max(0, colon)),
    password: auth.password ?? decoded.slice(colon + 1),
  };
}
