/** The routes to other nodes' pods in the kernel, through `ip` and `bridge`. Ours are known by their protocol number. */
import { execFile } from "node:child_process";
import { tunnelAddress, tunnelHardwareAddress, type PodRoute } from "../core/pod-routes.ts";
import type { OwnShare, RouteTable } from "../flows/pod-routes.ts";

export interface RouteTableOptions {
  /** What to run commands by, for another network namespace: `["ip", "netns", "exec", "node"]`. */
  readonly prefix?: readonly string[];
  /** Name of this node's end of the tunnel, at most 15 characters. */
  readonly tunnel: string;
}

/** Among those that the kernel leaves to administrators. */
const PROTOCOL = "158";
const TUNNEL_ID = "158";
const TUNNEL_PORT = "4789";

interface LinkAddress {
  readonly ifname: string;
  readonly addr_info?: readonly { readonly local: string; readonly prefixlen: number }[];
}

interface KernelRoute {
  readonly dst: string;
  readonly gateway?: string;
  readonly dev?: string;
}

export function routeTable({ prefix = [], tunnel }: RouteTableOptions): RouteTable {
  const run = (...command: string[]): Promise<string> => execute([...prefix, ...command]);
  const json = async <T>(...command: string[]): Promise<T> => JSON.parse((await run(...command)) || "[]") as T;

  /** Nodes by their end of the tunnel: the neighbour's hardware address, and whom packets to that go to. */
  const readPeers = async (): Promise<ReadonlyMap<string, string>> => {
    const neighbours = await json<{ dst: string; lladdr?: string }[]>(
      "ip",
      "-json",
      "neighbour",
      "show",
      "dev",
      tunnel,
    );
    const peers = await json<{ mac: string; dst?: string }[]>("bridge", "-json", "fdb", "show", "dev", tunnel);
    const nodes = new Map(peers.map(({ mac, dst = "" }) => [mac, dst]));
    return new Map(neighbours.map(({ dst, lladdr = "" }) => [dst, nodes.get(lladdr) ?? ""]));
  };
  const ensureTunnel = async ({ nodeAddress, podCidr }: OwnShare): Promise<void> => {
    if (podCidr === undefined)
      throw new Error("this node has no share of the pods' range yet: its tunnel has no address");
    const there = await run("ip", "link", "show", "dev", tunnel).then(
      () => true,
      () => false,
    );
    const hardware = tunnelHardwareAddress(nodeAddress);
    if (!there) {
      const kind = ["type", "vxlan", "id", TUNNEL_ID, "local", nodeAddress, "dstport", TUNNEL_PORT, "nolearning"];
      await run("ip", "link", "add", tunnel, "address", hardware, ...kind);
    }
    await run("ip", "address", "replace", `${tunnelAddress(podCidr)}/32`, "dev", tunnel);
    await run("ip", "link", "set", tunnel, "up");
  };
  const put = async ({ podCidr, nodeAddress, way }: PodRoute): Promise<void> => {
    const route = (...to: string[]): Promise<string> =>
      run("ip", "route", "replace", podCidr, ...to, "proto", PROTOCOL);
    if (way === "direct") {
      await route("via", nodeAddress);
      return;
    }
    const [gateway, hardware] = [tunnelAddress(podCidr), tunnelHardwareAddress(nodeAddress)];
    await run("bridge", "fdb", "replace", hardware, "dev", tunnel, "dst", nodeAddress, "self", "permanent");
    await run("ip", "neighbour", "replace", gateway, "lladdr", hardware, "dev", tunnel, "nud", "permanent");
    await route("via", gateway, "dev", tunnel, "onlink");
  };

  return {
    async links() {
      const links = await json<LinkAddress[]>("ip", "-json", "-4", "address", "show", "scope", "global");
      return links
        .filter(({ ifname }) => ifname !== tunnel)
        .flatMap(({ addr_info = [] }) => addr_info)
        .filter(({ prefixlen }) => prefixlen < 32)
        .map(({ local, prefixlen }) => `${local}/${prefixlen}`);
    },

    async read() {
      const routes = await json<KernelRoute[]>("ip", "-json", "-4", "route", "show", "proto", PROTOCOL);
      const peers = routes.some(({ dev }) => dev === tunnel) ? await readPeers() : new Map<string, string>();
      return routes.map(({ dst, gateway = "", dev }): PodRoute => {
        if (dev !== tunnel) return { podCidr: dst, nodeAddress: gateway, way: "direct" };
        return { podCidr: dst, nodeAddress: peers.get(gateway) ?? "", way: "tunnel" };
      });
    },

    async change(changes, own) {
      if (changes.put.some(({ way }) => way === "tunnel")) await ensureTunnel(own);
      for (const { podCidr } of changes.remove) await run("ip", "route", "delete", podCidr, "proto", PROTOCOL);
      for (const route of changes.put) await put(route);
    },
  };
}

function execute([command = "", ...args]: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(command, args, (error, output, complaint) => {
      if (error) reject(new Error(`${[command, ...args].join(" ")}: ${complaint.trim() || error.message}`));
      else resolve(output);
    });
  });
}
