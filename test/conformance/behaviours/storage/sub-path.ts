/** Parts of volumes, mounted by themselves. */
import assert from "node:assert/strict";
import type { Behaviours } from "../../behaviour.ts";
import { scriptPod, type Trial } from "../../trial.ts";

async function readsSubPath(t: Trial, volume: object, mountPath = "/part", wanted = "content"): Promise<void> {
  const said = await t.outputOf(
    scriptPod(`cat ${mountPath === "/part" ? "/part/file" : mountPath}`, {
      name: "sub-path",
      pod: { volumes: [{ name: "v", ...volume }] },
      container: { volumeMounts: [{ name: "v", mountPath, subPath: mountPath === "/part" ? "sub" : "sub/file" }] },
    }),
  );
  assert.equal(said, wanted);
}

const ITEMS = [{ key: "key", path: "sub/file" }];
const withMap = (t: Trial): Promise<unknown> =>
  t.api("v1", "configmaps").create({ metadata: { name: "source" }, data: { key: "content" } });
const named = (rest: string): string =>
  `[sig-storage] Subpath Atomic writer volumes should support subpaths with ${rest} [Conformance]`;

export const subPath: Behaviours = {
  [named("configmap pod")]: async (t) => {
    await withMap(t);
    await readsSubPath(t, { configMap: { name: "source", items: ITEMS } });
  },
  [named("configmap pod with mountPath of existing file")]: async (t) => {
    await withMap(t);
    await readsSubPath(t, { configMap: { name: "source", items: ITEMS } }, "/etc/resolv.conf");
  },
  [named("secret pod")]: async (t) => {
    await t.api("v1", "secrets").create({ metadata: { name: "source" }, stringData: { key: "content" } });
    await readsSubPath(t, { secret: { secretName: "source", items: ITEMS } });
  },
  [named("downward pod")]: (t) =>
    readsSubPath(
      t,
      { downwardAPI: { items: [{ path: "sub/file", fieldRef: { fieldPath: "metadata.name" } }] } },
      "/part",
      "sub-path",
    ),
  [named("projected pod")]: async (t) => {
    await withMap(t);
    await readsSubPath(t, { projected: { sources: [{ configMap: { name: "source", items: ITEMS } }] } });
  },

  "[sig-storage] EmptyDir wrapper volumes should not conflict [Conformance]": async (t) => {
    await withMap(t);
    await t.api("v1", "secrets").create({ metadata: { name: "source" }, stringData: { key: "secret" } });
    const said = await t.outputOf(
      scriptPod("cat /one/key /two/key", {
        pod: {
          volumes: [
            { name: "one", secret: { secretName: "source" } },
            { name: "two", configMap: { name: "source" } },
          ],
        },
        container: { volumeMounts: ["one", "two"].map((name) => ({ name, mountPath: `/${name}` })) },
      }),
    );
    assert.equal(said, "secretcontent");
  },

  "[sig-storage] EmptyDir wrapper volumes should not cause race condition when used for configmaps [Serial] [Conformance]":
    async (t) => {
      const names = Array.from({ length: 50 }, (_, index) => `map-${index}`);
      for (const name of names) await t.api("v1", "configmaps").create({ metadata: { name }, data: { key: name } });
      const pod = (index: number): Promise<string> =>
        t.outputOf(
          scriptPod("cat /etc/maps/*/key | wc -c", {
            name: `racer-${index}`,
            pod: { volumes: names.map((name) => ({ name, configMap: { name } })) },
            container: { volumeMounts: names.map((name) => ({ name, mountPath: `/etc/maps/${name}` })) },
          }),
        );
      const said = await Promise.all(Array.from({ length: 5 }, (_, index) => pod(index)));
      const total = names.reduce((sum, name) => sum + name.length, 0);
      assert.deepEqual(
        said.map(Number),
        Array.from({ length: 5 }, () => total),
      );
    },
};
