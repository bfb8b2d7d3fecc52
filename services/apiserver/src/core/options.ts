/** The options of writes, from the query: dryRun, fieldManager, fieldValidation, force; and DeleteOptions. */
import type { DeleteOptions } from "@pilothouse/api/types/meta-v1";
import { badRequest, invalid, type FieldError } from "@pilothouse/errors";
import { isTrue } from "./request-info.ts";

export type FieldValidation = "Ignore" | "Warn" | "Strict";

export interface WriteOptions {
  readonly dryRun: boolean;
  readonly fieldManager: string;
  readonly fieldValidation: FieldValidation;
  /** Only with server-side apply. */
  readonly force: boolean | undefined;
}

const FIELD_VALIDATIONS: readonly FieldValidation[] = ["Ignore", "Strict", "Warn"];
const MAX_FIELD_MANAGER = 128;

/**
 * @param kind CreateOptions, UpdateOptions or PatchOptions: how errors call it
 * @throws StatusError 422 with upstream's texts
 */
export function writeOptionsOf(
  kind: "CreateOptions" | "UpdateOptions" | "PatchOptions",
  query: URLSearchParams,
  userAgent: string | undefined,
): WriteOptions {
  const errors: FieldError[] = [];
  const dryRun = query.getAll("dryRun").filter((value) => value !== "");
  if (dryRun.some((value) => value !== "All")) {
    errors.push({ type: "FieldValueNotSupported", field: "dryRun", value: dryRun, detail: 'supported values: "All"' });
  }
  const fieldValidation = query.get("fieldValidation") || "Warn";
  const known = FIELD_VALIDATIONS.find((value) => value === fieldValidation);
  if (!known) {
    errors.push({
      type: "FieldValueNotSupported",
      field: "fieldValidation",
      value: fieldValidation,
      detail: `supported values: ${FIELD_VALIDATIONS.map((value) => JSON.stringify(value)).join(", ")}`,
    });
  }
  const asked = query.get("fieldManager") ?? "";
  if (asked.length > MAX_FIELD_MANAGER) {
    const detail = `may not be more than ${MAX_FIELD_MANAGER} bytes`;
    errors.push({ type: "FieldValueTooLong", field: "fieldManager", value: "", detail });
  }
  if (!/^[\p{L}\p{M}\p{N}\p{P}\p{S} ]*$/u.test(asked)) {
    const detail = "should only contain printable characters";
    errors.push({ type: "FieldValueInvalid", field: "fieldManager", value: asked, detail });
  }
  if (errors.length > 0) throw invalid({ group: "meta.k8s.io", kind }, "", errors);
  const force = query.get("force");
  return {
    dryRun: dryRun.length > 0,
    fieldManager: asked || managerOfUserAgent(userAgent),
    fieldValidation: known ?? "Warn",
    force: force === null ? undefined : isTrue(force),
  };
}

/** `kubectl/v1.36.0 (linux/amd64) …` is `kubectl`. */
export function managerOfUserAgent(userAgent: string | undefined): string {
  return (userAgent ?? "").split("/")[0]?.slice(0, MAX_FIELD_MANAGER) || "unknown";
}

/** DeleteOptions of a DELETE without a body (wire trap 23). */
export function deleteOptionsOfQuery(query: URLSearchParams): DeleteOptions {
  const options: DeleteOptions = {};
  const grace = query.get("gracePeriodSeconds");
  if (grace !== null) {
    if (!/^-?\d+$/.test(grace)) throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(grace)}: invalid syntax`);
    options.gracePeriodSeconds = Number(grace);
  }
  const policy = query.get("propagationPolicy");
  if (policy !== null) options.propagationPolicy = policy;
  const orphan = query.get("orphanDependents");
  if (orphan !== null) options.orphanDependents = isTrue(orphan);
  const dryRun = query.getAll("dryRun").filter((value) => value !== "");
  if (dryRun.length > 0) options.dryRun = dryRun;
  return options;
}
