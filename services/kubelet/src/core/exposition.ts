/** Metrics as Prometheus reads them: families of samples in its text format. Pure. */

export interface FamilyHead {
  readonly name: string;
  readonly type: "counter" | "gauge";
  readonly help: string;
}

export class Exposition {
  readonly #families: ReadonlyMap<string, FamilyHead & { readonly samples: string[] }>;

  /** Families are written in this order; one without samples is its head alone. */
  constructor(heads: readonly FamilyHead[]) {
    this.#families = new Map(heads.map((head) => [head.name, { ...head, samples: [] }]));
  }

  /** @param atMs when it was measured; absent: when it is read. Undefined values are left out. */
  add(name: string, labels: Readonly<Record<string, string>>, value: number | undefined, atMs?: number): void {
    if (value === undefined) return;
    const written = Object.entries(labels).map(([key, text]) => `${key}=${JSON.stringify(text)}`);
    const set = written.length === 0 ? "" : `{${written.join(",")}}`;
    const time = atMs === undefined ? "" : ` ${Math.floor(atMs)}`;
    this.#families.get(name)?.samples.push(`${name}${set} ${value}${time}`);
  }

  text(): string {
    return [...this.#families.values()]
      .map(({ name, type, help, samples }) =>
        [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...samples, ""].join("\n"),
      )
      .join("");
  }
}
