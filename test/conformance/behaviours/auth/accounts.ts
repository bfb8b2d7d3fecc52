/** Who a pod is: its account's token, its authority, and what is said of both when asked. */
import assert from "node:assert/strict";
import type { Behaviours } from "../../behaviour.ts";
import { scriptPod, type Loose, type Trial } from "../../trial.ts";

const named = (rest: string): string => `[sig-auth] ServiceAccounts ${rest} [Conformance]`;
const FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount";

interface Claims {
  readonly sub: string;
  readonly aud: readonly string[];
}

function claimsOf(token: string): Claims {
  return JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as Claims;
}

async function review(t: Trial, token: string): Promise<Loose> {
  return t.clusterApi("authentication.k8s.io/v1", "tokenreviews").create({ spec: { token } });
}

export const accounts: Behaviours = {
  [named("should mount an API token into pods")]: async (t) => {
    const said = await t.outputOf(scriptPod(`cd ${FOLDER}; cat token; echo; cat namespace; echo; head -1 ca.crt`));
    const [token = "", namespace, authority] = said.split("\n");
    assert.equal(namespace, t.namespace);
    assert.equal(authority, "-----BEGIN CERTIFICATE-----");
    const { status } = await review(t, token);
    assert.equal(status.authenticated, true);
    assert.equal(status.user.username, `system:serviceaccount:${t.namespace}:default`);
  },
  [named("should allow opting out of API token automount")]: async (t) => {
    const accountsHere = t.api("v1", "serviceaccounts");
    await accountsHere.create({ metadata: { name: "mount" }, automountServiceAccountToken: true });
    await accountsHere.create({ metadata: { name: "nomount" }, automountServiceAccountToken: false });
    const cases: readonly (readonly [account: string, pod: boolean | undefined, mounted: boolean])[] = [
      ["default", undefined, true],
      ["mount", undefined, true],
      ["nomount", undefined, false],
      ["default", true, true],
      ["mount", true, true],
      ["nomount", true, true],
      ["default", false, false],
      ["mount", false, false],
      ["nomount", false, false],
    ];
    for (const [serviceAccountName, automount, wanted] of cases) {
      const spec = {
        serviceAccountName,
        ...(automount === undefined ? {} : { automountServiceAccountToken: automount }),
      };
      const pod = await t.api("v1", "pods").create(scriptPod("true", { pod: spec }));
      const mounts = (pod["spec"].containers[0].volumeMounts ?? []) as { mountPath: string }[];
      assert.equal(
        mounts.some(({ mountPath }) => mountPath === FOLDER),
        wanted,
        JSON.stringify(spec),
      );
    }
  },
  [named("should mount projected service account token")]: async (t) => {
    const projected = {
      sources: [{ serviceAccountToken: { path: "token", expirationSeconds: 3600, audience: "somebody" } }],
    };
    const said = await t.outputOf(
      scriptPod("cat /t/token", {
        pod: { volumes: [{ name: "t", projected }] },
        container: { volumeMounts: [{ name: "t", mountPath: "/t" }] },
      }),
    );
    assert.deepEqual(claimsOf(said).aud, ["somebody"]);
    assert.equal(claimsOf(said).sub, `system:serviceaccount:${t.namespace}:default`);
  },
  [named("should create a serviceAccountToken and ensure a successful TokenReview")]: async (t) => {
    const accountsHere = t.api("v1", "serviceaccounts");
    await accountsHere.create({ metadata: { name: "asked" } });
    const { status } = await accountsHere.post("asked", "token", { spec: {} });
    assert.ok(status.token);
    const reviewed = await review(t, status.token as string);
    assert.equal(reviewed["status"].authenticated, true);
    assert.equal(reviewed["status"].error ?? "", "");
  },
  [named("should guarantee kube-root-ca.crt exist in any namespace")]: async (t) => {
    const maps = t.api("v1", "configmaps");
    const whole = (): Promise<string> =>
      t.until("it is there", async () => {
        const text = (await maps.get("kube-root-ca.crt"))["data"]?.["ca.crt"] as string | undefined;
        return text?.startsWith("-----BEGIN CERTIFICATE-----") === true && text;
      });
    const before = await whole();
    await maps.delete("kube-root-ca.crt");
    assert.equal(await whole(), before);
    await maps.update({ metadata: { name: "kube-root-ca.crt" }, data: { "ca.crt": "" } });
    assert.equal(await whole(), before);
  },
  [named("should run through the lifecycle of a ServiceAccount")]: async (t) => {
    const accountsHere = t.api("v1", "serviceaccounts");
    const watch = await accountsHere.watch({ labelSelector: "static=yes" });
    await accountsHere.create({ metadata: { name: "lived", labels: { static: "yes" } } });
    await watch.next(({ type }) => type === "ADDED");
    await accountsHere.patch("lived", { automountServiceAccountToken: false });
    await watch.next(({ object }) => object["automountServiceAccountToken"] === false);
    const { items } = await t.clusterApi("v1", "serviceaccounts").list({ labelSelector: "static=yes" });
    assert.ok(items.some(({ metadata }) => metadata.namespace === t.namespace));
    await accountsHere.deleteCollection({ labelSelector: "static=yes" });
    await watch.next(({ type }) => type === "DELETED");
    watch.close();
  },
  [named("should update a ServiceAccount")]: async (t) => {
    const accountsHere = t.api("v1", "serviceaccounts");
    const created = await accountsHere.create({ metadata: { name: "changed" } });
    const updated = await accountsHere.update({ ...created, automountServiceAccountToken: true });
    assert.equal(updated["automountServiceAccountToken"], true);
  },
  [named("ServiceAccountIssuerDiscovery should support OIDC discovery of service account issuer")]: async (t) => {
    const read = async (path: string): Promise<Loose> => {
      const { status, text } = await t.client.send({ method: "GET", path });
      assert.equal(status, 200, `${path}: ${text}`);
      return JSON.parse(text) as Loose;
    };
    const document = await read("/.well-known/openid-configuration");
    const { status } = await t.api("v1", "serviceaccounts").post("default", "token", { spec: {} });
    const token = status.token as string;
    assert.equal((claimsOf(token) as unknown as { iss: string }).iss, document["issuer"]);
    const { keys } = (await read("/openid/v1/jwks")) as unknown as { keys: { kid: string; n?: string; e?: string }[] };
    const { kid } = JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString()) as { kid: string };
    assert.ok(
      keys.some((key) => key.kid === kid),
      "the token's key is among those told",
    );
    // A pod may read both with its own token.
    const own = (await t.outputOf(scriptPod(`cat ${FOLDER}/token`))).trim();
    const client = t.clientOf(own);
    for (const path of ["/.well-known/openid-configuration", "/openid/v1/jwks"]) {
      assert.equal((await client.send({ method: "GET", path })).status, 200, path);
    }
    client.close();
  },

  "[sig-auth] SubjectReview should support SubjectReview API operations [Conformance]": async (t) => {
    await t.api("v1", "serviceaccounts").create({ metadata: { name: "asked" } });
    const user = `system:serviceaccount:${t.namespace}:asked`;
    const resourceAttributes = { verb: "list", resource: "configmaps", version: "v1", namespace: t.namespace };
    const impersonated = await t.client.send({
      method: "GET",
      path: `/api/v1/namespaces/${t.namespace}/configmaps`,
      headers: { "impersonate-user": user },
    });
    const spec = { resourceAttributes, user };
    const cluster = await t.clusterApi("authorization.k8s.io/v1", "subjectaccessreviews").create({ spec });
    assert.equal(cluster["status"].allowed, impersonated.status === 200);
    const local = await t.api("authorization.k8s.io/v1", "localsubjectaccessreviews").create({
      metadata: { namespace: t.namespace },
      spec,
    });
    assert.equal(local["status"].allowed, impersonated.status === 200);
  },
};
