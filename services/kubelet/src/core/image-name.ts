/** What the text that names an image says: whether it can name one at all, and whether a registry has it. Pure. */

const COMPONENT = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
const DOMAIN = `(?:${COMPONENT}(?:\\.${COMPONENT})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?`;
const PATH = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const TAG = "[\\w][\\w.-]{0,127}";
const DIGEST = "[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}";
const REFERENCE = new RegExp(`^(?:${DOMAIN}/)?${PATH}(?:/${PATH})*(?::${TAG})?(?:@${DIGEST})?$`);

/** Why it names none, in the words of upstream's parser; undefined when it does. */
export function imageNameProblem(name: string): string | undefined {
  if (/^[a-f0-9]{64}$/.test(name))
    return `invalid repository name (${name}), cannot specify 64-byte hexadecimal strings`;
  if (REFERENCE.test(name)) return undefined;
  const path = pathOf(name);
  if (path !== path.toLowerCase()) return `invalid reference format: repository name (${path}) must be lowercase`;
  return "invalid reference format";
}

/** Without what stands for a registry, a tag or a digest. */
function pathOf(name: string): string {
  const [first = "", ...rest] = name.split("/");
  const isDomain = rest.length > 0 && (/[.:]/.test(first) || first === "localhost" || first !== first.toLowerCase());
  const remote = isDomain ? rest.join("/") : name;
  const path = remote.replace(/@.*$/, "").replace(/:[^/:]*$/, "");
  return !isDomain && rest.length === 0 ? `library/${path}` : path;
}

/** No registry has it: what is on this machine is all there is, and whoever removes it takes it away for good. */
export function isLocalImage(name: string): boolean {
  return name.startsWith("pilothouse.local/");
}
