/** Where one lab lives: its folders, names and addresses. A pure function of the clone's folder and of how many machines there are. */
import { createHash } from "node:crypto";
import { join } from "node:path";

export type LabRole = "master" | "worker";

export interface LabMachine {
  /** `master-1`, `worker-2`. */
  readonly name: string;
  readonly role: LabRole;
  readonly address: string;
  readonly directory: string;
  /** Its disk, a sparse file, and where that is mounted: whatever the machine writes lies there. */
  readonly disk: string;
  readonly diskMount: string;
  /** The machine's `/`: the base below, its disk above. */
  readonly root: string;
  readonly console: string;
  /** The name by which nspawn and its processes are known on the host. */
  readonly container: string;
  /** Below each cgroup hierarchy. */
  readonly cgroup: string;
}

export interface LabLayout {
  readonly id: string;
  readonly clone: string;
  readonly root: string;
  readonly sizeFile: string;
  readonly inventory: string;
  readonly sshKey: string;
  readonly adminConf: string;
  readonly machinesDirectory: string;
  readonly faults: string;
  /** The namespace that holds the bridge: nothing leads out of it but the link to the machine that started the lab. */
  readonly netns: string;
  readonly bridge: string;
  readonly hostLink: string;
  readonly cgroup: string;
}

export interface Lab {
  readonly layout: LabLayout;
  readonly machines: readonly LabMachine[];
}

export interface LabSize {
  readonly masters: number;
  readonly workers: number;
}

/** RFC 5737: documentation, nobody's network. */
export const LAB_NETWORK = "198.51.100.0/24";
export const HOST_ADDRESS = "198.51.100.254";
export const VIRTUAL_ADDRESS = "198.51.100.10";
export const MOST_MACHINES = 9;
const FIRST_MASTER = 11;
const FIRST_WORKER = 21;

export function labLayout(clone: string, root = join(clone, ".lab")): LabLayout {
  const id = createHash("sha256").update(root).digest("hex").slice(0, 8);
  return {
    id,
    clone,
    root,
    sizeFile: join(root, "lab.json"),
    inventory: join(root, "inventory.yml"),
    sshKey: join(root, "ssh-key"),
    adminConf: join(root, "admin.conf"),
    machinesDirectory: join(root, "machines"),
    faults: join(root, "faults.json"),
    netns: `phlab-${id}`,
    bridge: "lab",
    hostLink: `phlab${id}`,
    cgroup: `/phlab-${id}`,
  };
}

export function labMachines(layout: LabLayout, { masters, workers }: LabSize): readonly LabMachine[] {
  const some = (role: LabRole, count: number, first: number): LabMachine[] =>
    Array.from({ length: count }, (_, i) => machine(layout, role, `${role}-${i + 1}`, `198.51.100.${first + i}`));
  return [...some("master", masters, FIRST_MASTER), ...some("worker", workers, FIRST_WORKER)];
}

function machine(layout: LabLayout, role: LabRole, name: string, address: string): LabMachine {
  const directory = join(layout.machinesDirectory, name);
  return {
    name,
    role,
    address,
    directory,
    disk: join(directory, "disk.img"),
    diskMount: join(directory, "disk"),
    root: join(directory, "root"),
    console: join(directory, "console.log"),
    container: `phlab-${layout.id}-${name}`,
    cgroup: `${layout.cgroup}/${name}`,
  };
}
