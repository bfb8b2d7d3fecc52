/** Images as volumes. */
import assert from "node:assert/strict";
import { TOOLBOX_IMAGE } from "../../../../deploy/images.ts";
import type { Behaviours } from "../../behaviour.ts";
import { scriptPod } from "../../trial.ts";

export const imageVolumes: Behaviours = {
  "[sig-node] ImageVolume should succeed with pod and pull policy of Always [LinuxOnly] [MinimumKubeletVersion:1.35] [Conformance]":
    async (t) => {
      const volume = { name: "v", image: { reference: TOOLBOX_IMAGE, pullPolicy: "Always" } };
      const pod = scriptPod("cmp /v/bin/busybox /bin/busybox && ! touch /v/x 2>&1", {
        name: "image-volume",
        pod: { volumes: [volume] },
        container: { volumeMounts: [{ name: "v", mountPath: "/v" }] },
      });
      assert.match(await t.outputOf(pod), /Read-only file system/);
    },
};
