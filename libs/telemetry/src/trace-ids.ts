/** Trace and span ids from the Random port, so that a simulated run has the same ids each time. */
import type { Random } from "@pilothouse/clock";
import type { TraceContext } from "./index.ts";

/** The context of a new span: in its parent's trace, or the root of a trace of its own. Everything is sampled. */
export function childContext(random: Random, parent: TraceContext | undefined): TraceContext {
  return {
    traceId: parent?.traceId ?? randomTraceId(random),
    spanId: randomSpanId(random),
    sampled: parent?.sampled ?? true,
  };
}

export function randomTraceId(random: Random): string {
  return randomHex(random, 32);
}

export function randomSpanId(random: Random): string {
  return randomHex(random, 16);
}

/** Never all zeros, which W3C trace context forbids. */
function randomHex(random: Random, digits: number): string {
  let hex = "";
  let isZero = true;
  while (hex.length < digits) {
    const bits = Math.floor(random.next() * 2 ** 32);
    isZero &&= bits === 0;
    hex += hexOf(bits);
  }
  return isZero ? randomHex(random, digits) : hex;
}

/** Eight digits. */
function hexOf(bits: number): string {
  return `${BYTES[bits >>> 24]}${BYTES[(bits >>> 16) & 0xff]}${BYTES[(bits >>> 8) & 0xff]}${BYTES[bits & 0xff]}`;
}

const BYTES: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
