import type * as coreV1 from "@pilothouse/api/types/core-v1";
import { expect, test } from "vitest";
import { clusterLines } from "./cluster-status.ts";
import type { ApiserverSeen, CertificateSeen, ClusterSeen, EtcdSeen, NatsSeen, Seen } from "./cluster-seen.ts";
import { renderStatus } from "./status-lines.ts";

const NOW_MS = Date.parse("2026-03-01T00:00:00Z");
const DAY_MS = 86_400_000;
const SILENT = { why: "no answer within 2000 ms" };

function certificate(endsInDays: number, more: Partial<CertificateSeen> = {}): { readonly value: CertificateSeen } {
  const endsMs = NOW_MS + endsInDays * DAY_MS;
  return { value: { beginsMs: endsMs - 365 * DAY_MS, endsMs, refused: undefined, ...more } };
}

const members = [1, 2, 3].map((n) => ({
  id: `${n}`,
  name: `master-${n}`,
  clientUrls: [`https://198.51.100.1${n}:2379`],
  isLearner: false,
}));

const elections = (revision: number, scheduler: string): EtcdSeen["elections"] => ({
  value: {
    revision,
    leaders: [
      { election: "kube-scheduler", identity: scheduler, since: "2026-02-28T10:00:00Z" },
      {
        election: "kube-controller-manager",
        identity: "master-1_01234567-89ab-4cde-8f01-23456789abcd",
        since: "2026-02-27T10:00:00Z",
      },
    ],
  },
});

function member(n: number, alarms: readonly string[] = []): EtcdSeen {
  const status = {
    id: `${n}`,
    leaderId: "2",
    version: "3.4.23",
    dbBytes: 21 * 2 ** 20,
    dbUsedBytes: 12 * 2 ** 20,
    revision: 1_234,
    appliedIndex: 2_000,
    isLearner: false,
    alarms,
  };
  return {
    endpoint: `https://198.51.100.1${n}:2379`,
    status: { value: status },
    members: { value: members },
    elections: elections(1_234, "master-3"),
    certificate: certificate(364),
  };
}

function silentMember(n: number): EtcdSeen {
  const endpoint = `https://198.51.100.1${n}:2379`;
  return { endpoint, status: SILENT, members: SILENT, elections: SILENT, certificate: SILENT };
}

function nats(n: number): NatsSeen {
  const info = { name: `master-${n}`, version: "2.9.10", certificate: certificate(364).value };
  return { server: `198.51.100.1${n}:4222`, info: { value: info } };
}

function apiserver(n: number, seen: Seen<CertificateSeen> = certificate(364)): ApiserverSeen {
  return { server: `https://198.51.100.1${n}:6443`, version: { value: "v1.36.0" }, certificate: seen };
}

function node(
  name: string,
  address: string,
  status = "True",
  message = "kubelet is posting ready status",
): coreV1.Node {
  return {
    metadata: { name, labels: name.startsWith("master") ? { "node-role.kubernetes.io/control-plane": "" } : {} },
    spec: {},
    status: {
      addresses: [{ type: "InternalIP", address }],
      conditions: [{ type: "Ready", status, message, lastTransitionTime: "2026-02-20T08:00:00Z" }],
      nodeInfo: { kubeletVersion: "v1.36.0" } as coreV1.NodeSystemInfo,
    },
  };
}

const wellNodes = [...[1, 2, 3].map((n) => node(`master-${n}`, `198.51.100.1${n}`)), node("worker-1", "198.51.100.21")];

const wellCluster: ClusterSeen = {
  api: { ...apiserver(9), server: "https://198.51.100.10:6443" },
  apiservers: [1, 2, 3].map((n) => apiserver(n)),
  etcd: [1, 2, 3].map((n) => member(n)),
  nats: [1, 2, 3].map(nats),
  nodes: { value: wellNodes },
  kubelets: wellNodes.map(({ metadata }) => ({ node: metadata?.name ?? "", certificate: certificate(300) })),
};

function told(seen: ClusterSeen): string {
  return renderStatus(clusterLines(seen, NOW_MS));
}

/** Lines that are not well, with what helps. */
function complaints(seen: ClusterSeen): string {
  return renderStatus(clusterLines(seen, NOW_MS).filter(({ well }) => !well));
}

/** As `member`, but this far in the log, and at this revision there. */
function memberAt(n: number, appliedIndex: number, revision: number): EtcdSeen {
  const seen = member(n);
  const status = "value" in seen.status ? { value: { ...seen.status.value, appliedIndex, revision } } : seen.status;
  return { ...seen, status };
}

