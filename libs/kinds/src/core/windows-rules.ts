/** What a pod of one operating system may not say, and what Windows' own options may. */
import type { Container, PodSpec, SecurityContext, WindowsSecurityContextOptions } from "@pilothouse/api/types/core-v1";
import { checkDns1123Subdomain } from "@pilothouse/selectors/names";
import { forbidden, invalid, invalidEach, notSupported, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";

const MAX_SPEC_KIB = 64;
const MAX_DOMAIN_CHARACTERS = 256;
const MAX_USER_CHARACTERS = 104;
const NETBIOS = /^[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}$/;
const DOMAIN = /^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$/;

/** What only Linux has, of a pod: as its path below `spec`. */
const LINUX_ONLY: readonly (readonly [string, (spec: PodSpec) => unknown])[] = [
  ["securityContext.appArmorProfile", ({ securityContext }) => securityContext?.appArmorProfile],
  ["securityContext.seLinuxOptions", ({ securityContext }) => securityContext?.seLinuxOptions],
  ["hostUsers", ({ hostUsers }) => hostUsers],
  ["hostPID", ({ hostPID }) => hostPID || undefined],
  ["hostIPC", ({ hostIPC }) => hostIPC || undefined],
  ["securityContext.seccompProfile", ({ securityContext }) => securityContext?.seccompProfile],
  ["securityContext.fsGroup", ({ securityContext }) => securityContext?.fsGroup],
  ["securityContext.fsGroupChangePolicy", ({ securityContext }) => securityContext?.fsGroupChangePolicy],
  ["securityContext.sysctls", ({ securityContext }) => securityContext?.sysctls?.[0]],
  ["shareProcessNamespace", ({ shareProcessNamespace }) => shareProcessNamespace],
  ["securityContext.runAsUser", ({ securityContext }) => securityContext?.runAsUser],
  ["securityContext.runAsGroup", ({ securityContext }) => securityContext?.runAsGroup],
  ["securityContext.supplementalGroups", ({ securityContext }) => securityContext?.supplementalGroups],
  ["securityContext.supplementalGroupsPolicy", ({ securityContext }) => securityContext?.supplementalGroupsPolicy],
  ["securityContext.seLinuxChangePolicy", ({ securityContext }) => securityContext?.seLinuxChangePolicy],
];

/** The same of a container's securityContext. */
const LINUX_ONLY_IN_CONTAINERS = [
  "appArmorProfile",
  "seLinuxOptions",
  "seccompProfile",
  "capabilities",
  "readOnlyRootFilesystem",
  "privileged",
  "allowPrivilegeEscalation",
  "procMount",
  "runAsUser",
  "runAsGroup",
] as const satisfies readonly (keyof SecurityContext)[];

export function* osRules(spec: PodSpec, path: string): FieldErrors {
  const name = spec.os?.name;
  if (!spec.os) return;
  if (!name) yield required(`${path}.os.name`, "cannot be empty");
  else if (name === "linux") yield* linuxRules(spec, path);
  else if (name === "windows") yield* windowsRules(spec, path);
  else yield notSupported(`${path}.os`, name, ["linux", "windows"]);
}

function* linuxRules(spec: PodSpec, path: string): FieldErrors {
  const detail = "windows options cannot be set for a linux pod";
  if (spec.securityContext?.windowsOptions) yield forbidden(`${path}.securityContext.windowsOptions`, detail);
  for (const [{ securityContext }, at] of containersOf(spec, path)) {
    if (securityContext?.windowsOptions) yield forbidden(`${at}.securityContext.windowsOptions`, detail);
  }
}

function* windowsRules(spec: PodSpec, path: string): FieldErrors {
  const detail = "cannot be set for a windows pod";
  for (const [field, of] of LINUX_ONLY) if (of(spec) !== undefined) yield forbidden(`${path}.${field}`, detail);
  for (const [{ securityContext }, at] of containersOf(spec, path)) {
    for (const field of LINUX_ONLY_IN_CONTAINERS) {
      if (securityContext?.[field] !== undefined) yield forbidden(`${at}.securityContext.${field}`, detail);
    }
  }
}

/** All or none of the containers are processes of their host. */
export function* hostProcessRules(spec: PodSpec, path: string): FieldErrors {
  const ofPod = spec.securityContext?.windowsOptions?.hostProcess;
  const containers = containersOf(spec, path);
  let count = 0;
  for (const [{ securityContext }, at] of containers) {
    const own = securityContext?.windowsOptions?.hostProcess;
    if (ofPod !== undefined && own !== undefined && ofPod !== own) {
      const detail = `pod hostProcess value must be identical if both are specified, was ${ofPod}`;
      yield invalid(`${at}.securityContext.windowsOptions.hostProcess`, own, detail);
    }
    if (own ?? ofPod) count++;
  }
  if (count === 0) return;
  if (count !== containers.length) {
    const detail = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
    yield invalid(path, "", detail);
  }
  if (!spec.hostNetwork) {
    yield invalid(`${path}.hostNetwork`, false, "hostNetwork must be true if pod contains any hostProcess containers");
  }
}

/** Of every sort, in upstream's order, with its path. */
export function containersOf(spec: PodSpec, path: string): readonly (readonly [Container, string])[] {
  return (["initContainers", "containers", "ephemeralContainers"] as const).flatMap((field) =>
    (spec[field] ?? []).map((container, index) => [container, `${path}.${field}[${index}]`] as const),
  );
}

export function* windowsOptionsRules(options: WindowsSecurityContextOptions | undefined, path: string): FieldErrors {
  const { gmsaCredentialSpecName: name, gmsaCredentialSpec: contents, runAsUserName } = options ?? {};
  if (name !== undefined) yield* invalidEach(`${path}.gmsaCredentialSpecName`, name, checkDns1123Subdomain(name));
  if (contents !== undefined) {
    const at = `${path}.gmsaCredentialSpec`;
    if (contents === "") yield invalid(at, contents, "gmsaCredentialSpec cannot be an empty string");
    else if (Buffer.byteLength(contents) > MAX_SPEC_KIB * 1024) {
      yield invalid(at, contents, `gmsaCredentialSpec size must be under ${MAX_SPEC_KIB} KiB`);
    }
  }
  if (runAsUserName !== undefined) {
    yield* invalidEach(`${path}.runAsUserName`, runAsUserName, userNameTexts(runAsUserName));
  }
}

/** `DOMAIN\user`, or a user alone. */
function userNameTexts(name: string): readonly string[] {
  if (name === "") return ["runAsUserName cannot be an empty string"];
  if (/\p{Cc}/u.test(name)) return ["runAsUserName cannot contain control characters"];
  const parts = name.split("\\");
  if (parts.length > 2) return ["runAsUserName cannot contain more than one backslash"];
  const user = parts.at(-1) ?? "";
  const domain = parts.length === 2 ? parts[0] : undefined;
  const texts: string[] = [];
  if ((domain?.length ?? 0) >= MAX_DOMAIN_CHARACTERS) {
    texts.push(`runAsUserName's Domain length must be under ${MAX_DOMAIN_CHARACTERS} characters`);
  }
  if (domain !== undefined && !NETBIOS.test(domain) && !DOMAIN.test(domain)) {
    texts.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format");
  }
  if (user === "") texts.push("runAsUserName's User cannot be empty");
  else if (user.length > MAX_USER_CHARACTERS) {
    texts.push(`runAsUserName's User length must not be longer than ${MAX_USER_CHARACTERS} characters`);
  }
  if (/^[. ]+$/.test(user)) texts.push("runAsUserName's User cannot contain only periods or spaces");
  if (/["/\\:;|=,+*?<>@[\]]/.test(user)) {
    texts.push(`runAsUserName's User cannot contain the following characters: "/\\:;|=,+*?<>@[]`);
  }
  return texts;
}
