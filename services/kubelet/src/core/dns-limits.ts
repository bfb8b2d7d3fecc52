/** As much of a resolver's configuration as resolvers take, with upstream's limits and words. Pure. */

const MAX_SERVERS = 3;
const MAX_SEARCHES = 32;
const MAX_SEARCH_CHARS = 2048;
/** glibc 2.28 aborts at longer ones. */
const MAX_DOMAIN_CHARS = 253;

export interface Fitted {
  readonly kept: readonly string[];
  /** Undefined when all were kept. */
  readonly warning: string | undefined;
}

export function fittingServers(servers: readonly string[]): Fitted {
  const kept = servers.slice(0, MAX_SERVERS);
  if (kept.length === servers.length) return { kept, warning: undefined };
  const what = "Nameserver limits were exceeded, some nameservers have been omitted";
  return { kept, warning: `${what}, the applied nameserver line is: ${kept.join(" ")}` };
}

export function fittingSearches(searches: readonly string[]): Fitted {
  const kept = searches.slice(0, MAX_SEARCHES).filter(({ length }) => length <= MAX_DOMAIN_CHARS);
  while (kept.join(" ").length > MAX_SEARCH_CHARS) kept.pop();
  if (kept.length === searches.length) return { kept, warning: undefined };
  const what = "Search Line limits were exceeded, some search paths have been omitted";
  return { kept, warning: `${what}, the applied search line is: ${kept.join(" ")}` };
}
