/** The story that every seed tells: what a user does to a Deployment and its Service, whatever befalls the cluster meanwhile. */
import type { Deployment } from "@pilothouse/api/types/apps-v1";
import type { ConfigMap, Pod, Service } from "@pilothouse/api/types/core-v1";
import { resources, type ApiClient, type KubernetesObject, type ResourceType } from "@pilothouse/client";
import { sleep, type Random } from "@pilothouse/clock";
import { isStatus } from "@pilothouse/errors";
import type { Life } from "./machine.ts";

export interface StoryPorts {
  readonly life: Life;
  readonly client: ApiClient;
  /** Asks the other apiserver first. */
  readonly otherClient: ApiClient;
  readonly random: Random;
  /** A write of the user that an apiserver has acknowledged. */
  readonly acknowledged: (object: KubernetesObject & { readonly kind?: string }) => void;
  /** The user is about to ask for the end of this object. */
  readonly deletes: (uid: string) => void;
}

/** What the cluster must come to in the end. */
export const ENDS_WITH = { deployment: "web", headless: "web-pods", replicas: 2, image: "web:v1" } as const;

/** The namespace that goes again. */
export const SHOP = "shop";

const RETRY_MS = 500;

/** Resolves when all has been acknowledged. */
export async function tellStory(ports: StoryPorts): Promise<void> {
  await Promise.all([tellOfWeb(ports), tellOfShop({ ...ports, random: ports.random.fork("shop") })]);
}

type Step = (what: string, work: () => Promise<unknown>) => Promise<void>;

function stepsOf(ports: StoryPorts): Step {
  const { life, random } = ports;
  return async (what, work) => {
    life.machine.world.tell("client", what);
    await untilDone(ports, what, work);
    await sleep(life.clock, Math.round(2_000 + random.next() * 16_000));
  };
}

/** A Deployment is scaled and rolled, behind Services that follow it. */
async function tellOfWeb(ports: StoryPorts): Promise<void> {
  const step = stepsOf(ports);
  const scale = (replicas: number) => () => change(ports, { spec: { replicas } });
  const roll = (image: string) => () => {
    const containers = [{ name: "web", image }];
    return change(ports, { spec: { template: { spec: { containers } } } });
  };
  await step("a ServiceAccount to run as", () => account(ports));
  await step("apply a Service", () => apply(ports, webService()));
  await step("apply a headless Service", () => apply(ports, headlessService()));
  await step("apply a Deployment of 3", () => apply(ports, deployment("default", ENDS_WITH.deployment, 3)));
  await step("scale to 10", scale(10));
  await step("scale to 2", scale(2));
  await step("point the Service elsewhere", () => select(ports, "nothing"));
  await step("roll to v2", roll("web:v2"));
  await step("point the Service back", () => select(ports, ENDS_WITH.deployment));
  await step("scale to 5", scale(5));
  await step("roll back to v1", roll("web:v1"));
  await step("delete a pod", () => deleteOnePod(ports));
  await step(`scale to ${ENDS_WITH.replicas}`, scale(ENDS_WITH.replicas));
}

/** A namespace with what depends on what in it: an owner goes, a Deployment goes, at last the namespace itself. */
async function tellOfShop(ports: StoryPorts): Promise<void> {
  const { client, otherClient } = ports;
  const step = stepsOf(ports);
  const make = <T extends KubernetesObject>(type: ResourceType<T>, object: T): Promise<T | undefined> =>
    client.create(type, object).catch(unlessThere);
  await step("make a namespace", () => make(resources.namespaces, { metadata: { name: SHOP }, spec: {} }));
  await step("an owner, and at once what it owns", async () => {
    await make(resources.services, shopService());
    const owner = await otherClient.get(resources.services, SHOP, "till");
    await make(resources.configMaps, ownedBy(owner, "prices"));
    await make(resources.configMaps, ownedBy(owner, "taxes"));
  });
  await step("a Deployment of 2 in it", () => make(resources.deployments, deployment(SHOP, "cart", 2)));
  await step("delete that Deployment", () => remove(ports, resources.deployments, "cart"));
  await step("delete the owner", () => remove(ports, resources.services, "till"));
  await step("another Deployment of 1", () => make(resources.deployments, deployment(SHOP, "exit", 1)));
  await step("delete the namespace", () => client.delete(resources.namespaces, "", SHOP).catch(unlessGone));
}

