/** The lab as Ansible sees it: hosts with an address and sshd, and nothing that says that they are a lab. */
import { HOST_ADDRESS, VIRTUAL_ADDRESS, type LabLayout, type LabMachine } from "./layout.ts";

export function inventoryText(layout: LabLayout, machines: readonly LabMachine[]): string {
  const hosts = (role: LabMachine["role"]): string =>
    machines
      .filter((machine) => machine.role === role)
      .map(({ name, address }) => `        ${name}: { ansible_host: ${address} }\n`)
      .join("");
  return `# Written by \`npm run lab\`.
all:
  vars:
    ansible_user: root
    ansible_ssh_private_key_file: ${layout.sshKey}
    ansible_ssh_common_args: >-
      -o UserKnownHostsFile=${layout.root}/known_hosts -o StrictHostKeyChecking=accept-new -o BindAddress=${HOST_ADDRESS}
    pilothouse_virtual_address: ${VIRTUAL_ADDRESS}
    pilothouse_kubeconfig: ${layout.adminConf}
    # All machines share one disk, and whatever else this machine does.
    pilothouse_preflight_fsync_p99_ms: 2000
  children:
    masters:
      hosts:
${hosts("master")}    workers:
      hosts:
${hosts("worker")}`;
}