test("members that applied the same and hold different data are told; one that is behind is not", () => {
  const behind = { ...wellCluster, etcd: [memberAt(1, 1_990, 1_230), member(2), member(3)] };
  expect(complaints(behind)).toBe("");
  const differing = { ...wellCluster, etcd: [memberAt(1, 2_000, 900), member(2), member(3)] };
  expect(complaints(differing)).toContain(
    "etcd's data              differs: master-1 is at 900, master-2 is at 1234, master-3 is at 1234",
  );
});

test("a well cluster, part by part", () => {
  expect(told(wellCluster)).toBe(
    `  ✔ etcd has a quorum        3 of 3 members answer, master-2 leads; 1 more can be lost
  ✔ etcd master-1            follows, v3.4.23, 21.0 MB (12.0 used), revision 1234, certificate for 364 days
  ✔ etcd master-2            leads, v3.4.23, 21.0 MB (12.0 used), revision 1234, certificate for 364 days
  ✔ etcd master-3            follows, v3.4.23, 21.0 MB (12.0 used), revision 1234, certificate for 364 days
  ✔ nats master-1            answers, v2.9.10, certificate for 364 days
  ✔ nats master-2            answers, v2.9.10, certificate for 364 days
  ✔ nats master-3            answers, v2.9.10, certificate for 364 days
  ✔ apiserver master-1       ready, v1.36.0, certificate for 364 days
  ✔ apiserver master-2       ready, v1.36.0, certificate for 364 days
  ✔ apiserver master-3       ready, v1.36.0, certificate for 364 days
  ✔ API for everybody        ready at https://198.51.100.10:6443, v1.36.0
  ✔ scheduler                master-3 leads since 2026-02-28T10:00:00Z
  ✔ controller-manager       master-1 leads since 2026-02-27T10:00:00Z
  ✔ machine master-1         Ready since 2026-02-20T08:00:00Z, control-plane, v1.36.0, 198.51.100.11, certificate for 300 days
  ✔ machine master-2         Ready since 2026-02-20T08:00:00Z, control-plane, v1.36.0, 198.51.100.12, certificate for 300 days
  ✔ machine master-3         Ready since 2026-02-20T08:00:00Z, control-plane, v1.36.0, 198.51.100.13, certificate for 300 days
  ✔ machine worker-1         Ready since 2026-02-20T08:00:00Z, worker, v1.36.0, 198.51.100.21, certificate for 300 days
  ✔ certificates             13 seen; kubelet master-1 ends first, in 300 days
`,
  );
});

test("a master that is gone: its parts are unwell, the cluster goes on, and each line says what helps", () => {
  const nodes = wellNodes.map((it) =>
    it.metadata?.name === "master-1"
      ? node("master-1", "198.51.100.11", "Unknown", "Kubelet stopped posting node status.")
      : it,
  );
  const seen = {
    ...wellCluster,
    etcd: [silentMember(1), member(2), member(3)],
    nats: [{ server: "198.51.100.11:4222", info: SILENT }, nats(2), nats(3)],
    apiservers: [{ ...apiserver(1), version: SILENT, certificate: SILENT }, apiserver(2), apiserver(3)],
    nodes: { value: nodes },
    kubelets: wellCluster.kubelets.map((it) => (it.node === "master-1" ? { ...it, certificate: SILENT } : it)),
  };
  expect(complaints(seen)).toBe(
    `  ✘ etcd master-1            no answer within 2000 ms
      try: on master-1: journalctl -u pilothouse-etcd -n 20
  ✘ nats master-1            no answer within 2000 ms
      try: on master-1: journalctl -u pilothouse-nats -n 20
  ✘ apiserver master-1       no answer within 2000 ms
      try: on master-1: journalctl -u pilothouse-apiserver -n 20
  ✘ machine master-1         not Ready since 2026-02-20T08:00:00Z: Kubelet stopped posting node status., control-plane, v1.36.0, 198.51.100.11, kubelet: no answer within 2000 ms
      try: kubectl describe node master-1; on master-1: journalctl -u pilothouse-kubelet -n 20
`,
  );
  expect(told(seen)).toContain(
    "✔ etcd has a quorum        2 of 3 members answer, master-2 leads; none more can be lost\n",
  );
});

test("nobody answers at all: every line still says something", () => {
  const seen: ClusterSeen = {
    api: { server: "https://198.51.100.10:6443", version: SILENT, certificate: SILENT },
    apiservers: [1, 2, 3].map((n) => ({ ...apiserver(n), version: SILENT, certificate: SILENT })),
    etcd: [1, 2, 3].map(silentMember),
    nats: [1, 2, 3].map((n) => ({ server: `198.51.100.1${n}:4222`, info: SILENT })),
    nodes: SILENT,
    kubelets: [],
  };
  const lines = clusterLines(seen, NOW_MS);
  expect(lines.filter(({ well }) => well)).toEqual([]);
  expect(lines.filter(({ help }) => help === undefined)).toEqual([]);
  expect(lines.map(({ name }) => name)).toContain("etcd 198.51.100.11:2379");
  expect(lines.find(({ name }) => name === "etcd has a quorum")?.what).toBe("0 of 3 members answer, nobody leads");
});

