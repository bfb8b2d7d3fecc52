import type { Endpoints, EndpointSubset } from "@pilothouse/api/types/core-v1";
import type { EndpointSlice } from "@pilothouse/api/types/discovery-v1";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { isMirrored, MANAGED_BY, plan } from "./plan.ts";

function endpoints(subsets: readonly EndpointSubset[], metadata: Partial<Endpoints["metadata"]> = {}): Endpoints {
  return { metadata: { name: "db", namespace: "default", uid: "u", ...metadata }, subsets: [...subsets] };
}

const http = [{ name: "http", port: 80, protocol: "TCP" }];

/** The slices after the plan was carried out. */
function applied(of: Endpoints, slices: readonly EndpointSlice[]): readonly EndpointSlice[] {
  const { create, update, delete: gone } = plan(of, slices);
  let made = slices.length;
  const created = create.map((slice) => ({ ...slice, metadata: { ...slice.metadata, name: `db-${made++}` } }));
  const kept = slices
    .filter((slice) => !gone.includes(slice))
    .map((slice) => update.find(({ metadata }) => metadata.name === slice.metadata.name) ?? slice);
  return [...kept, ...created];
}

function told(slices: readonly EndpointSlice[]): readonly string[] {
  return slices
    .flatMap(({ endpoints: all, ports }) =>
      all.map(
        ({ addresses, conditions }) => `${addresses.join()} ${conditions?.ready} ${ports?.map((p) => p.port).join()}`,
      ),
    )
    .sort();
}

test("a mirror says what was written by hand: ready and not, by family and ports, and whose it is", () => {
  const written = endpoints(
    [
      {
        addresses: [{ ip: "192.0.2.1" }, { ip: "2001:db8::1" }],
        notReadyAddresses: [{ ip: "192.0.2.2" }],
        ports: http,
      },
      { addresses: [{ ip: "192.0.2.3" }], ports: [{ port: 5432 }] },
    ],
    { labels: { team: "a" }, annotations: { note: "b", "kubectl.kubernetes.io/last-applied-configuration": "{}" } },
  );
  const slices = applied(written, []);
  expect(told(slices)).toEqual([
    "192.0.2.1 true 80",
    "192.0.2.2 false 80",
    "192.0.2.3 true 5432",
    "2001:db8::1 true 80",
  ]);
  expect(slices.map(({ addressType }) => addressType)).toEqual(["IPv4", "IPv6", "IPv4"]);
  expect(slices[0]?.metadata).toMatchObject({
    labels: {
      team: "a",
      "kubernetes.io/service-name": "db",
      "endpointslice.kubernetes.io/managed-by": MANAGED_BY,
    },
    annotations: { note: "b" },
    ownerReferences: [{ apiVersion: "v1", kind: "Endpoints", name: "db", uid: "u", controller: true }],
  });
  expect(Object.keys(slices[0]?.metadata.annotations ?? {})).toEqual(["note"]);
});

test("who is mirrored", () => {
  const plain = { spec: {} };
  expect(isMirrored(endpoints([]), plain)).toBe(true);
  expect(isMirrored(endpoints([]), { spec: { selector: { app: "web" } } })).toBe(false);
  expect(isMirrored(endpoints([], { labels: { "endpointslice.kubernetes.io/skip-mirror": "true" } }), plain)).toBe(
    false,
  );
  const election = { annotations: { "control-plane.alpha.kubernetes.io/leader": "{}" } };
  expect(isMirrored(endpoints([], election), plain)).toBe(false);
});

test("from any mirror to any Endpoints: what is written is what is told, at most 100 a slice, and then nothing is left to do", () => {
  const subset = fc
    .record({ count: fc.integer({ min: 0, max: 230 }), port: fc.constantFrom(80, 81), ready: fc.boolean() })
    .map(({ count, port, ready }): EndpointSubset => {
      const addresses = Array.from({ length: count }, (_, i) => ({ ip: `192.0.${i >> 8}.${i & 255}` }));
      return { [ready ? "addresses" : "notReadyAddresses"]: addresses, ports: [{ port }] };
    });
  const written = fc.array(subset, { maxLength: 3 }).map((subsets) => endpoints(subsets));
  fc.assert(
    fc.property(written, written, (before, after) => {
      const slices = applied(after, applied(before, []));
      expect(told(slices)).toEqual(told(applied(after, [])));
      expect(slices.every(({ endpoints: all }) => all.length > 0 && all.length <= 100)).toBe(true);
      expect(plan(after, slices)).toEqual({ create: [], update: [], delete: [] });
    }),
    { numRuns: 60 },
  );
});
