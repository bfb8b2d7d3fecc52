/** Who a container runs as, and what it may not do. */
import assert from "node:assert/strict";
import type { Behaviours } from "../../behaviour.ts";
import { refusal, scriptPod, type Trial } from "../../trial.ts";

const WHO = "echo $(id -u) $(id -g)";
const CAPABILITIES = "grep CapEff /proc/self/status; ip link add dummy0 type dummy 2>&1 || echo refused";

async function says(t: Trial, script: string, pod: object, container: object): Promise<string> {
  return (await t.outputOf(scriptPod(script, { pod, container }))).trim();
}

export const security: Behaviours = {
  "[sig-node] Security Context When creating a container with runAsUser should run the container with uid 65534 [LinuxOnly] [NodeConformance] [Conformance]":
    async (t) => assert.equal(await says(t, "id -u", {}, { securityContext: { runAsUser: 65534 } }), "65534"),
  "[sig-node] Security Context When creating a pod with privileged should run the container as unprivileged when false [LinuxOnly] [NodeConformance] [Conformance]":
    async (t) => assert.match(await says(t, CAPABILITIES, {}, { securityContext: { privileged: false } }), /refused$/),
  "[sig-node] Security Context When creating a pod with readOnlyRootFilesystem should run the container with writable rootfs when readOnlyRootFilesystem=false [NodeConformance] [Conformance]":
    async (t) => {
      const container = { securityContext: { readOnlyRootFilesystem: false } };
      assert.equal(await says(t, "echo written > /file && cat /file", {}, container), "written");
    },
  "[sig-node] Security Context when creating containers with AllowPrivilegeEscalation should not allow privilege escalation when false [LinuxOnly] [NodeConformance] [Conformance]":
    async (t) => {
      const container = { securityContext: { allowPrivilegeEscalation: false, runAsUser: 1000 } };
      assert.match(await says(t, "grep NoNewPrivs /proc/self/status", {}, container), /\b1$/);
    },
  "[sig-node] Security Context should support pod.Spec.SecurityContext.RunAsUser And pod.Spec.SecurityContext.RunAsGroup [LinuxOnly] [Conformance]":
    async (t) =>
      assert.equal(await says(t, WHO, { securityContext: { runAsUser: 1001, runAsGroup: 2002 } }, {}), "1001 2002"),
  "[sig-node] Security Context should support container.SecurityContext.RunAsUser And container.SecurityContext.RunAsGroup [LinuxOnly] [Conformance]":
    async (t) => {
      const pod = { securityContext: { runAsUser: 1, runAsGroup: 2 } };
      assert.equal(await says(t, WHO, pod, { securityContext: { runAsUser: 1001, runAsGroup: 2002 } }), "1001 2002");
    },

  "[sig-node] Sysctls [LinuxOnly] [NodeConformance] should support sysctls [Environment:NotInUserNS] [Conformance]":
    async (t) => {
      const pod = { securityContext: { sysctls: [{ name: "kernel.shm_rmid_forced", value: "1" }] } };
      assert.equal(await says(t, "cat /proc/sys/kernel/shm_rmid_forced", pod, {}), "1");
    },
  "[sig-node] Sysctls [LinuxOnly] [NodeConformance] should reject invalid sysctls [Conformance]": async (t) => {
    const wrong = ["foo-", "kernel.shmmax", "safe-and-unsafe", "bar.."];
    const sysctls = wrong.map((name) => ({ name, value: "100000000" }));
    const pod = scriptPod("true", { pod: { securityContext: { sysctls } } });
    const { status } = await refusal(t.api("v1", "pods").create(pod));
    const fields = status.details?.causes?.map(({ field }) => field);
    assert.deepEqual(fields, ["spec.securityContext.sysctls[0].name", "spec.securityContext.sysctls[3].name"]);
    assert.match(status.message ?? "", /Invalid value: "foo-"/);
    assert.match(status.message ?? "", /Invalid value: "bar\.\."/);
  },
};
