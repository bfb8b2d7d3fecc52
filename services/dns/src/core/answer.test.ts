import type { Service } from "@pilothouse/api/types/core-v1";
import type { EndpointSlice } from "@pilothouse/api/types/discovery-v1";
import { decode, encode, type Packet, type RecordType } from "dns-packet";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { answer, truncated, udpLimit } from "./answer.ts";
import { Zone } from "./zone.ts";

function service(name: string, spec: Partial<Service["spec"]>): Service {
  return {
    metadata: { name, namespace: "default" },
    spec: { ports: [{ name: "http", port: 80, protocol: "TCP" }], ...spec },
  };
}

function slice(name: string, serviceName: string, endpoints: EndpointSlice["endpoints"]): EndpointSlice {
  return {
    metadata: { name, namespace: "default", labels: { "kubernetes.io/service-name": serviceName } },
    addressType: "IPv4",
    endpoints,
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
  };
}

function zoneWithServices(): Zone {
  const zone = new Zone("cluster.local", ["198.18.0.0/16", "198.19.0.0/16"]);
  zone.setService(service("web", { clusterIP: "198.19.0.7" }));
  zone.setService(service("db", { clusterIP: "None" }));
  zone.setService(service("outside", { type: "ExternalName", externalName: "example.com" }));
  zone.setService(service("inside", { type: "ExternalName", externalName: "web.default.svc.cluster.local" }));
  zone.setSlice(
    slice("db-abc", "db", [
      { addresses: ["198.18.0.4"], conditions: { ready: true }, hostname: "db-0" },
      { addresses: ["198.18.0.5"], conditions: { ready: true } },
      { addresses: ["198.18.0.6"], conditions: { ready: false } },
    ]),
  );
  return zone;
}

/** Asks over the wire format, and tells the answer in one line per record. */
function ask(zone: Zone, type: RecordType, name: string): readonly string[] {
  const query = decode(encode({ type: "query", id: 7, flags: 256, questions: [{ type, name }] }));
  const reply = answer(query, zone, 1);
  if (reply.do === "forward") return ["forward"];
  const packet = decode(encode(reply.packet));
  expect(packet.id).toBe(7);
  const lines = [...(packet.answers ?? []), ...(packet.authorities ?? [])].map((record) => {
    const data = "data" in record ? record.data : "";
    return record.type === "SOA"
      ? "SOA"
      : `${record.name} ${record.type} ${typeof data === "string" ? data : JSON.stringify(data)}`;
  });
  return ((packet.flags ?? 0) & 15) === 3 ? ["NXDOMAIN", ...lines] : lines;
}

test("a Service is found by its name, whatever the case", () => {
  expect(ask(zoneWithServices(), "A", "Web.default.svc.cluster.local")).toEqual([
    "Web.default.svc.cluster.local A 198.19.0.7",
  ]);
  expect(ask(zoneWithServices(), "SRV", "_http._tcp.web.default.svc.cluster.local")).toEqual([
    '_http._tcp.web.default.svc.cluster.local SRV {"priority":0,"weight":100,"port":80,"target":"web.default.svc.cluster.local"}',
  ]);
});

test("a headless Service stands for its ready endpoints, and each has a name", () => {
  const zone = zoneWithServices();
  expect(ask(zone, "A", "db.default.svc.cluster.local")).toEqual([
    "db.default.svc.cluster.local A 198.18.0.4",
    "db.default.svc.cluster.local A 198.18.0.5",
  ]);
  expect(ask(zone, "A", "db-0.db.default.svc.cluster.local")).toEqual([
    "db-0.db.default.svc.cluster.local A 198.18.0.4",
  ]);
  expect(ask(zone, "A", "198-18-0-5.db.default.svc.cluster.local")).toEqual([
    "198-18-0-5.db.default.svc.cluster.local A 198.18.0.5",
  ]);
});

test("a name that exists without the type asked for has no data; one that does not exist is NXDOMAIN; both say so with a SOA", () => {
  const zone = zoneWithServices();
  expect(ask(zone, "AAAA", "web.default.svc.cluster.local")).toEqual(["SOA"]);
  expect(ask(zone, "A", "_tcp.web.default.svc.cluster.local")).toEqual(["SOA"]);
  expect(ask(zone, "A", "default.svc.cluster.local")).toEqual(["SOA"]);
  expect(ask(zone, "A", "nobody.default.svc.cluster.local")).toEqual(["NXDOMAIN", "SOA"]);
  expect(ask(zone, "A", "web.elsewhere.svc.cluster.local")).toEqual(["NXDOMAIN", "SOA"]);
});

