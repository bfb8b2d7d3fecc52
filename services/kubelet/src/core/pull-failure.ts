/** What the runtime's words about a failed pull mean. Pure. */

export interface PullFailure {
  /** As the container's state says it. */
  readonly reason: "ErrImagePull" | "RegistryUnavailable" | "SignatureValidationFailed";
  readonly message: string;
}

/** Errors that runtimes name at the beginning of their text, and what upstream's kubelet says instead. */
const NAMED = [
  { name: "RegistryUnavailable", because: "the registry is unavailable" },
  { name: "SignatureValidationFailed", because: "the signature validation failed" },
] as const;

/** Upstream's evalCRIPullErr. */
export function pullFailure(image: string, text: string): PullFailure {
  const named = NAMED.find(({ name }) => text.startsWith(name));
  if (!named) return { reason: "ErrImagePull", message: text };
  const { name, because } = named;
  return { reason: name, message: `image pull failed for ${image} because ${because}${text.slice(name.length)}` };
}

/** What failed is the pull itself: it is tried again ever later. */
export function isPullFailure(reason: string): boolean {
  return reason === "ErrImagePull" || NAMED.some(({ name }) => name === reason);
}
