/** Brings a container's image to the node, as its pull policy says. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import type { Clock } from "@pilothouse/clock";
import { pullPolicyFor } from "@pilothouse/kinds/core/pod-defaults";
import type { Image, Runtime } from "@pilothouse/runtime";
import { span, type TraceContext, type Tracer } from "@pilothouse/telemetry";
import { goMilliseconds } from "../core/go-duration.ts";
import { imageNameProblem, isLocalImage } from "../core/image-name.ts";
import { loginsFor, type Login } from "../core/pull-logins.ts";
import { pullFailure, type PullFailure } from "../core/pull-failure.ts";
import type { EventRecorder } from "./events.ts";
import type { PullSlots } from "./pull-slots.ts";

export interface ImagePorts {
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly tracer: Tracer;
  readonly events: EventRecorder;
  readonly pulls: PullSlots;
}

/** The image is not here and cannot be brought; `reason` is what the container's state says. */
export class ImageUnavailable extends Error {
  override readonly name = "ImageUnavailable";
  readonly reason: PullFailure["reason"] | "ErrImageNeverPull" | "InvalidImageName";
  readonly image: string;
  constructor(reason: ImageUnavailable["reason"], image: string, message: string) {
    super(message);
    this.reason = reason;
    this.image = image;
  }
}

export interface ImageWish {
  readonly image: string;
  /** Absent: as the API would default it. */
  readonly policy?: string | undefined;
  /** For whose sake; absent for a volume. */
  readonly container?: string;
}

/** Throws ImageUnavailable. */
export async function ensureImage(
  ports: ImagePorts,
  pod: Pod,
  { image: name, policy: ownPolicy, container }: ImageWish,
  logins: readonly Login[],
  parent: TraceContext | undefined,
): Promise<Image> {
  const tell = (type: "Normal" | "Warning", reason: string, message: string): void =>
    ports.events.pod(pod, type, reason, message, container);
  const refused = (reason: ImageUnavailable["reason"], message: string): ImageUnavailable => {
    tell("Warning", "Failed", `Error: ${reason}`);
    return new ImageUnavailable(reason, name, message);
  };
  const policy = ownPolicy ?? pullPolicyFor(name);
  const problem = imageNameProblem(name);
  if (problem !== undefined) {
    const message = `Failed to apply default image tag "${name}": couldn't parse image name "${name}": ${problem}`;
    tell("Warning", "InspectFailed", message);
    throw refused("InvalidImageName", message);
  }
  const present = await ports.runtime.imageStatus(name);
  // A name that only this machine knows cannot be asked for anywhere: what is here is the latest there is.
  if (present && (policy !== "Always" || isLocalImage(name))) {
    tell("Normal", "Pulled", `Container image "${name}" already present on machine and can be accessed by the pod`);
    return present;
  }
  if (policy === "Never") {
    const message = `Container image "${name}" is not present with pull policy of Never`;
    tell("Warning", "ErrImageNeverPull", message);
    throw refused("ErrImageNeverPull", message);
  }
  tell("Normal", "Pulling", `Pulling image "${name}"`);
  const startMs = ports.clock.monotonicMs();
  let begunMs = startMs;
  try {
    const options = { parent, attributes: { image: name } };
    await ports.pulls.run(async () => {
      begunMs = ports.clock.monotonicMs();
      await span(ports.tracer, "cri.PullImage", options, () => pull(ports.runtime, name, logins));
    });
  } catch (error) {
    const text = textOf(error);
    const { reason, message } = pullFailure(name, text);
    tell("Warning", "Failed", `Failed to pull image "${name}": ${text}`);
    throw refused(reason, message);
  }
  const endMs = ports.clock.monotonicMs();
  const [took, tookWithWaiting] = [begunMs, startMs].map((fromMs) => goMilliseconds(Math.round(endMs - fromMs)));
  const image = await ports.runtime.imageStatus(name);
  if (!image) throw refused("ErrImagePull", `image "${name}" is gone right after it was pulled`);
  const times = `${took} (${tookWithWaiting} including waiting)`;
  const message = `Successfully pulled image "${name}" in ${times}. Image size: ${image.sizeBytes} bytes.`;
  tell("Normal", "Pulled", message);
  return image;
}

/** With each of the pod's passwords for its registry in turn, and without one if there is none. */
async function pull(runtime: Runtime, name: string, logins: readonly Login[]): Promise<void> {
  const fitting = loginsFor(name, logins);
  const failures: unknown[] = [];
  for (const auth of fitting.length > 0 ? fitting : [undefined]) {
    try {
      await runtime.pullImage(name, auth);
      return;
    } catch (error) {
      failures.push(error);
    }
  }
  throw failures.length === 1 ? failures[0] : new Error(`[${failures.map(textOf).join(", ")}]`);
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
