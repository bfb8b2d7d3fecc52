/** Small grammars that clients write: selectors, quantities, continue tokens, media types, trace contexts. */
import { bodyFormat, negotiate, parseMediaType, RESOURCE_MEDIA } from "@pilothouse/api";
import { StatusError } from "@pilothouse/errors";
import { parseQuantity, QuantityError } from "@pilothouse/quantity";
import {
  fieldSelectorToString,
  type FieldSelector,
  labelSelectorToString,
  matchesFields,
  matchesLabels,
  parseFieldSelector,
  parseLabelSelector,
} from "@pilothouse/selectors";
import { parseTraceparent } from "@pilothouse/telemetry";
import { formatContinueToken, parseContinueToken } from "../../../services/apiserver/src/core/continue-token.ts";
import { chance, mutateText, pick } from "../mutate.ts";
import { expectSame, resultOrRefusal, type Target } from "../target.ts";

const LABELS = { app: "web", "a.b/c": "", tier: "5", __proto__: "x" };

export const selectors: Target = {
  name: "selectors",
  casesInTests: 160_000,
  parts: ["selector"],
  input: (random) => [
    mutateText(
      random,
      pick(random, [
        "app=web,tier in (a, b),!x",
        "a.b/c notin (),x>5",
        "app!=web",
        "metadata.name=a,spec.x!=b\\,c",
        "",
      ]),
      [",", "=", "==", "!=", "!", " in ", " notin ", "(", ")", ">", "<", " ", "\\", "app", "a.b/c", "metadata.name"],
    ),
  ],
  check([text = ""]) {
    const labels = resultOrRefusal([StatusError], () => parseLabelSelector(text));
    if (labels) {
      matchesLabels(labels, LABELS);
      const written = labelSelectorToString(labels);
      expectSame("a label selector, written and read", labelSelectorToString(parseLabelSelector(written)), written);
    }
    const fields = resultOrRefusal([StatusError], () => parseFieldSelector(text));
    if (fields) {
      matchesFields(fields, LABELS);
      const again = parseFieldSelector(fieldSelectorToString(fields));
      expectSame("a field selector, written and read", termsOf(again), termsOf(fields));
    }
  },
};

/** Terms that are alike but for what is escaped may change places. */
function termsOf(selector: FieldSelector): string {
  return selector
    .map((term) => JSON.stringify(term))
    .sort()
    .join();
}

export const quantities: Target = {
  name: "quantities",
  casesInTests: 1_600_000,
  parts: ["quantity"],
  input: (random) => [
    mutateText(random, pick(random, ["1", "100m", "1.5Gi", "-0.1e3", "+1E-9", "9223372036854775807"]), [
      ...Array.from("0123456789.+-eEinumkKMGTP"),
      "000000000000",
      "e999",
      "E-1000",
    ]),
  ],
  check([text = ""]) {
    const quantity = resultOrRefusal([QuantityError], () => parseQuantity(text));
    if (!quantity) return;
    const written = quantity.toString();
    expectSame("a quantity, written and read", parseQuantity(written).toString(), written);
  },
};

export const continueTokens: Target = {
  name: "continue-tokens",
  casesInTests: 600_000,
  parts: ["token"],
  input(random) {
    const token = { v: "meta.k8s.io/v1", rv: 7, start: "shop/web" };
    const text = mutateText(random, JSON.stringify(token), ['"', ",", "{", "}", "-1", "1e9", "null", "../", "\\u0000"]);
    const encoded = Buffer.from(text).toString("base64url");
    return [chance(random, 0.5) ? encoded : mutateText(random, encoded, Array.from("AZaz09-_=+/ "))];
  },
  check([text = ""]) {
    const token = resultOrRefusal([StatusError], () => parseContinueToken(text));
    if (!token) return;
    const written = formatContinueToken(token);
    expectSame("a token, written and read", formatContinueToken(parseContinueToken(written)), written);
  },
};

export const mediaTypes: Target = {
  name: "media-types",
  casesInTests: 180_000,
  parts: ["header"],
  input: (random) => [
    mutateText(
      random,
      pick(random, [
        "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
        "application/vnd.kubernetes.protobuf;stream=watch;q=0.9",
        "*/*;q=0",
      ]),
      [",", ";", "=", '"', "q=", "as=", "g=", "v=", "*/*", "application/", "json", "yaml", " "],
    ),
  ],
  check([text = ""]) {
    parseMediaType(text);
    bodyFormat(text);
    negotiate(text, RESOURCE_MEDIA);
    parseTraceparent(text);
  },
};
