/** Routes, kernel settings and connection tracking of the node, through `ip`, /proc/sys and `conntrack`. */
import { execFile } from "node:child_process";
import type { UdpFlow } from "../core/ruleset.ts";
import type { NodeNetwork } from "../flows/program.ts";

export interface NodeNetworkOptions {
  /** What to run commands by, for another network namespace: `["ip", "netns", "exec", "node"]`. */
  readonly prefix?: readonly string[];
}

const BRIDGE_SETTING = "net/bridge/bridge-nf-call-iptables";

export function nodeNetwork({ prefix = [] }: NodeNetworkOptions = {}): NodeNetwork {
  const run = (...command: string[]): Promise<void> => execute([...prefix, ...command]);
  const set = (setting: string, value: string): Promise<void> =>
    run("sh", "-c", `echo ${value} > /proc/sys/${setting}`);
  return {
    async prepare({ podRange, serviceRange, clusterDns }) {
      // The bridge and other nodes have routes for their part of the pods' range: this one is for the rest.
      await run("ip", "route", "replace", "unreachable", podRange);
      // An unreachable route would make connect() fail before the output hook could change the destination. By `lo` a
      // packet gets that far; what is not changed is rejected, and would be dropped by `lo` if it were not.
      await run("ip", "link", "set", "lo", "up");
      await run("ip", "route", "replace", serviceRange, "dev", "lo");
      // Scope host: it is never taken as the source of packets that leave.
      if (clusterDns !== undefined)
        await run("ip", "address", "replace", `${clusterDns}/32`, "dev", "lo", "scope", "host");
      await set("net/ipv4/ip_forward", "1");
      return (await setBridge(run, set)) ? [] : [NO_BRIDGE_NETFILTER];
    },
    async forgetUdp(flows) {
      for (const flow of flows) await run("conntrack", ...deletion(flow)).catch(ignoreNothingFound);
    },
  };
}

const NO_BRIDGE_NETFILTER =
  "this kernel has no br_netfilter: a pod does not reach a Service whose endpoint is on the same node";

/** Pods on one bridge reach each other without routing: only with this setting do answers pass connection tracking. */
async function setBridge(
  run: (...command: string[]) => Promise<void>,
  set: (setting: string, value: string) => Promise<void>,
): Promise<boolean> {
  const works = (attempt: Promise<void>): Promise<boolean> =>
    attempt.then(
      () => true,
      () => false,
    );
  if (await works(set(BRIDGE_SETTING, "1"))) return true;
  await works(run("modprobe", "br_netfilter"));
  return works(set(BRIDGE_SETTING, "1"));
}

function deletion({ address, port, endpoint }: UdpFlow): string[] {
  const destination = address === undefined ? [] : ["--orig-dst", address];
  return ["-D", "-p", "udp", ...destination, "--orig-port-dst", String(port), "--dst-nat", endpoint];
}

/** conntrack fails when there was no such connection, which is as good. */
function ignoreNothingFound(error: unknown): void {
  if (!String(error).includes("0 flow entries")) throw error;
}

function execute([command = "", ...args]: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(command, args, (error, _output, complaint) => {
      if (error) reject(new Error(`${[command, ...args].join(" ")}: ${complaint.trim() || error.message}`));
      else resolve();
    });
  });
}
