/**
 * Traps: while code of a world runs, whatever would make two runs differ throws. They look at the asynchronous context, so
 * that the test runner, the world itself and another test's code go on undisturbed.
 *
 * What stays unseen: a dynamic import, and the collector's own timing (which is why WeakRef is trapped).
 */
import { AsyncLocalStorage } from "node:async_hooks";
import crypto from "node:crypto";
import dns from "node:dns";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import zlib from "node:zlib";

/** Who runs, and on whose request. */
export interface Context {
  /** `apiserver-1#3`: the third life of that machine; "" for the world's own events. */
  readonly life: string;
  readonly cause?: Cause;
}

/** The request that an apiserver is answering. */
export interface Cause {
  /** The machine that asked. */
  readonly client: string;
  readonly user: string;
  readonly method: string;
  readonly path: string;
  readonly fence: string | undefined;
}

const contexts = new AsyncLocalStorage<Context>();

type Enter = <T>(run: () => T) => T;

/** A door into one context, for whoever enters it thousands of times: made once, it costs less than half of `inContext`. */
export function contextOf(context: Context): Enter {
  return contexts.run(context, () => AsyncLocalStorage.snapshot());
}

export const inWorld = contextOf({ life: "" });

export function inContext<T>(context: Context, run: () => T): T {
  return contexts.run(context, run);
}

export function currentContext(): Context | undefined {
  return contexts.getStore();
}

export class Trapped extends Error {
  override readonly name = "Trapped";
}

type AnyFunction = (...args: unknown[]) => unknown;
type Members = Record<string, unknown>;

/** Object, its name, and the members that throw; all functions of it when none are named. */
const TRAPPED: readonly (readonly [object: unknown, name: string, members?: readonly string[]])[] = [
  [globalThis, "globalThis", ["setTimeout", "setInterval", "setImmediate", "fetch"]],
  [Math, "Math", ["random"]],
  [performance, "performance", ["now"]],
  [AbortSignal, "AbortSignal", ["timeout"]],
  [String.prototype, "String.prototype", ["localeCompare", "toLocaleLowerCase", "toLocaleUpperCase"]],
  [
    Date.prototype,
    "Date.prototype",
    ["toLocaleString", "toLocaleDateString", "toLocaleTimeString", "getTimezoneOffset"],
  ],
  [globalThis.crypto, "crypto", ["getRandomValues", "randomUUID"]],
  [Object.getPrototypeOf(globalThis.crypto.subtle), "crypto.subtle"],
  [fs, "fs"],
  [fs.promises, "fs.promises"],
  [zlib, "zlib"],
  [dns, "dns"],
  [dns.promises, "dns.promises"],
  [
    crypto,
    "crypto",
    [
      "randomBytes",
      "randomInt",
      "randomUUID",
      "randomFill",
      "randomFillSync",
      "generateKeyPair",
      "generateKeyPairSync",
      "generateKey",
      "pbkdf2",
      "scrypt",
      "hkdf",
      "sign",
      "verify",
    ],
  ],
];

/** Sets all traps; returns what takes them away. */
export function setTraps(): () => void {
  const undo = [...TRAPPED.flatMap(([object, name, members]) => trapMembers(object, name, members)), ...trapClasses()];
  syncBuiltinESMExports();
  return () => {
    for (const restore of undo) restore();
    syncBuiltinESMExports();
  };
}

function trapMembers(object: unknown, name: string, members?: readonly string[]): (() => void)[] {
  const holder = object as Members;
  return (members ?? functionsOf(holder)).map((member) => {
    const descriptor = Object.getOwnPropertyDescriptor(holder, member);
    const original = holder[member] as AnyFunction;
    const trap = function (this: unknown, ...args: unknown[]): unknown {
      refuseInside(`${name}.${member}`);
      return original.apply(this, args);
    };
    Object.defineProperty(holder, member, { value: Object.assign(trap, original), configurable: true, writable: true });
    return () => {
      if (descriptor) Object.defineProperty(holder, member, descriptor);
      else delete holder[member];
    };
  });
}

/** What a warning to stderr ends in; and classes are harmless until they are called. */
const HARMLESS: readonly string[] = ["writeSync", "constructor"];

function functionsOf(holder: Members): string[] {
  return Object.getOwnPropertyNames(holder).filter((member) => {
    const descriptor = Object.getOwnPropertyDescriptor(holder, member);
    return (
      typeof descriptor?.value === "function" &&
      descriptor.configurable === true &&
      /^[a-z]/.test(member) &&
      !HARMLESS.includes(member)
    );
  });
}

/** `new Date()`, `Date()` and `Date.now()` ask for the time; `new Date(ms)` and `Date.parse` do not, and are used a lot: no Proxy. */
function trapClasses(): (() => void)[] {
  const RealDate = Date;
  const RealWeakRef = WeakRef;
  const RealRegistry = FinalizationRegistry;
  globalThis.Date = trappedDate(RealDate);
  globalThis.WeakRef = trappedClass(RealWeakRef, "WeakRef");
  globalThis.FinalizationRegistry = trappedClass(RealRegistry, "FinalizationRegistry");
  return [
    () => {
      globalThis.Date = RealDate;
      globalThis.WeakRef = RealWeakRef;
      globalThis.FinalizationRegistry = RealRegistry;
    },
  ];
}

function trappedDate(RealDate: DateConstructor): DateConstructor {
  const trapped = function (...args: []): Date | string {
    if (!new.target) {
      refuseInside("Date()");
      return RealDate();
    }
    if (args.length === 0) refuseInside("new Date()");
    return new RealDate(...args);
  };
  const now = (): number => {
    refuseInside("Date.now");
    return RealDate.now();
  };
  const { parse, UTC, prototype } = RealDate;
  return Object.assign(trapped as unknown as DateConstructor, { parse, UTC, now, prototype });
}

function trappedClass<T extends object>(real: T, name: string): T {
  return new Proxy(real, {
    construct(target, args, newTarget) {
      refuseInside(name);
      return Reflect.construct(target as never, args, newTarget) as object;
    },
  });
}

function refuseInside(what: string): void {
  if (contexts.getStore() !== undefined) throw new Trapped(`${what} was used inside a simulated world`);
}