test("an ExternalName is an alias, followed as far as the zone reaches", () => {
  const zone = zoneWithServices();
  expect(ask(zone, "A", "outside.default.svc.cluster.local")).toEqual([
    "outside.default.svc.cluster.local CNAME example.com",
  ]);
  expect(ask(zone, "A", "inside.default.svc.cluster.local")).toEqual([
    "inside.default.svc.cluster.local CNAME web.default.svc.cluster.local",
    "web.default.svc.cluster.local A 198.19.0.7",
  ]);
});

test("addresses lead back to names; unknown ones of our ranges are not forwarded", () => {
  const zone = zoneWithServices();
  expect(ask(zone, "PTR", "7.0.19.198.in-addr.arpa")).toEqual([
    "7.0.19.198.in-addr.arpa PTR web.default.svc.cluster.local",
  ]);
  expect(ask(zone, "PTR", "4.0.18.198.in-addr.arpa")).toEqual([
    "4.0.18.198.in-addr.arpa PTR db-0.db.default.svc.cluster.local",
  ]);
  expect(ask(zone, "PTR", "99.0.18.198.in-addr.arpa")).toEqual(["NXDOMAIN", "SOA"]);
  expect(ask(zone, "PTR", "1.2.0.192.in-addr.arpa")).toEqual(["forward"]);
});

test("pods are found by their address; the rest of the world is forwarded", () => {
  const zone = zoneWithServices();
  expect(ask(zone, "A", "198-18-0-9.default.pod.cluster.local")).toEqual([
    "198-18-0-9.default.pod.cluster.local A 198.18.0.9",
  ]);
  expect(ask(zone, "A", "999-18-0-9.default.pod.cluster.local")).toEqual(["NXDOMAIN", "SOA"]);
  expect(ask(zone, "A", "example.com")).toEqual(["forward"]);
});

test("a Service that goes takes its names along, and its slices bring them back", () => {
  const zone = zoneWithServices();
  zone.removeService("default/db");
  expect(ask(zone, "A", "db.default.svc.cluster.local")).toEqual(["NXDOMAIN", "SOA"]);
  zone.setService(service("db", { clusterIP: "None" }));
  expect(ask(zone, "A", "db-0.db.default.svc.cluster.local")).toHaveLength(1);
  zone.removeSlice("default/db-abc");
  expect(ask(zone, "A", "db-0.db.default.svc.cluster.local")).toEqual(["NXDOMAIN", "SOA"]);
});

test("over UDP the client's size counts, within bounds", () => {
  const edns = (udpPayloadSize: number): Packet => ({
    additionals: [
      {
        type: "OPT",
        name: ".",
        udpPayloadSize,
        flags: 0,
        options: [],
        extendedRcode: 0,
        ednsVersion: 0,
        flag_do: false,
      },
    ],
  });
  expect([udpLimit({}), udpLimit(edns(100)), udpLimit(edns(1000)), udpLimit(edns(65_000))]).toEqual([
    512, 512, 1000, 1232,
  ]);
  expect(
    decode(encode(truncated({ type: "response", flags: 0, answers: [{ type: "A", name: "x", data: "1.2.3.4" }] }))),
  ).toMatchObject({
    flag_tc: true,
    answers: [],
  });
});

test("no question makes it throw", () => {
  const zone = zoneWithServices();
  const name = fc
    .array(fc.stringMatching(/^[a-z0-9_-]{1,10}$/), { minLength: 1, maxLength: 8 })
    .map((labels) => labels.join("."));
  fc.assert(
    fc.property(name, fc.constantFrom<RecordType>("A", "AAAA", "SRV", "PTR", "TXT", "SOA", "CNAME"), (prefix, type) => {
      for (const suffix of [
        "",
        ".cluster.local",
        ".svc.cluster.local",
        ".pod.cluster.local",
        ".default.svc.cluster.local",
      ]) {
        ask(zone, type, `${prefix}${suffix}`);
      }
    }),
  );
});
