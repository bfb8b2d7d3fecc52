/**
 * What every controller stands on: workers that take keys, own writes that must be read before the next decision, actions
 * carried out with bounds, and events for users.
 *
 * Promises: one key is reconciled by one worker at a time; a failure is retried with back-off and never lost; each reconcile is a
 * span, child of what caused it.
 * Does not promise: anything about leadership; a controller is started by the leader and its scope closed when that ends.
 */
export { runController, done, requeueAfter, retry } from "./run.ts";
export type { ControllerOptions, Outcome, ReconcileContext } from "./run.ts";
export { followChanges } from "./follow.ts";
export { OwnWrites } from "./own-writes.ts";
export { inParallel, slowStart } from "./execute.ts";
export { eventRecorder } from "./events.ts";
export type { EventRecorder, EventRecorderOptions, EventTarget } from "./events.ts";
