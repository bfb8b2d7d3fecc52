/** Secrets that are tokens: of ServiceAccounts, and of machines that want in. */
import { resources, type ApiClient } from "@pilothouse/client";
import type { Scenario, Step } from "../scenario.ts";
import { controllerManager } from "../subjects.ts";
import { merge } from "./acts.ts";

const NAMESPACE = "default";
const SYSTEM = "kube-system";
const PUBLIC = "kube-public";

const account = (name: string) => (client: ApiClient) =>
  client.create(resources.serviceAccounts, { metadata: { name, namespace: NAMESPACE } });

const removeAccount = (name: string) => (client: ApiClient) =>
  client.delete(resources.serviceAccounts, NAMESPACE, name);

const secretOf = (owner: string, name: string) => (client: ApiClient) =>
  client.create(resources.secrets, {
    metadata: { name, namespace: NAMESPACE, annotations: { "kubernetes.io/service-account.name": owner } },
    type: "kubernetes.io/service-account-token",
  });

const accountTokens: readonly Step[] = [
  { afterMs: 0, does: "makes an account", run: account("bot") },
  { afterMs: 300, does: "wants a token for it", run: secretOf("bot", "bot-token") },
  { afterMs: 300, does: "wants one for nobody", run: secretOf("nobody", "nobody-token") },
  { afterMs: 300, does: "makes another account", run: account("other") },
  { afterMs: 0, does: "wants two for it", run: secretOf("other", "other-1") },
  { afterMs: 0, does: "wants two for it", run: secretOf("other", "other-2") },
  { afterMs: 500, does: "deletes the first account", run: removeAccount("bot") },
  {
    afterMs: 500,
    does: "empties a token",
    run: (client) => client.patch(resources.secrets, NAMESPACE, "other-1", merge({ data: null })),
  },
];

const bootstrapToken =
  (id: string, more: Readonly<Record<string, string>> = {}) =>
  (client: ApiClient) =>
    client.create(resources.secrets, {
      metadata: { name: `bootstrap-token-${id}`, namespace: SYSTEM },
      type: "bootstrap.kubernetes.io/token",
      stringData: {
        "token-id": id,
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-signing": "true",
        ...more,
      },
    });

const removeToken = (id: string) => (client: ApiClient) =>
  client.delete(resources.secrets, SYSTEM, `bootstrap-token-${id}`);

const info = (kubeconfig: string) => (client: ApiClient) =>
  client.create(resources.configMaps, { metadata: { name: "cluster-info", namespace: PUBLIC }, data: { kubeconfig } });

const signed: readonly Step[] = [
  { afterMs: 0, does: "makes a token", run: bootstrapToken("aaaaaa") },
  { afterMs: 300, does: "tells what is to be signed", run: info("of the cluster") },
  { afterMs: 300, does: "makes another token", run: bootstrapToken("bbbbbb") },
  {
    afterMs: 300,
    does: "makes one that signs nothing",
    run: bootstrapToken("cccccc", { "usage-bootstrap-signing": "" }),
  },
  { afterMs: 300, does: "deletes the first", run: removeToken("aaaaaa") },
  {
    afterMs: 300,
    does: "tells it anew",
    run: (client) =>
      client.patch(resources.configMaps, PUBLIC, "cluster-info", merge({ data: { kubeconfig: "of the same" } })),
  },
];

const cleaned: readonly Step[] = [
  {
    afterMs: 0,
    does: "makes a token that is over",
    run: bootstrapToken("aaaaaa", { expiration: "1970-01-01T00:00:00Z" }),
  },
  { afterMs: 300, does: "makes one without an end", run: bootstrapToken("bbbbbb") },
  { afterMs: 300, does: "makes one whose end is no time", run: bootstrapToken("cccccc", { expiration: "soon" }) },
  {
    afterMs: 300,
    does: "ends one",
    run: (client) =>
      client.patch(
        resources.secrets,
        SYSTEM,
        "bootstrap-token-bbbbbb",
        merge({ data: { expiration: Buffer.from("1970-01-01T00:00:00Z").toString("base64") } }),
      ),
  },
  { afterMs: 300, does: "makes one that stays", run: bootstrapToken("dddddd") },
];

export const tokens: readonly Scenario[] = [
  { name: "serviceaccount-token", subject: controllerManager("serviceaccount-token"), steps: accountTokens },
  { name: "bootstrap-signer", subject: controllerManager("bootstrap-signer"), steps: signed },
  { name: "token-cleaner", subject: controllerManager("token-cleaner"), steps: cleaned },
];
