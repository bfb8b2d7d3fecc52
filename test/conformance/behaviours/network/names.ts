/** Names: what a pod can resolve, and pods that reach each other. */
import assert from "node:assert/strict";
import { TOOLBOX_IMAGE, WEB_IMAGE } from "../../../../deploy/images.ts";
import type { Behaviours } from "../../behaviour.ts";
import { scriptPod, waitingPod, type Trial } from "../../trial.ts";
import { udpClient, UDP_SERVER } from "./udp.ts";
import { webPod } from "./services.ts";

const named = (rest: string): string => `[sig-network] ${rest} [Conformance]`;

async function client(t: Trial): Promise<void> {
  await t.api("v1", "pods").create(waitingPod("client"));
  await t.ready("client");
}

/** Waits until nslookup of the name tells this text. */
async function resolves(t: Trial, name: string, wanted: string, type = "a"): Promise<void> {
  let said = "";
  await t
    .until(
      `${name} resolves to ${wanted}`,
      async () => {
        said = await t.exec("client", "sh", "-c", `nslookup -type=${type} ${name} 2>&1 || true`);
        return said.split("Name:").slice(1).join().includes(wanted) || (type !== "a" && said.includes(wanted));
      },
      60_000,
    )
    .catch(() => assert.fail(`${name} does not resolve to ${wanted}: ${said}`));
}

/** By the resolver of the container's C library, search path and all. */
async function isFound(t: Trial, name: string, wanted: string): Promise<void> {
  await t.until(`${name} is found`, async () => {
    const said = await t.exec("client", "sh", "-c", `ping -c 1 -W 1 ${name} 2>&1 | head -1`);
    return said.includes(`(${wanted})`);
  });
}

async function ipOf(t: Trial, pod: string): Promise<string> {
  return (await t.ready(pod))["status"].podIP as string;
}

async function servicesAndPods(t: Trial): Promise<{ clusterIP: string; podIP: string }> {
  const services = t.api("v1", "services");
  const spec = { selector: { app: "web" }, ports: [{ name: "http", port: 80, protocol: "TCP" }] };
  await services.create({ metadata: { name: "headless" }, spec: { ...spec, clusterIP: "None" } });
  const { clusterIP } = (await services.create({ metadata: { name: "plain" }, spec }))["spec"] as { clusterIP: string };
  await t.api("v1", "pods").create(webPod("web"));
  const podIP = await ipOf(t, "web");
  await client(t);
  return { clusterIP, podIP };
}

async function podWithName(t: Trial): Promise<string> {
  await t.api("v1", "services").create({
    metadata: { name: "subdomain" },
    spec: { clusterIP: "None", selector: { app: "querier" }, ports: [{ name: "http", port: 80 }] },
  });
  await t
    .api("v1", "pods")
    .create(waitingPod("querier", { pod: { hostname: "querier-host", subdomain: "subdomain" } }));
  await client(t);
  return ipOf(t, "querier");
}

async function reaches(t: Trial, from: "pod" | "node", protocol: "http" | "udp"): Promise<void> {
  const pod = webPod("target");
  pod["spec"].containers.push({
    name: "udp",
    image: WEB_IMAGE,
    ...t.script.container,
    command: t.script.command(UDP_SERVER),
  });
  Object.assign(pod["spec"], t.script.pod);
  await t.api("v1", "pods").create(pod);
  const target = await ipOf(t, "target");
  const host = from === "node" ? { hostNetwork: true } : {};
  await t
    .api("v1", "pods")
    .create(waitingPod("client", { pod: { ...t.script.pod, ...host }, container: t.script.container }));
  await t.ready("client");
  const ask =
    protocol === "http"
      ? ["sh", "-c", `timeout 3 wget -q -O - http://${target}/hostname`]
      : t.script.command(udpClient(target, 8081));
  await t.until(`the pod is reached by ${protocol}`, async () => {
    return (await t.exec("client", ...ask).catch(() => "")).includes("target");
  });
}

const DOMAIN = "cluster.local";

