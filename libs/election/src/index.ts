/**
 * Leader election: one leader among processes of a kind, chosen by a key in the store.
 *
 * Promises: `lead` runs only with a key that this process created, whose create-revision is the fence; at most one
 * create-revision exists at a time, and they rise. A leader that loses the key, or cannot renew its lease for two thirds of
 * its time, hears so at once. A dead leader is replaced after about two seconds where beats and probes work, else when
 * its lease (15 s) ends; one that stops cleanly is replaced at once.
 * Does not promise: that no two processes believe that they lead. A paused one may: the fence refuses its writes (C11).
 */
export { LeadershipLost, runElection } from "./election.ts";
export type { ElectionOptions, Leadership } from "./election.ts";
export { electionKey } from "./key.ts";
export { electionTimes } from "./machine.ts";
export type { SeenKey } from "./machine.ts";
