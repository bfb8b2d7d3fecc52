import type { IngressClass, IngressClassSpec } from "@pilothouse/api/types/networking-v1";
import { checkDns1123Subdomain } from "@pilothouse/selectors/names";
import { AGE, shown } from "../columns.ts";
import {
  firstErrors,
  forbidden,
  immutable,
  invalid,
  invalidEach,
  notSupported,
  required,
  tooLong,
} from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { nextGeneration, startGeneration } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { labelName } from "../names.ts";
import { referenceRules } from "./ingress.ts";

const MAX_CONTROLLER_BYTES = 250;
const SCOPES = ["Cluster", "Namespace"];
const HTTP_PATH = "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+";

export const ingressClass: KindDefinition<IngressClass> = {
  group: "networking.k8s.io",
  version: "v1",
  kind: "IngressClass",
  resource: "ingressclasses",
  singular: "ingressclass",
  shortNames: [],
  categories: [],
  namespaced: false,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
  defaults: (ingressClass) => {
    const spec = (ingressClass.spec ??= {});
    if (spec.parameters) spec.parameters.scope ??= "Cluster";
  },
  prepareForCreate: startGeneration,
  prepareForUpdate: (ingressClass, old) => nextGeneration(ingressClass, old),
  validate: ({ spec }) => firstErrors(rules(spec)),
  validateUpdate: ({ spec }, old) => firstErrors(immutable("spec.controller", spec.controller, old.spec.controller)),
  columns: [
    shown("Controller", ({ spec }) => spec.controller ?? "", "Who acts on Ingresses of this class."),
    shown("Parameters", ({ spec }) => parametersText(spec), "What further configures it."),
    AGE,
  ],
  ageColumn: false,
};

function* rules({ controller = "", parameters }: IngressClassSpec): FieldErrors {
  if (controller.length > MAX_CONTROLLER_BYTES) yield tooLong("spec.controller", MAX_CONTROLLER_BYTES);
  yield* domainPathRules("spec.controller", controller);
  if (!parameters) return;
  const at = "spec.parameters";
  yield* referenceRules(at, parameters);
  const { scope, namespace } = parameters;
  if (scope === undefined) yield required(`${at}.scope`);
  else if (!SCOPES.includes(scope)) yield notSupported(`${at}.scope`, scope, SCOPES);
  else if (scope === "Cluster") {
    if (namespace !== undefined) yield forbidden(`${at}.namespace`, "`parameters.scope` is set to 'Cluster'");
  } else if (namespace === undefined) yield required(`${at}.namespace`, "`parameters.scope` is set to 'Namespace'");
  else yield* invalidEach(`${at}.namespace`, namespace, labelName(namespace, false));
}

function* domainPathRules(path: string, value: string): FieldErrors {
  if (value === "") {
    yield required(path);
    return;
  }
  const slash = value.indexOf("/");
  const host = value.slice(0, Math.max(slash, 0));
  const rest = value.slice(slash + 1);
  if (slash < 1 || rest === "") {
    yield invalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")');
    return;
  }
  yield* invalidEach(path, host, checkDns1123Subdomain(host));
  if (!new RegExp(`^${HTTP_PATH}$`).test(rest)) {
    yield invalid(path, rest, `Invalid path (regex used for validation is '${HTTP_PATH}')`);
  }
}

function parametersText({ parameters }: IngressClassSpec): string {
  if (!parameters) return "<none>";
  const { kind, apiGroup, name } = parameters;
  return `${kind}${apiGroup === undefined ? "" : `.${apiGroup}`}/${name}`;
}
