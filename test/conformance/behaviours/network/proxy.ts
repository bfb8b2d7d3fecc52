/** Pods and Services, reached through the API. */
import assert from "node:assert/strict";
import type { Behaviours } from "../../behaviour.ts";
import type { Trial } from "../../trial.ts";
import { webPod } from "./services.ts";

const METHODS = ["DELETE", "OPTIONS", "PATCH", "POST", "PUT", "GET"] as const;
const named = (rest: string): string => `[sig-network] Proxy version v1 ${rest} [Conformance]`;

async function served(t: Trial): Promise<void> {
  await t.api("v1", "pods").create(webPod("agnhost"));
  await t.api("v1", "services").create({
    metadata: { name: "e2e-proxy" },
    spec: { selector: { app: "agnhost" }, ports: [{ name: "portname", port: 81, targetPort: 80 }] },
  });
  await t.ready("agnhost");
}

/** What is answered for `<kind>/<target>/proxy<rest>`, once somebody answers. */
async function through(t: Trial, target: string, rest: string, method = "GET"): Promise<string> {
  const path = `/api/v1/namespaces/${t.namespace}/${target}/proxy${rest}`;
  let said = "";
  await t
    .until(
      `${method} ${path} is answered`,
      async () => {
        const { status, text } = await t.client.send({ method, path, ...(method === "GET" ? {} : { body: "" }) });
        said = `${status} ${text.trim()}`;
        return status === 200;
      },
      60_000,
    )
    .catch(() => assert.fail(`${method} ${path}: ${said}`));
  return said;
}

async function allMethods(t: Trial, rest: string): Promise<void> {
  await served(t);
  for (const target of ["pods/agnhost", "services/e2e-proxy:portname"]) {
    for (const method of METHODS) {
      assert.match(await through(t, target, `${rest}?method=${method}`, method), new RegExp(`method: ${method}`));
    }
    const path = `/api/v1/namespaces/${t.namespace}/${target}/proxy${rest}`;
    assert.equal((await t.client.send({ method: "HEAD", path })).status, 200);
  }
}

export const proxy: Behaviours = {
  [named("should proxy through a service and a pod")]: async (t) => {
    await served(t);
    for (const target of [
      "pods/agnhost:80",
      "pods/http:agnhost:80",
      "services/e2e-proxy:portname",
      "services/http:e2e-proxy:81",
    ]) {
      assert.equal(await through(t, target, "/hostname"), "200 agnhost");
    }
  },
  [named("A set of valid responses are returned for both pod and service ProxyWithPath")]: (t) =>
    allMethods(t, "/echo"),
  [named("A set of valid responses are returned for both pod and service Proxy")]: async (t) => {
    await served(t);
    assert.match(await through(t, "pods/agnhost", "/"), /agnhost$/);
    assert.match(await through(t, "services/e2e-proxy:portname", "/"), /agnhost$/);
  },
};
