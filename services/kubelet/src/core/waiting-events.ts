/** What is told of a container that begins to wait for another try. Pure. */
import type { Container, Pod } from "@pilothouse/api/types/core-v1";
import { podTitle } from "./pod-runtime.ts";

export interface PodEvent {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

/** @param waiting the reason in the container's state; all but back-offs are told where they come from */
export function waitingEvents(pod: Pod, { name, image }: Container, waiting: string): readonly PodEvent[] {
  switch (waiting) {
    case "CrashLoopBackOff": {
      const message = `Back-off restarting failed container ${name} in pod ${podTitle(pod)}`;
      return [{ type: "Warning", reason: "BackOff", message }];
    }
    case "ImagePullBackOff":
      return [
        { type: "Normal", reason: "BackOff", message: `Back-off pulling image "${image}"` },
        { type: "Warning", reason: "Failed", message: "Error: ImagePullBackOff" },
      ];
    default:
      return [];
  }
}
