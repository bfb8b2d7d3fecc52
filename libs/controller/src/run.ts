import type { Clock } from "@pilothouse/clock";
import { isStatus } from "@pilothouse/errors";
import type { Scope } from "@pilothouse/lifecycle";
import type { Logger, Span, Telemetry, TraceContext } from "@pilothouse/telemetry";
import type { WorkItem, WorkQueue } from "@pilothouse/workqueue";
import type { OwnWrites } from "./own-writes.ts";

/** How a reconcile ended. `retry` waits with growing back-off; `requeue` for a time that the reconcile knows. */
export type Outcome =
  | { readonly type: "done" }
  | { readonly type: "requeue"; readonly afterMs: number; readonly why: string }
  | { readonly type: "retry"; readonly why: string };

export const done: Outcome = { type: "done" };

export function requeueAfter(afterMs: number, why: string): Outcome {
  return { type: "requeue", afterMs, why };
}

export function retry(why: string): Outcome {
  return { type: "retry", why };
}

export interface ReconcileContext {
  /** The reconcile's own: the cause of all it writes. */
  readonly trace: TraceContext;
  readonly span: Span;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export interface ControllerOptions {
  readonly name: string;
  readonly queue: WorkQueue;
  readonly workers: number;
  readonly reconcile: (key: string, context: ReconcileContext) => Promise<Outcome>;
  /**
   * What the reconciles did. No key is decided about again before its informers show it; and each is looked at once more after
   * it was to be shown: what somebody took back before the informers saw it is told by no news.
   */
  readonly ownWrites?: OwnWrites;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** Closing it shuts the queue down and waits for the workers. */
  readonly scope: Scope;
  /** Called when the apiserver says that this process leads no more (C11); the key is not retried. */
  readonly onLeadershipLost?: () => void;
}

/** The informers' news wakes a controller when own writes are seen; this is for the case that there is none. */
const OWN_WRITES_SAFETY_MS = 1_000;

/** Starts the workers; they end with the scope. */
export function runController(options: ControllerOptions): void {
  const { scope, queue, name } = options;
  scope.defer(() => queue.shutDown());
  for (let worker = 0; worker < options.workers; worker++)
    scope.run(`${name} worker ${worker}`, async (signal) => {
      for (let item = await queue.take(); item && !signal.aborted; item = await queue.take()) {
        const outcome = await reconcileOne(options, item, signal);
        settle(queue, item, outcome);
        queue.done(item.key);
      }
    });
}

async function reconcileOne(
  { name, queue, clock, telemetry, reconcile, ownWrites, onLeadershipLost }: ControllerOptions,
  item: WorkItem,
  signal: AbortSignal,
): Promise<{ readonly outcome: Outcome; readonly trace: TraceContext }> {
  const { key, parent, links } = item;
  const span = telemetry.tracer.start(`${name} reconcile`, { parent, links, attributes: { key } });
  const log = telemetry.log.with({ controller: name, key, trace: span.context });
  const startMs = clock.monotonicMs();
  let outcome: Outcome = done;
  try {
    if (ownWrites?.seen(key) !== false) outcome = await reconcile(key, { trace: span.context, span, log, signal });
    if (ownWrites?.seen(key) === false) outcome = soon(outcome);
  } catch (error) {
    span.fail(error);
    if (isStatus(error, "LeadershipLost")) onLeadershipLost?.();
    else if (!signal.aborted) {
      outcome = retry(error instanceof Error ? error.message : String(error));
      // A conflict only says that a cache was behind: it happens every day and heals by itself.
      if (isStatus(error, "Conflict")) log.debug("reconcile lost a race", { error });
      else log.warn("reconcile failed", { error, retries: queue.retries(key) });
    }
  }
  span.set({ outcome: outcome.type, ...(outcome.type === "done" ? {} : { why: outcome.why }) });
  span.end();
  telemetry.metrics
    .histogram(
      "controller_reconcile_seconds",
      "How long reconciles took.",
      [0.001, 0.01, 0.1, 1, 10],
      ["controller", "outcome"],
    )
    .observe((clock.monotonicMs() - startMs) / 1_000, { controller: name, outcome: outcome.type });
  return { outcome, trace: span.context };
}

function soon(outcome: Outcome): Outcome {
  const isSooner = outcome.type !== "done" && (outcome.type === "retry" || outcome.afterMs <= OWN_WRITES_SAFETY_MS);
  return isSooner ? outcome : requeueAfter(OWN_WRITES_SAFETY_MS, "own writes are not seen yet");
}

function settle(
  queue: WorkQueue,
  { key, parent, links }: WorkItem,
  { outcome, trace }: { readonly outcome: Outcome; readonly trace: TraceContext },
): void {
  switch (outcome.type) {
    case "done":
      queue.forget(key);
      return;
    case "requeue":
      queue.forget(key);
      // Work at a later time is caused by this reconcile, if by anything.
      queue.addAfter(key, outcome.afterMs, parent ? trace : undefined);
      return;
    case "retry":
      queue.retry(key, parent ? [parent, ...links] : []);
  }
}
