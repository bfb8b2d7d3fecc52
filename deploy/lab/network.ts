/** The lab's network: one bridge in a namespace of its own, and one link to the machine that started the lab. */
import { existsSync, writeFileSync } from "node:fs";
import { ExplainedError } from "../cluster/errors.ts";
import { HOST_ADDRESS, LAB_NETWORK, type LabLayout } from "./layout.ts";
import { run, runQuietly } from "./shell.ts";

/** Harmless when it is there. */
export async function ensureNetwork(layout: LabLayout): Promise<void> {
  const { netns, bridge, hostLink } = layout;
  await refuseForeignRoute(hostLink);
  if (!existsSync(`/run/netns/${netns}`)) await run("ip", "netns", "add", netns);
  const links = JSON.parse(await run("ip", "-n", netns, "-j", "link", "show")) as { ifname: string }[];
  const has = (name: string): boolean => links.some(({ ifname }) => ifname === name);
  if (!has(bridge)) await run("ip", "-n", netns, "link", "add", bridge, "type", "bridge");
  for (const link of ["lo", bridge]) await run("ip", "-n", netns, "link", "set", link, "up");
  if (!has("host")) {
    await run("ip", "link", "add", hostLink, "type", "veth", "peer", "name", "host", "netns", netns);
    await run("ip", "-n", netns, "link", "set", "host", "master", bridge, "up");
  }
  // Whatever a machine sends here stays here: this link is for ssh and kubectl, not a way out.
  writeFileSync(`/proc/sys/net/ipv4/conf/${hostLink}/forwarding`, "0");
  await run("ip", "addr", "replace", `${HOST_ADDRESS}/24`, "dev", hostLink);
  await run("ip", "link", "set", hostLink, "up");
}

export async function removeNetwork({ netns, hostLink }: LabLayout): Promise<void> {
  await runQuietly("ip", "link", "delete", hostLink);
  if (existsSync(`/run/netns/${netns}`)) await run("ip", "netns", "delete", netns);
}

async function refuseForeignRoute(hostLink: string): Promise<void> {
  const routes = JSON.parse(await run("ip", "-j", "-4", "route", "show", LAB_NETWORK)) as { dev?: string }[];
  const foreign = routes.find(({ dev }) => dev !== hostLink);
  if (foreign)
    throw new ExplainedError("PH-111", `This machine already routes ${LAB_NETWORK} to ${foreign.dev ?? "elsewhere"}.`);
}
