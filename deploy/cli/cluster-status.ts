/** What the operator is told about a cluster of several machines, from what was seen of its parts. Pure. */
import type * as coreV1 from "@pilothouse/api/types/core-v1";
import { addressOf, machineNames, type MachineNames } from "./machine-names.ts";
import type {
  ApiserverSeen,
  CertificateSeen,
  ClusterSeen,
  EtcdSeen,
  KubeletSeen,
  LeaderSeen,
  NatsSeen,
  Seen,
} from "./cluster-seen.ts";
import type { StatusLine } from "./status-lines.ts";

const ROLE_LABEL = "node-role.kubernetes.io/";
const ELECTIONS = ["kube-scheduler", "kube-controller-manager"];
const PLAYBOOK = "ansible-playbook -i inventory.yml ansible";
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
/** Machines renew theirs when a third of the life is left: one with less than this share of it has been forgotten. */
const FORGOTTEN_SHARE = 0.25;

/** In the order in which they depend on each other. */
export function clusterLines(seen: ClusterSeen, nowMs: number): readonly StatusLine[] {
  const names = machineNames(seen);
  return [
    quorumLine(seen.etcd, names),
    ...seen.etcd.map((member) => etcdLine(member, names, nowMs)),
    ...differingMembers(seen.etcd, names),
    ...unknownMembers(seen.etcd),
    ...seen.nats.map((server) => natsLine(server, names, nowMs)),
    ...seen.apiservers.map((apiserver) => apiserverLine(apiserver, names, nowMs)),
    ...shutOut(seen),
    usersLine(seen),
    ...ELECTIONS.map((election) => leaderLine(election, newestLeaders(seen.etcd))),
    ...nodeLines(seen, nowMs),
    certificatesLine(certificatesOf(seen, names), nowMs),
  ];
}

// ---- etcd ----

function quorumLine(members: readonly EtcdSeen[], names: MachineNames): StatusLine {
  const statuses = members.flatMap(({ status }) => ("value" in status ? [status.value] : []));
  const known = members.flatMap(({ members: list }) => ("value" in list ? [list.value] : []))[0];
  const voters = known?.filter(({ isLearner }) => !isLearner).length ?? members.length;
  const answering = statuses.filter(({ isLearner }) => !isLearner).length;
  const needed = Math.floor(voters / 2) + 1;
  const leaderId = statuses.find((status) => status.leaderId !== undefined)?.leaderId;
  const leader = members.find(({ status }) => "value" in status && status.value.id === leaderId);
  const well = answering >= needed && leaderId !== undefined;
  const leads = leader
    ? `${names.of(leader.endpoint)} leads`
    : leaderId === undefined
      ? "nobody leads"
      : `${leaderId} leads`;
  const spare = answering - needed;
  const survives = well ? `; ${spare === 0 ? "none more" : `${spare} more`} can be lost` : "";
  return {
    name: "etcd has a quorum",
    well,
    what: `${answering} of ${voters} members answer, ${leads}${survives}`,
    help: `start the members named below; if most of them are lost for good: ${PLAYBOOK}/recover-quorum.yml -e survivor=MASTER -e sure=yes`,
  };
}

function etcdLine({ endpoint, status, certificate }: EtcdSeen, names: MachineNames, nowMs: number): StatusLine {
  const machine = names.of(endpoint);
  const name = `etcd ${machine}`;
  if (!("value" in status)) return { name, well: false, what: status.why, help: journal(machine, "etcd") };
  const { id, leaderId, isLearner, version, dbBytes, dbUsedBytes, revision, alarms } = status.value;
  const part =
    leaderId === id ? "leads" : isLearner ? "learner" : leaderId === undefined ? "knows no leader" : "follows";
  const facts = [
    part,
    `v${version}`,
    `${megabytes(dbBytes)} MB (${megabytes(dbUsedBytes)} used)`,
    `revision ${revision}`,
    ...alarms.map((alarm) => `alarm ${alarm}`),
    daysLeft(certificate, nowMs),
  ];
  return {
    name,
    well: leaderId !== undefined && alarms.length === 0,
    what: facts.join(", "),
    help:
      alarms.length > 0
        ? `on ${machine}: pilothouse-machine etcdctl alarm list; after making room (etcdctl defrag there): etcdctl alarm disarm`
        : journal(machine, "etcd"),
  };
}

/**
 * Members that have applied the same of the log and hold different data: etcd has had faults by which that came about in silence.
 * Nothing is said of members that are not equally far.
 */
