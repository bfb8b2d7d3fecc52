/** emptyDir: on disk and in memory, by root and by others, with the modes that were asked for. */
import assert from "node:assert/strict";
import type { Behaviours } from "../../behaviour.ts";
import { scriptPod, type Trial } from "../../trial.ts";

const MODES = { "0644": "-rw-r--r--", "0666": "-rw-rw-rw-", "0777": "-rwxrwxrwx" } as const;
type Medium = "default" | "tmpfs";

function podOn(medium: Medium, script: string, more: object = {}): ReturnType<typeof scriptPod> {
  return scriptPod(script, {
    pod: { volumes: [{ name: "v", emptyDir: medium === "tmpfs" ? { medium: "Memory" } : {} }], ...more },
    container: { volumeMounts: [{ name: "v", mountPath: "/v" }] },
  });
}

const KIND = "mount | grep ' /v ' | cut -d' ' -f5";

async function keepsMode(t: Trial, who: "root" | "non-root", mode: keyof typeof MODES, medium: Medium): Promise<void> {
  const script = `echo content > /v/file && chmod ${mode} /v/file; stat -c '%A %u' /v/file; cat /v/file; ${KIND}`;
  const more = who === "root" ? {} : { securityContext: { runAsUser: 1001 } };
  const [file, content, kind] = (await t.outputOf(podOn(medium, script, more))).trim().split("\n");
  assert.equal(file, `${MODES[mode]} ${who === "root" ? 0 : 1001}`);
  assert.equal(content, "content");
  assert.equal(kind === "tmpfs", medium === "tmpfs", `mounted as ${kind}`);
}

async function isOpenToAll(t: Trial, medium: Medium): Promise<void> {
  const [mode, kind] = (await t.outputOf(podOn(medium, `stat -c %A /v; ${KIND}`))).trim().split("\n");
  assert.match(mode ?? "", /^drwxrwxrw[xt]$/);
  assert.equal(kind === "tmpfs", medium === "tmpfs", `mounted as ${kind}`);
}

function modes(): Behaviours {
  const found: Record<string, (t: Trial) => Promise<void>> = {};
  for (const who of ["root", "non-root"] as const) {
    for (const mode of Object.keys(MODES) as (keyof typeof MODES)[]) {
      for (const medium of ["default", "tmpfs"] as const) {
        const what = `should support (${who},${mode},${medium})`;
        found[`[sig-storage] EmptyDir volumes ${what} [LinuxOnly] [NodeConformance] [Conformance]`] = (t) =>
          keepsMode(t, who, mode, medium);
      }
    }
  }
  return found;
}

export const emptyDir: Behaviours = {
  ...modes(),
  "[sig-storage] EmptyDir volumes volume on default medium should have the correct mode [LinuxOnly] [NodeConformance] [Conformance]":
    (t) => isOpenToAll(t, "default"),
  "[sig-storage] EmptyDir volumes volume on tmpfs should have the correct mode [LinuxOnly] [NodeConformance] [Conformance]":
    (t) => isOpenToAll(t, "tmpfs"),

  "[sig-storage] EmptyDir volumes pod should support shared volumes between containers [Conformance]": async (t) => {
    const pod = podOn("default", "until [ -f /v/shared ]; do sleep 0.2; done; cat /v/shared");
    const [first] = pod["spec"].containers as [object];
    const second = {
      ...first,
      name: "sub",
      command: ["sh", "-c", "echo from the other > /v/.new && mv /v/.new /v/shared"],
    };
    pod["spec"].containers = [first, second];
    assert.equal(await t.outputOf(pod, { container: "main" }), "from the other\n");
  },
};
