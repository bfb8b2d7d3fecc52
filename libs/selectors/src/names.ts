/**
 * What Kubernetes accepts as a name, label key, label value, port name and the like.
 *
 * Every check returns upstream's texts for what is wrong, in upstream's order; an empty list means valid.
 * A caller puts each text behind a field path (`Invalid value: "X": <text>`). Lengths are counted in UTF-8 bytes.
 */
const LABEL_FORMAT = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_FORMAT = `${LABEL_FORMAT}(\\.${LABEL_FORMAT})*`;
const UNDERSCORE_LABEL_FORMAT = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
const DNS1035_FORMAT = "[a-z]([-a-z0-9]*[a-z0-9])?";
const WILDCARD_FORMAT = `\\*\\.${SUBDOMAIN_FORMAT}`;
const LABEL_KEY_FORMAT = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE_FORMAT = `(${LABEL_KEY_FORMAT})?`;
const CONFIG_KEY_FORMAT = "[-._a-zA-Z0-9]+";
const PERCENT_FORMAT = "[0-9]+%";
const HTTP_HEADER_FORMAT = "[-A-Za-z0-9]+";

const LABEL = whole(LABEL_FORMAT);
const SUBDOMAIN = whole(SUBDOMAIN_FORMAT);
const UNDERSCORE_SUBDOMAIN = whole(`${UNDERSCORE_LABEL_FORMAT}(\\.${UNDERSCORE_LABEL_FORMAT})*`);
const DNS1035 = whole(DNS1035_FORMAT);
const WILDCARD = whole(WILDCARD_FORMAT);
const LABEL_KEY = whole(LABEL_KEY_FORMAT);
const LABEL_VALUE = whole(LABEL_VALUE_FORMAT);
const CONFIG_KEY = whole(CONFIG_KEY_FORMAT);
const PERCENT = whole(PERCENT_FORMAT);
const HTTP_HEADER = whole(HTTP_HEADER_FORMAT);

const LABEL_KEY_TEXT =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/** A DNS label by RFC 1123: names of namespaces, containers, volumes. */
export function checkDns1123Label(value: string): readonly string[] {
  const errors: string[] = [];
  if (sizeBytes(value) > 63) errors.push(maxCharacters(63));
  if (LABEL.test(value)) return errors;
  errors.push(
    SUBDOMAIN.test(value)
      ? "must not contain dots"
      : mismatch(
          "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
          LABEL_FORMAT,
          "my-name",
          "123-abc",
        ),
  );
  return errors;
}

/** A DNS subdomain by RFC 1123: names of most objects. */
export function checkDns1123Subdomain(value: string): readonly string[] {
  return subdomainErrors(value, maxCharacters(253));
}

/** The same with underscores (`_sip._tcp.example.com`): where a resolver searches. The text shows the format without them, as upstream's. */
export function checkDns1123SubdomainWithUnderscore(value: string): readonly string[] {
  return check(value, 253, UNDERSCORE_SUBDOMAIN, () =>
    mismatch(
      "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character",
      SUBDOMAIN_FORMAT,
      "example.com",
    ),
  );
}

/** A DNS label by RFC 1035, which starts with a letter: names of Services. */
export function checkDns1035Label(value: string): readonly string[] {
  return check(value, 63, DNS1035, () =>
    mismatch(
      "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
      DNS1035_FORMAT,
      "my-name",
      "abc-123",
    ),
  );
}

/** `*.example.com`: hosts of an Ingress. */
export function checkWildcardDns1123Subdomain(value: string): readonly string[] {
  return check(value, 253, WILDCARD, () =>
    mismatch(
      "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
      WILDCARD_FORMAT,
      "*.example.com",
    ),
  );
}

/** A qualified name, `[prefix/]name`: label keys, annotation keys (lower-cased by the caller), finalizers, resource names. */
export function checkQualifiedName(value: string): readonly string[] {
  const parts = value.split("/");
  if (parts.length > 2) {
    const text = mismatch(LABEL_KEY_TEXT, LABEL_KEY_FORMAT, "MyName", "my.name", "123-abc");
    return [`a valid label key ${text} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`];
  }
  const errors: string[] = [];
  const name = parts.at(-1) ?? "";
  const prefix = parts.length === 2 ? parts[0] : undefined;
  if (prefix === "") errors.push("prefix part must be non-empty");
  else if (prefix !== undefined)
    errors.push(...subdomainErrors(prefix, maxBytes(253)).map((text) => `prefix part ${text}`));
  if (name === "") errors.push("name part must be non-empty");
  else if (sizeBytes(name) > 63) errors.push(`name part ${maxBytes(63)}`);
  if (!LABEL_KEY.test(name))
    errors.push(`name part ${mismatch(LABEL_KEY_TEXT, LABEL_KEY_FORMAT, "MyName", "my.name", "123-abc")}`);
  return errors;
}