function differingMembers(members: readonly EtcdSeen[], names: MachineNames): readonly StatusLine[] {
  const seen = members.flatMap(({ endpoint, status }) => ("value" in status ? [{ endpoint, ...status.value }] : []));
  const odd = seen.filter((a) => seen.some((b) => b.appliedIndex === a.appliedIndex && b.revision !== a.revision));
  if (odd.length === 0) return [];
  return [
    {
      name: "etcd's data",
      well: false,
      what: `differs: ${odd.map(({ endpoint, revision }) => `${names.of(endpoint)} is at ${revision}`).join(", ")}`,
      help: `stop writing; ${PLAYBOOK}/restore.yml -e backup=FILE -e sure=yes, with the last backup`,
    },
  ];
}

/** Members that the cluster has and the operator was not told of. */
function unknownMembers(members: readonly EtcdSeen[]): readonly StatusLine[] {
  const known = members.flatMap(({ members: list }) => ("value" in list ? [list.value] : []))[0] ?? [];
  const told = new Set(members.map(({ endpoint }) => new URL(endpoint).host));
  return known
    .filter(({ clientUrls }) => !clientUrls.some((url) => told.has(new URL(url).host)))
    .map(({ name, id, clientUrls }) => ({
      name: `etcd ${name === "" ? id : name}`,
      well: false,
      what:
        clientUrls.length === 0
          ? "is a member that has never started"
          : "is a member that this kubeconfig does not name",
      help: clientUrls.length === 0 ? `${PLAYBOOK}/site.yml` : `take a new kubeconfig: ${PLAYBOOK}/site.yml`,
    }));
}

/** As the member that has seen most has them. */
function newestLeaders(members: readonly EtcdSeen[]): readonly LeaderSeen[] | undefined {
  return members
    .flatMap(({ elections }) => ("value" in elections ? [elections.value] : []))
    .sort((a, b) => b.revision - a.revision)[0]?.leaders;
}

function leaderLine(election: string, leaders: readonly LeaderSeen[] | undefined): StatusLine {
  const name = election.replace(/^kube-/, "");
  const leader = leaders?.find((it) => it.election === election);
  const help = `on the masters: journalctl -u pilothouse-${name} -n 20`;
  if (leaders === undefined) return { name, well: false, what: "no etcd member says who leads", help };
  if (leader === undefined) return { name, well: false, what: "nobody leads", help };
  // The identity ends in a part that is new with each start.
  return { name, well: true, what: `${leader.identity.replace(/_[0-9a-f-]{36}$/, "")} leads since ${leader.since}` };
}

// ---- NATS and apiservers ----

function natsLine({ server, info }: NatsSeen, names: MachineNames, nowMs: number): StatusLine {
  const machine = "value" in info ? info.value.name : names.of(`nats://${server}`);
  const name = `nats ${machine}`;
  if (!("value" in info)) return { name, well: false, what: info.why, help: journal(machine, "nats") };
  const { version, certificate } = info.value;
  return { name, well: true, what: `answers, v${version}, ${daysLeft({ value: certificate }, nowMs)}` };
}

function apiserverLine(seen: ApiserverSeen, names: MachineNames, nowMs: number): StatusLine {
  const machine = names.of(seen.server);
  const name = `apiserver ${machine}`;
  const { version, certificate } = seen;
  if (!("value" in version)) return { name, well: false, what: version.why, help: journal(machine, "apiserver") };
  return { name, well: true, what: `ready, ${version.value}, ${daysLeft(certificate, nowMs)}` };
}

/** An apiserver that is ready has its etcd: where none answers here, nor any NATS server, it is this machine that is not let in. */
function shutOut({ etcd, nats, apiservers }: ClusterSeen): readonly StatusLine[] {
  const isLetIn = etcd.some(({ status }) => "value" in status) || nats.some(({ info }) => "value" in info);
  if (isLetIn || !apiservers.some(({ version }) => "value" in version)) return [];
  return [
    {
      name: "this machine",
      well: false,
      what: "is let in to the API, and neither to etcd nor to NATS",
      help: `write its address into pilothouse_operators of the inventory; ${PLAYBOOK}/site.yml`,
    },
  ];
}

/** The address that everybody uses: it may be down while all apiservers are well. */
function usersLine({ api: { server, version } }: ClusterSeen): StatusLine {
  const help = "on the masters: journalctl -u pilothouse-keepalived -u pilothouse-haproxy -n 20";
  const name = "API for everybody";
  return "value" in version
    ? { name, well: true, what: `ready at ${server}, ${version.value}` }
    : { name, well: false, what: `${server}: ${version.why}`, help };
}

// ---- machines ----

function nodeLines({ nodes, kubelets }: ClusterSeen, nowMs: number): readonly StatusLine[] {
  if (!("value" in nodes)) {
    return [{ name: "machines", well: false, what: `nobody tells: ${nodes.why}`, help: "kubectl get nodes" }];
  }
  return [...nodes.value]
    .sort((a, b) => (a.metadata?.name ?? "").localeCompare(b.metadata?.name ?? ""))
    .map((node) => nodeLine(node, kubelets, nowMs));
}

