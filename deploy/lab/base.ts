/**
 * The root that all machines of a lab share: Debian 12 with systemd, sshd and Python, as a rented machine comes, and the packages
 * that the roles install already in it, since nothing in a lab reaches a mirror. Made once, kept under `.cache`.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { run } from "./shell.ts";

const RELEASE = "bookworm";
const MIRROR = "http://deb.debian.org/debian";
/** What any rented machine has. */
const MACHINE = [
  "systemd",
  "systemd-sysv",
  "dbus",
  "libpam-systemd",
  "openssh-server",
  "python3",
  "python3-apt",
  "sudo",
  "iproute2",
  "iputils-ping",
  "procps",
  "kmod",
  "ca-certificates",
  "util-linux",
  "e2fsprogs",
  "curl",
];
/** What the roles install. */
const CLUSTER = [
  "etcd-server",
  "etcd-client",
  "nats-server",
  "haproxy",
  "keepalived",
  "containerd",
  "runc",
  "containernetworking-plugins",
  "nftables",
  "conntrack",
  "chrony",
];
/** What faults of the lab are made with. */
const FAULTS = ["libfaketime"];
/** Daemons that Debian would start at boot; the roles bring their own units, or start these themselves. */
const QUIET = ["etcd", "nats-server", "haproxy", "keepalived", "containerd", "nftables"];

/** What tells a container from a machine is mended before anything else starts. */
const UNITS: Readonly<Record<string, string>> = {
  // nspawn hands the controllers of cgroup v1 over read-only, and a plain remount fails.
  "lab-cgroups.service": `[Unit]
Description=Cgroup controllers may be written
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'for dir in /sys/fs/cgroup/*/; do mountpoint -q $dir && mount -o remount,bind,rw $dir; done; true'
[Install]
WantedBy=sysinit.target
`,
  "lab-ssh-keys.service": `[Unit]
Description=SSH host keys of this machine
Before=ssh.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key
[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key
[Install]
WantedBy=multi-user.target
`,
};

export function baseDirectory(clone: string): string {
  const recipe = createHash("sha256")
    .update(JSON.stringify([RELEASE, MACHINE, CLUSTER, FAULTS, QUIET, UNITS]))
    .digest("hex")
    .slice(0, 12);
  return join(clone, ".cache", `lab-base-${recipe}`);
}

/** True when the base had to be made. A base that was left half-made is begun again. */
export async function ensureBase(clone: string): Promise<boolean> {
  const base = baseDirectory(clone);
  if (existsSync(base)) return false;
  const making = `${base}.making`;
  rmSync(making, { recursive: true, force: true });
  mkdirSync(dirname(base), { recursive: true });
  await run(
    "debootstrap",
    "--variant=minbase",
    `--include=${[...MACHINE, ...CLUSTER, ...FAULTS].join()}`,
    RELEASE,
    making,
    MIRROR,
  );
  await run("chroot", making, "systemctl", "disable", ...QUIET);
  await run("chroot", making, "systemctl", "enable", "systemd-networkd", "ssh");
  writeFileSync(join(making, "etc/machine-id"), "");
  rmSync(join(making, "var/cache/apt/archives"), { recursive: true, force: true });
  rmSync(join(making, "etc/hostname"), { force: true });
  await run("chroot", making, "sh", "-c", "rm -f /etc/ssh/ssh_host_*_key*");
  for (const [name, text] of Object.entries(UNITS)) {
    writeFileSync(join(making, "etc/systemd/system", name), text);
    await run("chroot", making, "systemctl", "enable", name);
  }
  renameSync(making, base);
  return true;
}
