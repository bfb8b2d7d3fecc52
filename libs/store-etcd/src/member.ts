/**
 * One etcd member as an operator asks for it: by its own address, and of itself. Read-only.
 *
 * Promises: each call ends within its deadline and throws `StoreUnavailable` when the member does not answer; a member that has
 * no quorum still answers, from what it has.
 */
import type { Clock } from "@pilothouse/clock";
import { prefixRange } from "@pilothouse/store";
import type { StoreEntry } from "@pilothouse/store";
import type { IMemberListResponse, IRangeResponse, IStatusResponse } from "etcd3";
import { channelCredentials, Connection } from "./connection.ts";
import type { ServiceName, TlsFiles } from "./connection.ts";
import { rangeRequest, safeNumber, toEntry } from "./messages.ts";

export interface EtcdMemberStatus {
  /** Hexadecimal, as etcdctl prints it. */
  readonly id: string;
  /** Of the member that this one takes for the leader; undefined while it knows none. */
  readonly leaderId: string | undefined;
  /** Of the server, without a `v`. */
  readonly version: string;
  readonly dbBytes: number;
  readonly dbUsedBytes: number;
  readonly revision: number;
  /** How much of raft's log it has applied: members that have applied the same must be at the same revision. */
  readonly appliedIndex: number;
  readonly isLearner: boolean;
  /** `NOSPACE` or `CORRUPT`, of this member. */
  readonly alarms: readonly string[];
}

export interface EtcdMemberEntry {
  readonly id: string;
  /** Empty while it has never started. */
  readonly name: string;
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}

export interface EtcdMember {
  status(): Promise<EtcdMemberStatus>;
  /** The members of the cluster, as this one knows them. */
  members(): Promise<readonly EtcdMemberEntry[]>;
  /** The entries below a prefix as this member has them: perhaps not the newest. */
  entries(prefix: string): Promise<{ readonly entries: readonly StoreEntry[]; readonly revision: number }>;
  close(): void;
}

export interface EtcdMemberOptions {
  /** `https://host:port` */
  readonly endpoint: string;
  readonly tls?: TlsFiles;
  readonly clock: Clock;
  /** Of each call, its connection included. */
  readonly deadlineMs: number;
}

export function etcdMember({ endpoint, tls, clock, deadlineMs }: EtcdMemberOptions): EtcdMember {
  const connection = new Connection(endpoint, channelCredentials(tls), clock);
  const ask = async <Answer>(service: ServiceName, method: string, request: object): Promise<Answer> => {
    const startedMs = clock.monotonicMs();
    await connection.ready(service, deadlineMs);
    const leftMs = Math.max(1, deadlineMs - (clock.monotonicMs() - startedMs));
    return connection.unary<Answer>({ service, method, request, leaderless: true }, leftMs);
  };
  return {
    async status() {
      const status = await ask<IStatusResponse>("Maintenance", "status", {});
      const id = status.header.member_id;
      return {
        id: hexadecimal(id),
        leaderId: status.leader === "0" ? undefined : hexadecimal(status.leader),
        version: status.version,
        dbBytes: safeNumber(status.dbSize),
        dbUsedBytes: safeNumber(status.dbSizeInUse),
        revision: safeNumber(status.header.revision),
        appliedIndex: safeNumber(status.raftAppliedIndex),
        isLearner: status.isLearner,
        alarms: status.errors.flatMap((error) => alarmOf(error, id)),
      };
    },
    async members() {
      const { members } = await ask<IMemberListResponse>("Cluster", "memberList", {});
      return members.map(({ ID, name, clientURLs, isLearner }) => ({
        id: hexadecimal(ID),
        name,
        clientUrls: clientURLs,
        isLearner,
      }));
    },
    async entries(prefix) {
      const request = rangeRequest(prefixRange(prefix), { serializable: true });
      const answer = await ask<IRangeResponse>("KV", "range", request);
      return { entries: answer.kvs.map(toEntry), revision: safeNumber(answer.header.revision) };
    },
    close: () => connection.close(),
  };
}

function hexadecimal(id: string): string {
  return BigInt(id).toString(16);
}

/**
 * A member lists the alarms of all, in protobuf's text form: `memberID:1234 alarm:NOSPACE `. The RPC that asks for alarms is a
 * proposal, which a member without a quorum cannot answer.
 */
function alarmOf(error: string, memberId: string): readonly string[] {
  const [, id, alarm] = /^memberID:(\d+) alarm:(\w+)/.exec(error) ?? [];
  return id === memberId && alarm !== undefined ? [alarm] : [];
}
