/**
 * Links of a proxied backend, turned so that they lead through the proxy again: in `Location` and in HTML. Pure.
 *
 * By upstream's rule: absolute paths get the proxy's prefix; relative links, and those to other hosts, stay.
 */

export interface LinkRewriting {
  /** The apiserver's path up to `/proxy`. */
  readonly prefix: string;
  /** `host:port` by which the backend was asked, and by which the client asked the apiserver. */
  readonly backendHost: string;
  readonly requestHost: string;
}

const LINK = /^(?:([a-zA-Z][a-zA-Z0-9+.-]*):)?(?:\/\/([^/?#]*))?([^?#]*)(.*)$/s;

export function rewrittenLink(link: string, { prefix, backendHost, requestHost }: LinkRewriting): string {
  const [, scheme, host = "", path = "", rest = ""] = LINK.exec(link) ?? [];
  const isElsewhere = host !== "" && host !== backendHost && host !== requestHost;
  if (isElsewhere || !path.startsWith("/")) return link;
  const before = host !== "" && host === requestHost ? `${scheme === undefined ? "" : `${scheme}:`}//${host}` : "";
  return `${before}${path.startsWith(prefix) ? path : `${prefix}${path}`}${rest}`;
}

/** Which attributes of which elements hold links, as upstream rewrites them. */
const LINKING: Readonly<Record<string, readonly string[]>> = {
  a: ["href"],
  applet: ["codebase"],
  area: ["href"],
  audio: ["src"],
  base: ["href"],
  blockquote: ["cite"],
  body: ["background"],
  button: ["formaction"],
  command: ["icon"],
  del: ["cite"],
  embed: ["src"],
  form: ["action"],
  frame: ["longdesc", "src"],
  head: ["profile"],
  html: ["manifest"],
  iframe: ["longdesc", "src"],
  img: ["longdesc", "src", "usemap"],
  input: ["src", "usemap", "formaction"],
  ins: ["cite"],
  link: ["href"],
  object: ["classid", "codebase", "data", "usemap"],
  q: ["cite"],
  script: ["src"],
  source: ["src"],
  video: ["poster", "src"],
};

/** Elements whose contents are text, whatever it looks like. */
const RAW_TEXT: readonly string[] = ["script", "style", "textarea", "title", "xmp", "noembed", "noframes", "iframe"];

/** Bounded, so that a hostile page costs no more than its size: names of attributes are short. */
const ATTRIBUTE = /([^\s=/"'<>]{1,64})(\s{0,16}=\s{0,16})("[^"]*"|'[^']*'|[^\s"'>]+)/g;

/** The page with its links rewritten, and not a byte of the rest changed. `html` holds one character a byte (latin1). */
export function rewrittenHtml(html: string, rewriting: LinkRewriting): string {
  let out = "";
  let from = 0;
  for (const { name, start, end } of tagsOf(html)) {
    const names = Object.hasOwn(LINKING, name) ? LINKING[name] : undefined;
    if (!names) continue;
    const attributes = start + 1 + name.length;
    out += html.slice(from, attributes) + rewrittenAttributes(html.slice(attributes, end), names, rewriting);
    from = end;
  }
  return out + html.slice(from);
}

interface Tag {
  /** Lower case. */
  readonly name: string;
  /** Of its `<`. */
  readonly start: number;
  /** Of its `>`. */
  readonly end: number;
}

/** The opening tags outside comments and raw text. One pass: whatever has no end is the end. */
function* tagsOf(html: string): Generator<Tag> {
  for (let start = html.indexOf("<"); start >= 0;) {
    let next = start + 1;
    if (html.startsWith("<!--", start)) {
      next = html.indexOf("-->", start + 4);
    } else if (/[a-zA-Z]/.test(html.charAt(next))) {
      const end = endOfTag(html, next);
      if (end < 0) return;
      const name = (/^[^\s/>]+/.exec(html.slice(next, Math.min(end, next + LONGEST_NAME)))?.[0] ?? "").toLowerCase();
      yield { name, start, end };
      next = RAW_TEXT.includes(name) ? endOfText(html, end, name) : end;
    }
    if (next < 0) return;
    start = html.indexOf("<", next);
  }
}

const LONGEST_NAME = 16;

/** Where the tag's `>` is, quotes passed over; -1 for none. */
function endOfTag(html: string, from: number): number {
  for (let at = from; at < html.length; at++) {
    const char = html.charAt(at);
    if (char === ">") return at;
    if (char !== '"' && char !== "'") continue;
    at = html.indexOf(char, at + 1);
    if (at < 0) return -1;
  }
  return -1;
}

function rewrittenAttributes(attributes: string, names: readonly string[], rewriting: LinkRewriting): string {
  return attributes.replace(ATTRIBUTE, (whole, name: string, equals: string, value: string) => {
    if (!names.includes(name.toLowerCase())) return whole;
    const quote = value.startsWith('"') || value.startsWith("'") ? value.charAt(0) : "";
    const link = quote === "" ? value : value.slice(1, -1);
    return `${name}${equals}${quote}${rewrittenLink(link, rewriting)}${quote}`;
  });
}

function endOfText(html: string, from: number, element: string): number {
  const end = new RegExp(`</${element}`, "gi");
  end.lastIndex = from;
  return end.exec(html)?.index ?? -1;
}