function nodeLine(node: coreV1.Node, kubelets: readonly KubeletSeen[], nowMs: number): StatusLine {
  const name = node.metadata?.name ?? "";
  const ready = node.status?.conditions?.find(({ type }) => type === "Ready");
  const pressures = (node.status?.conditions ?? []).filter(
    ({ type, status }) => type.endsWith("Pressure") && status === "True",
  );
  const well = ready?.status === "True";
  const kubelet = kubelets.find((it) => it.node === name)?.certificate;
  const roles = Object.keys(node.metadata?.labels ?? {}).flatMap((label) =>
    label.startsWith(ROLE_LABEL) ? [label.slice(ROLE_LABEL.length)] : [],
  );
  const since = ready?.lastTransitionTime ?? "?";
  const facts = [
    well ? `Ready since ${since}` : `not Ready since ${since}: ${ready?.message ?? "it has never said so"}`,
    ...pressures.map(({ type, message }) => `${type}: ${message ?? "it does not say why"}`),
    roles.length === 0 ? "worker" : roles.join(" and "),
    node.status?.nodeInfo?.kubeletVersion ?? "of no known version",
    addressOf(node) ?? "without an address",
    ...(node.spec?.unschedulable ? ["takes no new pods (cordoned)"] : []),
    kubelet && "value" in kubelet ? daysLeft(kubelet, nowMs) : `kubelet: ${kubelet?.why ?? "not asked"}`,
  ];
  return {
    name: `machine ${name}`,
    well: well && pressures.length === 0 && kubelet !== undefined && "value" in kubelet,
    what: facts.join(", "),
    help: `kubectl describe node ${name}; ${journal(name, "kubelet")}`,
  };
}

// ---- certificates ----

interface NamedCertificate {
  readonly owner: string;
  readonly seen: CertificateSeen;
}

function certificatesOf(seen: ClusterSeen, names: MachineNames): readonly NamedCertificate[] {
  const all: [string, Seen<CertificateSeen>][] = [
    ...seen.etcd.map((it): [string, Seen<CertificateSeen>] => [`etcd ${names.of(it.endpoint)}`, it.certificate]),
    ...seen.nats.flatMap(({ info }): [string, Seen<CertificateSeen>][] =>
      "value" in info ? [[`nats ${info.value.name}`, { value: info.value.certificate }]] : [],
    ),
    ...seen.apiservers.map((it): [string, Seen<CertificateSeen>] => [
      `apiserver ${names.of(it.server)}`,
      it.certificate,
    ]),
    ...seen.kubelets.map((it): [string, Seen<CertificateSeen>] => [`kubelet ${it.node}`, it.certificate]),
  ];
  return all.flatMap(([owner, certificate]) => ("value" in certificate ? [{ owner, seen: certificate.value }] : []));
}

function certificatesLine(all: readonly NamedCertificate[], nowMs: number): StatusLine {
  const name = "certificates";
  const help = `${PLAYBOOK}/certificates.yml (renews them)`;
  const [first] = all.toSorted((a, b) => a.seen.endsMs - b.seen.endsMs);
  if (!first) return { name, well: false, what: "no server shows one", help };
  const unwell = all.flatMap(({ owner, seen }) => {
    if (seen.refused !== undefined) return [`${owner}: ${seen.refused}`];
    const isForgotten = seen.endsMs - nowMs < (seen.endsMs - seen.beginsMs) * FORGOTTEN_SHARE;
    return isForgotten ? [`${owner} ends in ${duration(seen.endsMs - nowMs)}`] : [];
  });
  if (unwell.length > 0) return { name, well: false, what: unwell.join("; "), help };
  return {
    name,
    well: true,
    what: `${all.length} seen; ${first.owner} ends first, in ${duration(first.seen.endsMs - nowMs)}`,
  };
}

function daysLeft(certificate: Seen<CertificateSeen>, nowMs: number): string {
  return "value" in certificate
    ? `certificate for ${duration(certificate.value.endsMs - nowMs)}`
    : `certificate not seen (${certificate.why})`;
}

function duration(ms: number): string {
  if (ms < 2 * HOUR_MS) return `${Math.floor(ms / MINUTE_MS)} minutes`;
  return ms < 2 * DAY_MS ? `${Math.floor(ms / HOUR_MS)} hours` : `${Math.floor(ms / DAY_MS)} days`;
}

function megabytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}

function journal(machine: string, service: string): string {
  return `on ${machine}: journalctl -u pilothouse-${service} -n 20`;
}
