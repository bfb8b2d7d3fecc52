/** The story that every seed tells: what a user does to a Deployment and its Service, whatever befalls the cluster meanwhile. */
import type { Deployment } from "@pilothouse/api/types/apps-v1";
import type { Pod, Service } from "@pilothouse/api/types/core-v1";
import { resources, type ApiClient, type KubernetesObject } from "@pilothouse/client";
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
export const ENDS_WITH = { deployment: "web", replicas: 2, image: "web:v1" } as const;

const RETRY_MS = 500;

/** Resolves when all has been acknowledged. */
export async function tellStory(ports: StoryPorts): Promise<void> {
  const { life, random } = ports;
  const step = async (what: string, work: () => Promise<void>): Promise<void> => {
    life.machine.world.tell("client", what);
    await untilDone(ports, what, work);
    await sleep(life.clock, Math.round(2_000 + random.next() * 16_000));
  };
  const scale = (replicas: number) => () => change(ports, { spec: { replicas } });
  const roll = (image: string) => () => {
    const containers = [{ name: "web", image }];
    return change(ports, { spec: { template: { spec: { containers } } } });
  };
  await step("a ServiceAccount to run as", () => account(ports));
  await step("apply a Service", () => apply(ports, webService()));
  await step("apply a Deployment of 3", () => apply(ports, webDeployment(3)));
  await step("scale to 10", scale(10));
  await step("scale to 2", scale(2));
  await step("roll to v2", roll("web:v2"));
  await step("scale to 5", scale(5));
  await step("roll back to v1", roll("web:v1"));
  await step("delete a pod", () => deleteOnePod(ports));
  await step(`scale to ${ENDS_WITH.replicas}`, scale(ENDS_WITH.replicas));
}

async function untilDone(ports: StoryPorts, what: string, work: () => Promise<void>): Promise<void> {
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

function webDeployment(replicas: number): Deployment {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: ENDS_WITH.deployment, namespace: "default", labels: { app: "web" } },
    spec: {
      replicas,
      selector: { matchLabels: { app: "web" } },
      template: { metadata: { labels: { app: "web" } }, spec: podSpec() },
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
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "default" },
    spec: { selector: { app: "web" }, ports: [{ port: 80, protocol: "TCP" }] },
  };
}
