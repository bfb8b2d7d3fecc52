import { readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { mayConnect, portsTable, readPorts } from "./ports.ts";

test("docs/operators/ports.md has the table of the firewall's own list (UPDATE_DOCS=1 rewrites it)", () => {
  const page = new URL("../../docs/operators/ports.md", import.meta.url);
  const text = readFileSync(page, "utf8");
  const wanted = text.replace(
    /(<!-- table: [^\n]*\n)[^]*(<!-- end of table -->)/,
    (_, begin: string, end: string) => `${begin}${portsTable(readPorts())}${end}`,
  );
  if (process.env["UPDATE_DOCS"]) writeFileSync(page, wanted);
  expect(readFileSync(page, "utf8")).toBe(wanted);
  expect(wanted).toContain("| 2379 |");
});

test("only what anybody may use is open to pods and to the world", () => {
  const open = readPorts().filter((port) => mayConnect(port, "outsider") || mayConnect(port, "pod elsewhere"));
  expect(open.map(({ port, process }) => `${port} ${process}`)).toEqual(["6443 apiserver", "6443 haproxy"]);
});