export const checkLabelKey = checkQualifiedName;

export function checkLabelValue(value: string): readonly string[] {
  const errors: string[] = [];
  if (sizeBytes(value) > 63) errors.push(maxBytes(63));
  if (!LABEL_VALUE.test(value))
    errors.push(
      mismatch(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
        LABEL_VALUE_FORMAT,
        "MyValue",
        "my_value",
        "12345",
      ),
    );
  return errors;
}

/** A key of a ConfigMap or Secret, which becomes a file name. */
export function checkConfigMapKey(value: string): readonly string[] {
  const errors = check(value, 253, CONFIG_KEY, () =>
    mismatch(
      "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
      CONFIG_KEY_FORMAT,
      "key.name",
      "KEY_NAME",
      "key-name",
    ),
  );
  if (value === ".") return [...errors, "must not be '.'"];
  if (value === "..") return [...errors, "must not be '..'"];
  if (value.startsWith("..")) return [...errors, "must not start with '..'"];
  return errors;
}

/** The name of an environment variable, by the relaxed rule that holds since v1.34: printable ASCII without `=`. */
export function checkEnvVarName(value: string): readonly string[] {
  if (value === "") return ["environment variable name must be non-empty"];
  if (/^[ -<>-~]*$/.test(value)) return [];
  return ["a valid environment variable name must consist only of printable ASCII characters other than '='"];
}

/** The name of a port of a container or Service target: an IANA service name. */
export function checkPortName(value: string): readonly string[] {
  const errors: string[] = [];
  if (sizeBytes(value) > 15) errors.push(maxCharacters(15));
  if (!/^[-a-z0-9]+$/.test(value))
    errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  if (!/[a-z]/.test(value)) errors.push("must contain at least one letter (a-z)");
  if (value.includes("--")) errors.push("must not contain consecutive hyphens");
  if (value.startsWith("-") || value.endsWith("-")) errors.push("must not begin or end with a hyphen");
  return errors;
}

export function checkPortNumber(port: number): readonly string[] {
  return checkRange(port, 1, 65535);
}

/** `lo` and `hi` are allowed themselves. */
export function checkRange(value: number, lo: number, hi: number): readonly string[] {
  return Number.isInteger(value) && value >= lo && value <= hi ? [] : [`must be between ${lo} and ${hi}, inclusive`];
}

export function checkPercent(value: string): readonly string[] {
  return PERCENT.test(value)
    ? []
    : [
        mismatch(
          "a valid percent string must be a numeric string followed by an ending '%'",
          PERCENT_FORMAT,
          "1%",
          "93%",
        ),
      ];
}

export function checkHttpHeaderName(value: string): readonly string[] {
  return HTTP_HEADER.test(value)
    ? []
    : [
        mismatch(
          "a valid HTTP header must consist of alphanumeric characters or '-'",
          HTTP_HEADER_FORMAT,
          "X-Header-Name",
        ),
      ];
}

/** How `generateName` is judged: the trailing dash that a random suffix follows is not held against it. */
export function maskTrailingDash(name: string): string {
  return name.length > 1 && name.endsWith("-") ? `${name.slice(0, -2)}a` : name;
}

/** Names that are one segment of a path: kinds of RBAC, whose names may hold colons and capitals. */
export function checkPathSegment(name: string): readonly string[] {
  if (name === "." || name === "..") return [`may not be '${name}'`];
  return ["/", "%"].filter((illegal) => name.includes(illegal)).map((illegal) => `may not contain '${illegal}'`);
}

function subdomainErrors(value: string, tooLong: string): readonly string[] {
  const errors: string[] = [];
  if (sizeBytes(value) > 253) errors.push(tooLong);
  if (!SUBDOMAIN.test(value))
    errors.push(
      mismatch(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
        SUBDOMAIN_FORMAT,
        "example.com",
      ),
    );
  return errors;
}

function check(value: string, max: number, format: RegExp, text: () => string): readonly string[] {
  const errors: string[] = [];
  if (sizeBytes(value) > max) errors.push(maxCharacters(max));
  if (!format.test(value)) errors.push(text());
  return errors;
}

function mismatch(text: string, format: string, ...examples: readonly string[]): string {
  const list = examples.map((example) => `'${example}', `).join(" or ");
  return `${text} (e.g. ${list}regex used for validation is '${format}')`;
}

/** Upstream words the same limit in two ways: labels count bytes, names count characters. Both mean bytes. */
function maxBytes(length: number): string {
  return `must be no more than ${length} bytes`;
}

function maxCharacters(length: number): string {
  return `must be no more than ${length} characters`;
}

function sizeBytes(value: string): number {
  return Buffer.byteLength(value);
}

function whole(format: string): RegExp {
  return new RegExp(`^${format}$`);
}
