/** What `kubectl get` prints: building blocks of the kinds' tables. */
import { formatLabelSelector, type LabelSelectorObject } from "@pilothouse/selectors";
import type { Column } from "./kind.ts";
import { ageOf } from "./duration.ts";

type Cell<T> = Column<T>["cell"];

export function shown<T>(
  name: string,
  cell: Cell<T>,
  description: string,
  type: Column<T>["type"] = "string",
): Column<T> {
  return { name, type, description, priority: 0, cell };
}

/** Shown with `-o wide` only. */
export function wide<T>(
  name: string,
  cell: Cell<T>,
  description: string,
  type: Column<T>["type"] = "string",
): Column<T> {
  return { name, type, description, priority: 1, cell };
}

interface Dated {
  metadata: { creationTimestamp?: string };
}

export const AGE: Column<Dated> = shown(
  "Age",
  ({ metadata }, nowMs) => ageOf(metadata.creationTimestamp, nowMs),
  "Time since this object was created.",
);

export const CREATED_AT: Column<Dated> = shown(
  "Created At",
  ({ metadata }) => metadata.creationTimestamp ?? "",
  "When this object was created.",
  "date",
);

/** `<none>` for what is empty. */
export function orNone(text: string | undefined): string {
  return text === undefined || text === "" ? "<none>" : text;
}

/** `a=b,c=d`, sorted; `<none>` when empty. */
export function labelsText(labels: Readonly<Record<string, string>> | undefined): string {
  const pairs = Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return orNone(pairs.sort().join(","));
}

/** A label selector in one line, `<none>` when it selects everything. */
export function selectorText(selector: LabelSelectorObject | undefined): string {
  try {
    return formatLabelSelector(selector);
  } catch {
    // One bad object must not hide the others of a list.
    return "<error>";
  }
}

/** Names and images of a pod template, comma separated, for `-o wide`. */
export function containerColumns<T>(
  containersOf: (object: T) => readonly { name: string; image?: string }[],
): Column<T>[] {
  return [
    wide(
      "Containers",
      (object) =>
        containersOf(object)
          .map(({ name }) => name)
          .join(","),
      "Names of each container in the template.",
    ),
    wide(
      "Images",
      (object) =>
        containersOf(object)
          .map(({ image }) => image ?? "")
          .join(","),
      "Images referenced by each container in the template.",
    ),
  ];
}
