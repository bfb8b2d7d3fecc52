/** Rules for ports and their protocols, wherever they stand. */
import { checkPortName, checkPortNumber } from "@pilothouse/selectors/names";
import { invalidEach, notSupported, required } from "./field-errors.ts";
import type { FieldErrors } from "./field-errors.ts";

const PROTOCOLS: readonly string[] = ["SCTP", "TCP", "UDP"];

/** A port by number or by the name a container gave it. */
export function* portRules(port: number | string | undefined, path: string): FieldErrors {
  if (typeof port === "string") yield* invalidEach(path, port, checkPortName(port));
  else yield* invalidEach(path, port ?? 0, checkPortNumber(port ?? 0));
}

export function* protocolRules(protocol: string | undefined, path: string): FieldErrors {
  if (!protocol) yield required(path);
  else if (!PROTOCOLS.includes(protocol)) yield notSupported(path, protocol, PROTOCOLS);
}
