/**
 * Every failure that `up`, `down`, `test` and `pilot` explain, by its stable id. docs/errors.md is this table as a page
 * (a test holds them equal). Ids are never reused.
 */
export const ERRORS = {
  "PH-101": {
    title: "The command needs root",
    why: "Containers, network namespaces, routes and nftables rules can only be made by root.",
    next: "Run the command as root (`sudo npm run up`).",
  },
  "PH-102": {
    title: "Debian packages are missing",
    why: "etcd, nats-server, containerd, runc, the CNI plugins or nftables could not be installed.",
    next: "Run `apt-get update` and look at what it says; `.cache/apt.log` has the whole story of the failed installation.",
  },
  "PH-103": {
    title: "npm modules are missing",
    why: "`npm install` failed, most often because the registry could not be reached.",
    next: "Run `npm ping`; `.cache/npm.log` has the whole story.",
  },
  "PH-104": {
    title: "A kernel feature is missing",
    why: "The kernel has no network namespaces, no nftables, no overlay file system or no cgroup controllers for memory and CPU.",
    next: "Run on a kernel that has the feature the message names; containers without these privileges cannot host a node.",
  },
  "PH-110": {
    title: "A port is taken",
    why: "Another program, perhaps another cluster, listens on a port that this cluster needs.",
    next: "Stop the program that the message names, or run the cluster in a network namespace of its own: `npm run up -- --isolated`.",
  },
  "PH-111": {
    title: "A network range is in use",
    why: "This machine already routes 198.18.0.0/16 or 198.19.0.0/16 somewhere else.",
    next: "Look at `ip route get 198.18.0.1`; run `npm run up -- --isolated` to use a network namespace of its own.",
  },
  "PH-120": {
    title: "The build failed",
    why: "A service could not be bundled.",
    next: "Run `npm run build` and `npm run lint`; their output names the file and line.",
  },
  "PH-130": {
    title: "A process does not answer",
    why: "etcd, NATS, containerd or one of the services was started but did not become ready in time.",
    next: "Read the last lines of its log in `.cluster/logs/<process>.log`; run `npx pilot status` to see what is unwell.",
  },
  "PH-131": {
    title: "The node is not Ready",
    why: "The kubelet has not registered the node, or reports that the runtime or the network is not ready.",
    next: "Run `kubectl describe node` and read `.cluster/logs/kubelet.log` and `.cluster/logs/containerd.log`.",
  },
  "PH-132": {
    title: "DNS does not answer",
    why: "The cluster's DNS address on the node did not answer for kubernetes.default.svc.cluster.local.",
    next: "Read `.cluster/logs/dns.log` and `.cluster/logs/proxy.log`.",
  },
  "PH-140": {
    title: "Images could not be loaded",
    why: "The local images could not be built or handed to containerd.",
    next: "Read `.cluster/logs/containerd.log`; check that the disk has room (`df -h .`).",
  },
  "PH-150": {
    title: "Something could not be removed",
    why: "`down` found a mount, a process or a namespace that is still in use.",
    next: "The message names it; end what uses it and run `npm run down` again.",
  },
  "PH-160": {
    title: "No cluster is running here",
    why: "This clone has no `.cluster` folder, or its supervisor is not running.",
    next: "Run `npm run up`.",
  },
  "PH-161": {
    title: "The kubeconfig does not know the backbone",
    why: "It has no extension `pilothouse.io/backbone`, which says where etcd and NATS are and holds the operator's certificate for them.",
    next: "Use the kubeconfig that `ansible/site.yml` has written (`admin.conf` beside the inventory), or leave the flag away to look into this clone's cluster.",
  },
  "PH-170": {
    title: "The trace is not remembered",
    why: "Each process keeps its last 8,192 spans in memory; a restart forgets them. Or the object was never created here.",
    next: "Apply the object again and ask at once, or follow the work with `npx pilot trace tail`; set OTEL_EXPORTER_OTLP_ENDPOINT to keep spans.",
  },
  "PH-171": {
    title: "The object is not there",
    why: "`pilot why` was asked about a pod or a workload that the namespace does not have, or about a kind that makes no pods.",
    next: "Run `kubectl get pods -A`; name the namespace with `-n`.",
  },
  "PH-201": {
    title: "There is no lab",
    why: "This clone has no `.lab` folder.",
    next: "Run `npm run lab -- --masters 3 --workers 2`.",
  },
  "PH-202": {
    title: "No such machine in the lab",
    why: "The command names a machine, or a number of machines, that the lab cannot have.",
    next: "Run `npm run lab:fault -- list`; `.lab/inventory.yml` has the machines' names.",
  },
  "PH-203": {
    title: "The lab could not be made",
    why: "A machine's base, disk, network or boot failed; the message has the failed program's own words.",
    next: "Run the command again: it goes on where it stopped. `.lab/machines/<name>/console.log` is what the machine said while it booted.",
  },
  "PH-204": {
    title: "The fault could not be made or undone",
    why: "There is no such fault, an option is wrong, or this kernel has not what the fault is made with.",
    next: "Run `npm run lab:fault -- list`.",
  },
} as const satisfies Readonly<Record<string, { title: string; why: string; next: string }>>;

export type ErrorId = keyof typeof ERRORS;

/** A failure with a stable id, told to the user as what, why and what to do next. */
export class ExplainedError extends Error {
  override readonly name = "ExplainedError";
  readonly id: ErrorId;
  readonly why: string;
  readonly next: string;
  /** `why` and `next` default to the catalogue's; give them where more is known. */
  constructor(id: ErrorId, what: string, details: { why?: string; next?: string } = {}) {
    super(what);
    this.id = id;
    this.why = details.why ?? ERRORS[id].why;
    this.next = details.next ?? ERRORS[id].next;
  }
}

/** The page docs/errors.md. */
export function errorsPage(): string {
  const sections = Object.entries(ERRORS).map(
    ([id, { title, why, next }]) => `## ${id}\n\n**${title}.** ${why}\n\n${next}\n`,
  );
  return `# Errors and what to do\n\nEach failure of \`npm run …\` and \`npx pilot …\` names one of these ids. This page is generated from\n\`deploy/cluster/errors.ts\`.\n\n${sections.join("\n")}`;
}