test("a member that knows no leader has no quorum behind it", () => {
  const alone = member(1);
  const seen = {
    ...wellCluster,
    etcd: [
      {
        ...alone,
        status: { value: { ...("value" in alone.status ? alone.status.value : undefined!), leaderId: undefined } },
      },
      silentMember(2),
      silentMember(3),
    ],
  };
  expect(complaints(seen)).toContain("✘ etcd has a quorum        1 of 3 members answer, nobody leads\n");
  expect(complaints(seen)).toContain("✘ etcd master-1            knows no leader");
});

test("an alarm, a full disk's first sign, comes with the way out", () => {
  const text = complaints({ ...wellCluster, etcd: [member(1, ["NOSPACE"]), member(2), member(3)] });
  expect(text).toContain("alarm NOSPACE");
  expect(text).toContain("etcdctl alarm disarm");
});

test("a machine that the masters' firewalls do not know is told so, instead of a cluster without etcd alone", () => {
  const etcd = [1, 2, 3].map(silentMember);
  const shutOut = { ...wellCluster, etcd, nats: [{ server: "198.51.100.11:4222", info: SILENT }] };
  const hint =
    "this machine             is let in to the API, and neither to etcd nor to NATS\n      try: write its address into pilothouse_operators";
  expect(complaints(shutOut)).toContain(hint);
  const apiservers = wellCluster.apiservers.map((it) => ({ ...it, version: SILENT }));
  for (const seen of [
    { ...shutOut, apiservers },
    { ...wellCluster, etcd },
  ])
    expect(complaints(seen)).not.toContain("this machine");
});

test("a machine that is Ready and short of something is unwell all the same", () => {
  const [first, ...others] = wellNodes as [coreV1.Node, ...coreV1.Node[]];
  const full = { type: "DiskPressure", status: "True", message: "kubelet has disk pressure" };
  const conditions = [...(first.status?.conditions ?? []), full, { type: "MemoryPressure", status: "False" }];
  const nodes = { value: [{ ...first, status: { ...first.status, conditions } } as coreV1.Node, ...others] };
  const text = complaints({ ...wellCluster, nodes });
  expect(text).toContain(
    "✘ machine master-1         Ready since 2026-02-20T08:00:00Z, DiskPressure: kubelet has disk pressure,",
  );
  expect(text).toContain("try: kubectl describe node master-1");
  expect(text.match(/✘/g)).toHaveLength(1);
});

test("who leads is told by the member that has seen most", () => {
  const behind = { ...member(1), elections: elections(1_000, "master-1") };
  expect(told({ ...wellCluster, etcd: [behind, member(2)] })).toContain("✔ scheduler                master-3 leads");
});

test("an election without a key is nobody's", () => {
  const nobody = { ...member(1), elections: { value: { revision: 9_999, leaders: [] } } };
  expect(complaints({ ...wellCluster, etcd: [nobody, member(2), member(3)] })).toContain(
    "✘ scheduler                nobody leads",
  );
});

test("a member that the kubeconfig does not name is told of", () => {
  const text = complaints({ ...wellCluster, etcd: [member(1), member(2)] });
  expect(text).toContain("✘ etcd master-3            is a member that this kubeconfig does not name");
});

test("certificates: one that was not renewed in time, and one that clients refuse", () => {
  const apiservers = [
    apiserver(1, certificate(20)),
    apiserver(2, certificate(-1, { refused: "CERT_HAS_EXPIRED" })),
    apiserver(3),
  ];
  expect(complaints({ ...wellCluster, apiservers })).toBe(
    `  ✘ certificates             apiserver master-1 ends in 20 days; apiserver master-2: CERT_HAS_EXPIRED
      try: ansible-playbook -i inventory.yml ansible/certificates.yml (renews them)
`,
  );
});

test("certificates that live for a day only are well until they are overdue", () => {
  const short = (hours: number): { readonly value: CertificateSeen } =>
    certificate(hours / 24, { beginsMs: NOW_MS - (24 - hours) * 3_600_000 });
  const lines = (hours: number): string => complaints({ ...wellCluster, apiservers: [apiserver(1, short(hours))] });
  expect(lines(12)).toBe("");
  expect(lines(5)).toContain("apiserver master-1 ends in 5 hours");
  expect(lines(0.5)).toContain("apiserver master-1 ends in 30 minutes");
});