export const names: Behaviours = {
  [named("DNS should provide DNS for the cluster")]: async (t) => {
    await client(t);
    const { items } = await t.clusterApi("v1", "services").list({ fieldSelector: "metadata.name=kubernetes" });
    await resolves(t, `kubernetes.default.svc.${DOMAIN}`, items[0]?.["spec"].clusterIP as string);
  },
  [named("DNS should provide /etc/hosts entries for the cluster")]: async (t) => {
    const pod = { hostname: "named", subdomain: "there" };
    const said = await t.outputOf(scriptPod("cat /etc/hosts; hostname -i", { pod }));
    assert.match(said, new RegExp(`named\\.there\\.${t.namespace}\\.svc\\.${DOMAIN.replace(".", "\\.")}\\s+named`));
  },
  [named("DNS should provide DNS for services")]: async (t) => {
    const { clusterIP, podIP } = await servicesAndPods(t);
    const zone = `${t.namespace}.svc.${DOMAIN}`;
    await resolves(t, `headless.${zone}`, podIP);
    await resolves(t, `plain.${zone}`, clusterIP);
    await resolves(t, `_http._tcp.headless.${zone}`, "80", "srv");
    await resolves(t, `_http._tcp.plain.${zone}`, "80", "srv");
    await resolves(t, `${clusterIP.split(".").reverse().join(".")}.in-addr.arpa`, `plain.${zone}`, "ptr");
  },
  [named("DNS should resolve DNS of partial qualified names for services [LinuxOnly]")]: async (t) => {
    const { clusterIP, podIP } = await servicesAndPods(t);
    for (const suffix of ["", `.${t.namespace}`, `.${t.namespace}.svc`]) {
      await isFound(t, `plain${suffix}`, clusterIP);
      await isFound(t, `headless${suffix}`, podIP);
    }
  },
  [named("DNS should provide DNS for pods for Hostname")]: async (t) => {
    const podIP = await podWithName(t);
    await resolves(t, `querier-host.subdomain.${t.namespace}.svc.${DOMAIN}`, podIP);
    const said = await t.exec("querier", "sh", "-c", "hostname; hostname -f");
    assert.equal(said, `querier-host\nquerier-host.subdomain.${t.namespace}.svc.${DOMAIN}\n`);
  },
  [named("DNS should provide DNS for pods for Subdomain")]: async (t) => {
    const podIP = await podWithName(t);
    await resolves(t, `subdomain.${t.namespace}.svc.${DOMAIN}`, podIP);
    await resolves(t, `querier-host.subdomain.${t.namespace}.svc.${DOMAIN}`, podIP);
  },
  [named("DNS should provide DNS for ExternalName services")]: async (t) => {
    const services = t.api("v1", "services");
    await services.create({
      metadata: { name: "elsewhere" },
      spec: { type: "ExternalName", externalName: "foo.example.com" },
    });
    await client(t);
    const name = `elsewhere.${t.namespace}.svc.${DOMAIN}`;
    await resolves(t, name, "foo.example.com", "cname");
    await services.patch("elsewhere", { spec: { externalName: "bar.example.com" } });
    await resolves(t, name, "bar.example.com", "cname");
    const ports = [{ port: 80, name: "http", protocol: "TCP" }];
    const changed = await services.patch("elsewhere", { spec: { type: "ClusterIP", externalName: null, ports } });
    await resolves(t, name, changed["spec"].clusterIP as string);
  },
  [named("DNS should support configurable pod DNS nameservers")]: async (t) => {
    const pod = { dnsPolicy: "None", dnsConfig: { nameservers: ["1.1.1.1"], searches: ["resolv.conf.local"] } };
    const said = await t.outputOf(scriptPod("cat /etc/resolv.conf", { pod, container: { image: TOOLBOX_IMAGE } }));
    assert.match(said, /^nameserver 1\.1\.1\.1$/m);
    assert.match(said, /^search resolv\.conf\.local$/m);
  },

  [named("Networking Granular Checks: Pods should function for intra-pod communication: http [NodeConformance]")]: (
    t,
  ) => reaches(t, "pod", "http"),
  [named("Networking Granular Checks: Pods should function for intra-pod communication: udp [NodeConformance]")]: (t) =>
    reaches(t, "pod", "udp"),
  [named(
    "Networking Granular Checks: Pods should function for node-pod communication: http [LinuxOnly] [NodeConformance]",
  )]: (t) => reaches(t, "node", "http"),
  [named(
    "Networking Granular Checks: Pods should function for node-pod communication: udp [LinuxOnly] [NodeConformance]",
  )]: (t) => reaches(t, "node", "udp"),
};
