/**
 * Other forms of cached objects and changes (protobuf, frames, partial metadata), made when somebody asks and shared by all
 * who ask while they are fresh: one encode for each change and media type (design invariant 8).
 */
export class Encodings {
  readonly #maxBytes: number;
  /** In order of first use; the oldest go first. */
  readonly #bySubject = new Map<object, Map<string, Uint8Array>>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** `subject` is compared by identity: an entry or a change of the cache. */
  get(subject: object, form: string, encode: () => Uint8Array): Uint8Array {
    const known = this.#bySubject.get(subject)?.get(form);
    if (known) return known;
    const bytes = encode();
    const forms = this.#bySubject.get(subject) ?? new Map<string, Uint8Array>();
    forms.set(form, bytes);
    this.#bySubject.set(subject, forms);
    this.#bytes += bytes.length;
    this.#makeRoom();
    return bytes;
  }

  #makeRoom(): void {
    for (const [subject, forms] of this.#bySubject) {
      if (this.#bytes <= this.#maxBytes) return;
      this.#bySubject.delete(subject);
      for (const bytes of forms.values()) this.#bytes -= bytes.length;
    }
  }
}
