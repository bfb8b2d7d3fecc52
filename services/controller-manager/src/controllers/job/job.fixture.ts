/** A cluster for stories of Jobs: a hand plays kubelet. */
import type { Job, JobSpec, JobStatus } from "@pilothouse/api/types/batch-v1";
import type { Event, Pod } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { cluster, type Cluster } from "../../cluster.fixture.ts";
import type { StartController } from "../../service.ts";
import { timestampOf } from "../../core/values.ts";

export interface JobWorld extends Cluster {
  createJob(spec?: Partial<JobSpec>, name?: string): Promise<Job>;
  patchJob(body: object, name?: string): Promise<Job>;
  status(name?: string): Promise<JobStatus>;
  /** `Complete: CompletionsReached`, in the order in which they came. */
  conditions(name?: string): Promise<string[]>;
  pods(): Promise<readonly Pod[]>;
  /** Pods that have neither ended nor been asked to. */
  active(): Promise<readonly Pod[]>;
  run(pod: Pod): Promise<void>;
  succeed(pod: Pod): Promise<void>;
  fail(pod: Pod, more?: Partial<NonNullable<Pod["status"]>>): Promise<void>;
  /** `Normal SuccessfulCreate`, once each. */
  events(): Promise<string[]>;
}

export const merge = (body: object) => ({ type: "application/merge-patch+json", body }) as const;

export async function jobWorld(...start: readonly StartController[]): Promise<JobWorld> {
  const world = await cluster();
  const { client } = world;
  await client.create(resources.serviceAccounts, { metadata: { name: "default", namespace: "default" } });
  for (const startController of start) startController(world.ports);
  const tell = async ({ metadata }: Pod, status: object): Promise<void> => {
    await client.patch(resources.pods, "default", metadata.name ?? "", merge({ status }), { subresource: "status" });
  };
  const ended = (exitCode: number): object => ({
    name: "work",
    ready: false,
    restartCount: 0,
    image: "work:1",
    imageID: "",
    state: {
      terminated: { exitCode, finishedAt: timestampOf(world.clock.now()), startedAt: timestampOf(world.clock.now()) },
    },
  });
  const more = {
    createJob: (spec: Partial<JobSpec> = {}, name = "work") => client.create(resources.jobs, jobOf(spec, name)),
    patchJob: (body: object, name = "work") => client.patch(resources.jobs, "default", name, merge(body)),
    status: async (name = "work") => (await client.get(resources.jobs, "default", name)).status ?? {},
    conditions: async (name = "work") =>
      (await more.status(name)).conditions?.map(({ type, status, reason = "" }) => `${type}=${status}: ${reason}`) ??
      [],
    pods: async () => (await client.list(resources.pods, "default")).items,
    active: async () =>
      (await more.pods()).filter(
        ({ metadata, status }) =>
          metadata.deletionTimestamp === undefined && !["Succeeded", "Failed"].includes(status?.phase ?? ""),
      ),
    run: (pod: Pod) =>
      tell(pod, {
        phase: "Running",
        conditions: [{ type: "Ready", status: "True", lastTransitionTime: timestampOf(world.clock.now()) }],
      }),
    succeed: (pod: Pod) => tell(pod, { phase: "Succeeded", containerStatuses: [ended(0)] }),
    fail: (pod: Pod, status: Partial<NonNullable<Pod["status"]>> = {}) =>
      tell(pod, { phase: "Failed", containerStatuses: [ended(1)], ...status }),
    events: async () => {
      const { items } = await client.list<Event>(resources.events, "default");
      return [...new Set(items.map(({ type, reason, message }) => `${type} ${reason}: ${message}`))];
    },
  };
  return Object.assign(world, more);
}

export function jobOf(spec: Partial<JobSpec>, name: string): Job {
  const containers = [{ name: "work", image: "work:1" }];
  const template = { spec: { automountServiceAccountToken: false, containers, restartPolicy: "Never" } };
  return { metadata: { name, namespace: "default" }, spec: { template, ...spec } };
}

export function exited(exitCode: number): Partial<NonNullable<Pod["status"]>> {
  const terminated = { exitCode, finishedAt: "2026-01-01T00:00:00Z", startedAt: "2026-01-01T00:00:00Z" };
  return {
    containerStatuses: [
      { name: "work", ready: false, restartCount: 0, image: "work:1", imageID: "", state: { terminated } },
    ],
  };
}
