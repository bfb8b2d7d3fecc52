/** What every Clock and Ids adapter promises; the system's own and the manual one run the same cases. */
import { describe, expect, test } from "vitest";
import { DeadlineExceeded, sleep, withDeadline, type Clock, type Ids } from "./index.ts";

export interface ClockUnderTest {
  readonly clock: Clock;
  /** Lets this much time pass. */
  readonly advance: (ms: number) => Promise<void>;
}

export function clockConformance(name: string, make: () => ClockUnderTest): void {
  describe(`clock: ${name}`, () => {
    test("time goes on by what has passed, and never back", async () => {
      const { clock, advance } = make();
      const [wallMs, startMs] = [clock.now(), clock.monotonicMs()];
      await advance(20);
      expect(clock.monotonicMs() - startMs).toBeGreaterThanOrEqual(20);
      expect(clock.now()).toBeGreaterThanOrEqual(wallMs + 19);
    });

    test("timers fire once, in the order of their due times, never inside setTimer", async () => {
      const { clock, advance } = make();
      const fired: string[] = [];
      clock.setTimer(30, () => fired.push("late"));
      clock.setTimer(5, () => fired.push("soon"));
      clock.setTimer(-1, () => fired.push("at once"));
      expect(fired).toEqual([]);
      await advance(60);
      expect(fired).toEqual(["at once", "soon", "late"]);
    });

    test("a cancelled timer never fires, also when another one cancels it", async () => {
      const { clock, advance } = make();
      const fired: string[] = [];
      const second = clock.setTimer(20, () => fired.push("second"));
      clock.setTimer(5, () => {
        fired.push("first");
        second.cancel();
        second.cancel();
      });
      await advance(50);
      expect(fired).toEqual(["first"]);
    });

    test("a sleep ends with its signal, a wait with its deadline", async () => {
      const { clock, advance } = make();
      const ended = new AbortController();
      const asleep = sleep(clock, 10_000, ended.signal);
      ended.abort(new Error("enough"));
      await expect(asleep).rejects.toThrow("enough");
      const waiting = withDeadline(clock, 10, "the answer", new Promise<never>(() => {}));
      const refused = expect(waiting).rejects.toThrow(DeadlineExceeded);
      await advance(40);
      await refused;
      await expect(withDeadline(clock, 10, "the answer", Promise.resolve(42))).resolves.toBe(42);
    });
  });
}

export function idsConformance(name: string, make: () => Ids): void {
  test(`ids: ${name} are version 4 UUIDs, none twice`, () => {
    const ids = make();
    const drawn = Array.from({ length: 1_000 }, () => ids.uuid());
    expect(new Set(drawn).size).toBe(1_000);
    for (const id of drawn) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });
}
