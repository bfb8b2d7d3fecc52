import { globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { DEFAULT_PORTS, layoutOf } from "../../deploy/cluster/layout.ts";
import { natsConfig } from "../../deploy/cluster/processes.ts";

/** Core NATS only (C17): news may be lost, so nothing may stand on a stream, a key-value or an object store of the bus. */
const STORED = /jetstream|@nats-io\/(kv|obj)|\.views\.(kv|os)\(/i;

const repository = dirname(dirname(import.meta.dirname));
const product = globSync("{libs,services,deploy}/**/*.ts", { cwd: repository }).filter(
  (file) => !file.includes("node_modules") && !file.endsWith(".test.ts"),
);

test("no code of ours speaks to JetStream, and no package brings it in", () => {
  expect(product.length).toBeGreaterThan(300);
  const codeOf = (file: string): string => withoutComments(readFileSync(join(repository, file), "utf8"));
  expect(product.filter((file) => STORED.test(codeOf(file)))).toEqual([]);
  const manifests = globSync("{libs,services}/*/package.json", { cwd: repository });
  expect(manifests.filter((file) => STORED.test(readFileSync(join(repository, file), "utf8")))).toEqual([]);
});

test("the server of a cluster is started without JetStream", () => {
  const choices = { isolated: true, nodeName: "n", nodeIp: "198.51.100.1", ports: DEFAULT_PORTS, sysctlsBefore: {} };
  expect(natsConfig(layoutOf(repository), choices)).not.toMatch(STORED);
});

test.each(["connection.jetstream()", 'import { Kvm } from "@nats-io/kv"', "js.views.kv(name)"])(
  "would be noticed: %s",
  (code) => expect(withoutComments(code)).toMatch(STORED),
);

function withoutComments(code: string): string {
  return code.replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
}
