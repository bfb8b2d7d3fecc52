/** Makes a failing input smaller while it fails in the same way. */
import { failureOf } from "./judge.ts";
import type { Input, Target } from "./target.ts";

const MAX_TRIES = 3_000;
const MAX_SHRINK_MS = 10_000;

export async function shrink(target: Target, input: Input, failure: string): Promise<Input> {
  const wanted = kindOfFailure(failure);
  const endMs = performance.now() + MAX_SHRINK_MS;
  let tries = 0;
  const isSpent = (): boolean => tries > MAX_TRIES || performance.now() > endMs;
  const stillFails = async (candidate: Input): Promise<boolean> => {
    tries++;
    if (isSpent()) return false;
    const found = await failureOf(target, candidate);
    return found !== undefined && kindOfFailure(found) === wanted;
  };
  let smallest = await withoutCases(target, input, stillFails);
  for (let before = -1; before !== lengthOf(smallest) && !isSpent();) {
    before = lengthOf(smallest);
    for (let part = 0; part < smallest.length; part++) {
      if (!target.fixed?.includes(part)) smallest = await shortenPart(smallest, part, stillFails);
    }
  }
  return smallest;
}

type StillFails = (candidate: Input) => Promise<boolean>;

/** An input may be several cases in a row, each of as many parts as the target has: leaves whole ones out. */
async function withoutCases({ parts }: Target, input: Input, stillFails: StillFails): Promise<Input> {
  let smallest = input;
  for (let at = 0; smallest.length > parts.length && at < smallest.length;) {
    const candidate = smallest.toSpliced(at, parts.length);
    if (await stillFails(candidate)) smallest = candidate;
    else at += parts.length;
  }
  return smallest;
}

/** Cuts pieces out of one part: halves first, single characters at last. */
async function shortenPart(input: Input, part: number, stillFails: StillFails): Promise<Input> {
  let smallest = input;
  for (let size = Math.ceil((input[part] ?? "").length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < (smallest[part] ?? "").length;) {
      const text = smallest[part] ?? "";
      const candidate = smallest.with(part, text.slice(0, at) + text.slice(at + size));
      if (await stillFails(candidate)) smallest = candidate;
      else at += size;
    }
  }
  return smallest;
}

function lengthOf(input: Input): number {
  return input.reduce((sum, part) => sum + part.length, 0);
}

/** The error's class and where it was thrown; texts, numbers and depths differ from case to case. */
function kindOfFailure(failure: string): string {
  const [first = "", ...lines] = failure.split("\n");
  const place = lines.find((line) => line.includes(" at ") && !line.includes("node:")) ?? "";
  return `${first.split(":")[0]} ${place.trim()}`;
}
