/** Which fields of an object a write changes, as finely as controllers share them. Pure. */

type Tree = Readonly<Record<string, unknown>>;

/** What the API server sets, or what a write says only to name its object. */
const NOBODYS: ReadonlySet<string> = new Set([
  "apiVersion",
  "kind",
  "metadata.uid",
  "metadata.resourceVersion",
  "metadata.generation",
  "metadata.creationTimestamp",
  "metadata.managedFields",
  "metadata.deletionTimestamp",
  "metadata.deletionGracePeriodSeconds",
]);

/** Lists whose elements have owners of their own, by what names an element; "" for the element itself. */
const SHARED_LISTS: Readonly<Record<string, string>> = {
  "metadata.finalizers": "",
  "spec.finalizers": "",
  "spec.taints": "key",
  "status.conditions": "type",
};
/** The one map of that kind. */
const ANNOTATIONS = "metadata.annotations";

/** `status.replicas`, `status.conditions[Ready]`, `metadata.annotations[a/b]`, `rules`; sorted. */
export function changedFields(before: object, after: object): readonly string[] {
  const old = fieldsOf(before as Tree);
  const next = fieldsOf(after as Tree);
  return [...new Set([...old.keys(), ...next.keys()])].filter((field) => old.get(field) !== next.get(field)).sort();
}

/** Each field with its value as JSON. */
function fieldsOf(object: Tree): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  const put = (field: string, value: unknown): void => {
    if (value !== undefined && !NOBODYS.has(field)) fields.set(field, JSON.stringify(value));
  };
  for (const [top, value] of Object.entries(object)) {
    if (!isTree(value) || !["metadata", "spec", "status"].includes(top)) {
      put(top, value);
      continue;
    }
    for (const [key, inner] of Object.entries(value)) {
      const field = `${top}.${key}`;
      for (const [name, element] of elementsOf(field, inner)) put(name, element);
    }
  }
  return fields;
}

function elementsOf(field: string, value: unknown): readonly (readonly [name: string, value: unknown])[] {
  const named = SHARED_LISTS[field];
  if (named !== undefined && Array.isArray(value))
    return value.map((element: unknown) => {
      const name = named === "" ? element : (element as Tree)[named];
      return [`${field}[${String(name)}]`, element];
    });
  if (field === ANNOTATIONS && isTree(value))
    return Object.entries(value).map(([key, element]) => [`${field}[${key}]`, element]);
  return [[field, value]];
}

function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
