/** Every point of a scenario, one run each. */
import { setTraps } from "../traps.ts";
import { nameOf, pointsOf, type Point } from "./points.ts";
import type { Scenario } from "./scenario.ts";
import { tryScenario, type Trial } from "./trial.ts";

export interface Sweep {
  readonly scenario: string;
  /** How many points there are, and how many were tried. */
  readonly points: number;
  readonly tried: number;
  readonly failures: readonly PointFailure[];
}

export interface PointFailure {
  readonly point: string;
  readonly error: Error;
  readonly story: Trial["story"];
}

/** @param isWanted which points to try; absent: all */
export async function sweep(scenario: Scenario, isWanted: (name: string) => boolean = () => true): Promise<Sweep> {
  const freeTraps = setTraps();
  try {
    const undisturbed = await tryScenario(scenario);
    const { recording, failure, story } = undisturbed;
    if (failure) {
      const failures = [{ point: "undisturbed", error: failure, story }];
      return { scenario: scenario.name, points: 0, tried: 1, failures };
    }
    const points = pointsOf(recording);
    const wanted = points.filter((point) => isWanted(nameOf(point)));
    const failures: PointFailure[] = [];
    for (const point of wanted) {
      const failed = await failureAt(scenario, point, recording.end);
      if (failed) failures.push(failed);
    }
    return { scenario: scenario.name, points: points.length, tried: wanted.length, failures };
  } finally {
    freeTraps();
  }
}

async function failureAt(scenario: Scenario, point: Point, end: readonly string[]): Promise<PointFailure | undefined> {
  const { failure, story } = await tryScenario(scenario, { point, end });
  return failure ? { point: nameOf(point), error: failure, story } : undefined;
}
