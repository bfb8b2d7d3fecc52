/** What a decoder refuses, so that hostile input costs no more than its own bytes. */

/** Levels of nesting in JSON, YAML and protobuf; deeper values would overflow the stack when they are written again. */
export const MAX_DEPTH = 1000;

/** How many unknown and how many duplicate fields are told of one body: upstream's number. Each costs its path's length. */
export const MAX_STRICT_PROBLEMS = 100;

/** Input that is not what its media type or kind says. The message is Kubernetes' own text, without a prefix. */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
}

/** `Pod in version "v1" cannot be handled as a Pod: …`: the BadRequest text for a body that could not be decoded. */
export function cannotBeHandledText(
  given: { readonly version: string; readonly kind: string },
  wantedKind: string,
  error: DecodeError,
): string {
  return `${given.kind} in version "${given.version}" cannot be handled as a ${wantedKind}: ${error.message}`;
}

/** `strict decoding error: unknown field "spec.zz", duplicate field "spec.x"`: the BadRequest text of fieldValidation=Strict. */
export function strictDecodingText(problems: readonly string[]): string {
  return `strict decoding error: ${problems.join(", ")}`;
}