function remove<T extends KubernetesObject>(
  { client }: StoryPorts,
  type: ResourceType<T>,
  name: string,
): Promise<void> {
  return client.delete(type, SHOP, name, { propagationPolicy: "Background" }).catch(unlessGone);
}

async function untilDone(ports: StoryPorts, what: string, work: () => Promise<unknown>): Promise<void> {
  const { clock, machine } = ports.life;
  for (;;) {
    try {
      await work();
      machine.world.tell("client", `done: ${what}`);
      return;
    } catch (error) {
      machine.world.tell("client", `again: ${what}: ${error instanceof Error ? error.message : String(error)}`);
      await sleep(clock, RETRY_MS);
    }
  }
}

async function select({ client, acknowledged }: StoryPorts, app: string): Promise<void> {
  const patch = { type: "application/merge-patch+json", body: { spec: { selector: { app } } } } as const;
  acknowledged(await client.patch(resources.services, "default", ENDS_WITH.deployment, patch));
}

/** Pods need one; the controller that makes it may not run yet. */
async function account({ client }: StoryPorts): Promise<void> {
  await client
    .create(resources.serviceAccounts, { metadata: { name: "default", namespace: "default" } })
    .catch(unlessThere);
}

/** Creates it; that it is there already is the answer to an attempt whose own answer was lost. */
async function apply(ports: StoryPorts, object: Deployment | Service): Promise<void> {
  const { client, acknowledged } = ports;
  const created =
    object.kind === "Service"
      ? await client.create(resources.services, object as Service).catch(unlessThere)
      : await client.create(resources.deployments, object as Deployment).catch(unlessThere);
  if (created) acknowledged(created);
}

/** What one apiserver has acknowledged the other one shows (C7). */
async function change({ client, otherClient, acknowledged }: StoryPorts, body: object): Promise<void> {
  const patch = { type: "application/strategic-merge-patch+json", body } as const;
  acknowledged(await client.patch(resources.deployments, "default", ENDS_WITH.deployment, patch));
  acknowledged(await otherClient.get(resources.deployments, "default", ENDS_WITH.deployment));
}

async function deleteOnePod({ client, random, deletes }: StoryPorts): Promise<void> {
  const { items } = await client.list(resources.pods, "default", { labelSelector: "app=web" });
  const running = items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  const pod = running[Math.floor(random.next() * running.length)];
  if (!pod) throw new Error("there is no pod to delete yet");
  deletes(pod.metadata.uid ?? "");
  await client
    .delete(resources.pods, "default", pod.metadata.name ?? "", { uid: pod.metadata.uid ?? "" })
    .catch((error: unknown) => {
      if (!isStatus(error, "NotFound")) throw error;
    });
}

function unlessThere(error: unknown): undefined {
  if (!isStatus(error, "AlreadyExists")) throw error;
}

function unlessGone(error: unknown): undefined {
  if (!isStatus(error, "NotFound")) throw error;
}

function deployment(namespace: string, name: string, replicas: number): Deployment {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace, labels: { app: name } },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: podSpec() },
    },
  };
}

function podSpec(): Pod["spec"] {
  const resources = { requests: { cpu: "100m", memory: "64Mi" } };
  return {
    containers: [{ name: "web", image: "web:v1", ports: [{ containerPort: 80 }], resources }],
    terminationGracePeriodSeconds: 2,
  };
}

function webService(): Service {
  const { deployment: name } = ENDS_WITH;
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: { selector: { app: name }, ports: [{ port: 80, protocol: "TCP" }] },
  };
}

/** Its name stands for the pods themselves. */
function headlessService(): Service {
  const service = webService();
  return {
    ...service,
    metadata: { name: ENDS_WITH.headless, namespace: "default" },
    spec: { ...service.spec, clusterIP: "None" },
  };
}

function shopService(): Service {
  return { metadata: { name: "till", namespace: SHOP }, spec: { ports: [{ port: 80, protocol: "TCP" }] } };
}

function ownedBy({ metadata }: Service, name: string): ConfigMap {
  const owner = { apiVersion: "v1", kind: "Service", name: metadata.name ?? "", uid: metadata.uid ?? "" };
  return { metadata: { name, namespace: SHOP, ownerReferences: [owner] } };
}
