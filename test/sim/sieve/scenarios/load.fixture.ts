/** What autoscalers are told: a queue of always the same length. */
import type { ControllerManagerConfig } from "@pilothouse/controller-manager";

export const QUEUE_LENGTH = 38;

export const LOAD: NonNullable<ControllerManagerConfig["metrics"]> = {
  resource: () => Promise.reject(new Error("nobody measures pods here")),
  pods: () => Promise.reject(new Error("nobody measures pods here")),
  object: () => Promise.reject(new Error("nobody measures objects here")),
  external: () => Promise.resolve(QUEUE_LENGTH * 1_000),
};
