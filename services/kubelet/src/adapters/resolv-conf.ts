/** The file by which pods resolve names as the node does. */
import { access, realpath } from "node:fs/promises";
import { join } from "node:path";

const SYSTEMD_RESOLVED = "/run/systemd/resolve";

/**
 * `path`, unless that is systemd-resolved's: it names a server on the node's own loopback, where no pod reaches it. The servers that
 * it asks in turn stand in a file beside it (kubeadm tells kubelets the same).
 */
export async function resolvConfForPods(path: string, systemdResolved = SYSTEMD_RESOLVED): Promise<string> {
  const behind = join(systemdResolved, "resolv.conf");
  try {
    if ((await realpath(path)) !== (await realpath(join(systemdResolved, "stub-resolv.conf")))) return path;
    await access(behind);
    return behind;
  } catch {
    return path;
  }
}
