/** What is told of a container that begins to wait for another try. Pure. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import type { Waiting } from "./pod-machine.ts";
import { podTitle } from "./pod-runtime.ts";

export interface PodEvent {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

/** All but back-offs are told where they come from. */
export function waitingEvents(pod: Pod, name: string, { reason, message }: Waiting): readonly PodEvent[] {
  switch (reason) {
    case "CrashLoopBackOff": {
      const told = `Back-off restarting failed container ${name} in pod ${podTitle(pod)}`;
      return [{ type: "Warning", reason: "BackOff", message: told }];
    }
    case "ImagePullBackOff":
      return [
        // The state says why as well.
        { type: "Normal", reason: "BackOff", message: /^Back-off pulling image "[^"]*"/.exec(message)?.[0] ?? message },
        { type: "Warning", reason: "Failed", message: "Error: ImagePullBackOff" },
      ];
    default:
      return [];
  }
}
