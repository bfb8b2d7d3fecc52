/** Errors that say that a namespace goes. Pure. */
import { StatusError } from "@pilothouse/errors";

/** Nothing can be made in a namespace that goes, and nothing needs to be said about it. */
export function isNamespaceLeaving(error: unknown): boolean {
  if (!(error instanceof StatusError)) return false;
  return (error.status.details?.causes ?? []).some(({ reason }) => reason === "NamespaceTerminating");
}
