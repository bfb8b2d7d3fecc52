/** Which of a pod's registry passwords are for an image. Pure; upstream's credentialprovider keyring. */
import type { ImageAuth } from "@pilothouse/runtime";

/** A password as a pull secret has it: for a registry, or for one path of it. */
export interface Login extends ImageAuth {
  /** `registry.example.com`, `https://*.example.com:5000/team`, `https://index.docker.io/v1/`. */
  readonly server: string;
}

interface Place {
  readonly host: string;
  /** "" or from the first slash on. */
  readonly path: string;
}

const DOCKER_HUB: ReadonlySet<string> = new Set(["docker.io", "index.docker.io"]);

/** Those that fit, the one for the longest path first. */
export function loginsFor(image: string, logins: readonly Login[]): readonly ImageAuth[] {
  const target = placeOfImage(image);
  return logins
    .map(({ server, username, password }) => ({ place: placeOfServer(server), auth: { username, password } }))
    .filter(({ place }) => fits(place, target))
    .sort((a, b) => b.place.path.length - a.place.path.length)
    .map(({ auth }) => auth);
}

function fits(server: Place, image: Place): boolean {
  if (DOCKER_HUB.has(server.host) && DOCKER_HUB.has(image.host)) return image.path.startsWith(server.path);
  return matchesHost(server.host, image.host) && image.path.startsWith(server.path);
}

/** Label by label, each of which may have `*` and `?`; so may the port not. */
function matchesHost(pattern: string, host: string): boolean {
  const [names = "", port = ""] = pattern.split(":");
  const [hostNames = "", hostPort = ""] = host.split(":");
  const [patterns, labels] = [names.split("."), hostNames.split(".")];
  if (port !== hostPort || patterns.length !== labels.length) return false;
  return patterns.every((each, at) => matchesGlob(each, labels[at] ?? ""));
}

/** `*` is any text, `?` any character. Goes back to the last `*` only, so that no pattern takes long. */
function matchesGlob(pattern: string, text: string): boolean {
  let [inPattern, inText, star, from] = [0, 0, -1, 0];
  while (inText < text.length) {
    const expected = pattern[inPattern];
    if (expected === "*") {
      star = inPattern++;
      from = inText;
    } else if (expected === "?" || expected === text[inText]) {
      inPattern++;
      inText++;
    } else if (star >= 0) {
      inPattern = star + 1;
      inText = ++from;
    } else return false;
  }
  return /^\**$/.test(pattern.slice(inPattern));
}

/** `/v1/` and `/v2/` say which API it is; they are no part of a name. */
function placeOfServer(server: string): Place {
  const bare = server.replace(/^https?:\/\//, "");
  const slash = bare.indexOf("/");
  if (slash < 0) return { host: bare, path: "" };
  const path = bare.slice(slash).replace(/^\/v[12]\//, "/");
  return { host: bare.slice(0, slash), path: path === "/" ? "" : path };
}

/** What names no registry is on Docker's hub. */
function placeOfImage(image: string): Place {
  const [first = "", ...rest] = image.split("/");
  const isRegistry = rest.length > 0 && (/[.:]/.test(first) || first === "localhost");
  if (!isRegistry) return { host: "docker.io", path: rest.length === 0 ? `/library/${image}` : `/${image}` };
  return { host: first, path: `/${rest.join("/")}` };
}
