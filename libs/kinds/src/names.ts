/** How names of objects are judged, for `KindDefinition.validateName`; in upstream's texts. */
import {
  checkDns1035Label,
  checkDns1123Label,
  checkDns1123Subdomain,
  checkPathSegment,
  maskTrailingDash,
} from "@pilothouse/selectors/names";

type ObjectNameRule = (name: string, isGenerateName: boolean) => readonly string[];

/** Most kinds. */
export const subdomainName = nameRule(checkDns1123Subdomain);
/** Namespaces. */
export const labelName = nameRule(checkDns1123Label);
/** Services: their names start with a letter, since environment variables come from them. */
export const serviceName = nameRule(checkDns1035Label);
/** Kinds of RBAC: `system:node` is a name. */
export const pathSegmentName: ObjectNameRule = checkPathSegment;

/** The dash before a generated suffix is not the end of a name. */
function nameRule(check: (name: string) => readonly string[]): ObjectNameRule {
  return (name, isGenerateName) => check(isGenerateName ? maskTrailingDash(name) : name);
}
