/** Which identities lead elections: their writes must name their leadership (C11). */
import { badRequest, forbidden } from "@pilothouse/errors";
import { FENCE_HEADER, type RequestInfo, type UserInfo, type WriteCause } from "../core/model.ts";

const ELECTION_OF_USER: ReadonlyMap<string, string> = new Map([
  ["system:kube-scheduler", "kube-scheduler"],
  ["system:kube-controller-manager", "kube-controller-manager"],
]);

/** Writes that carry no decision of a leader: anybody's news and questions. */
const UNFENCED: readonly string[] = [
  "events",
  "leases",
  "tokenreviews",
  "subjectaccessreviews",
  "localsubjectaccessreviews",
  "selfsubjectaccessreviews",
  "selfsubjectrulesreviews",
  "selfsubjectreviews",
];
const READS: readonly string[] = ["get", "list", "watch"];

/**
 * The fence that a request brings; undefined for everybody who leads nothing.
 *
 * @throws StatusError 403 when a leader's identity writes without naming its leadership, 400 for a malformed header
 */
export function fenceOf(
  user: UserInfo,
  info: RequestInfo,
  headers: Readonly<Record<string, string>>,
): WriteCause["fence"] {
  const election = ELECTION_OF_USER.get(user.name);
  const given = headers[FENCE_HEADER];
  if (given !== undefined) {
    const match = /^([a-z0-9-]+)\/([1-9][0-9]{0,15})$/.exec(given);
    if (!match) throw badRequest(`the header ${FENCE_HEADER} is not <election>/<create-revision>`);
    const named = match[1] as string;
    if (election !== undefined && named !== election) {
      throw forbidden(info, info.name, `${user.name} leads election "${election}", not "${named}"`);
    }
    return { election: named, createRevision: Number(match[2]) };
  }
  const isWrite = info.isResourceRequest && !READS.includes(info.verb);
  if (election === undefined || !isWrite || UNFENCED.includes(info.resource)) return undefined;
  throw forbidden(
    info,
    info.name,
    `${user.name} must name its leadership of election "${election}" in ${FENCE_HEADER}`,
  );
}
