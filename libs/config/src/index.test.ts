import { expect, test } from "vitest";
import { ConfigurationInvalid, HelpRequested, loadConfig, type Settings, type Values } from "./index.ts";

const settings = {
  name: { type: "string", help: "The server's name.", required: true },
  "secure-port": { type: "port", help: "Where HTTPS is served.", default: 6443 },
  "etcd-servers": { type: "list", help: "Endpoints of etcd.", default: [] },
  "log-level": { type: "string", help: "How much to log.", default: "info", oneOf: ["info", "debug"] },
  tracing: { type: "boolean", help: "Record spans." },
} as const satisfies Settings;

function load(args: readonly string[], file = ""): Values<typeof settings> {
  return loadConfig({ name: "apiserver", description: "Serves the API.", settings, args, readFile: () => file });
}

function problemsOf(args: readonly string[], file = ""): readonly string[] {
  try {
    load(args, file);
  } catch (error) {
    if (error instanceof ConfigurationInvalid) return error.problems;
    throw error;
  }
  return [];
}

test("a flag wins over the file, and the file over the default", () => {
  const file = "secure-port: 7443\nlog-level: debug\netcd-servers: [https://a:1, https://b:2]\n";
  expect(load(["--name", "a", "--secure-port", "8443", "--config", "x.yaml"], file)).toEqual({
    name: "a",
    "secure-port": 8443,
    "etcd-servers": ["https://a:1", "https://b:2"],
    "log-level": "debug",
    tracing: false,
  });
  expect(load(["--name", "a", "--tracing", "--etcd-servers", "x,y"])).toEqual({
    name: "a",
    "secure-port": 6443,
    "etcd-servers": ["x", "y"],
    "log-level": "info",
    tracing: true,
  });
});

test("every problem is reported at once, and names its setting", () => {
  expect(problemsOf(["--secure-port", "70000", "--config", "x"], "log-level: loud\ncolour: red\n")).toEqual([
    'configuration file: unknown key "colour"',
    "--name is required: The server's name.",
    '--secure-port: "70000" is not a whole number from 0 to 65535',
    'configuration file: log-level: "loud" is not one of info, debug',
  ]);
  expect(problemsOf(["--name", "a", "--bogus"])).toEqual(["unknown option '--bogus'"]);
  expect(problemsOf(["--name", "a", "--config", "x"], "a: 1\na: 2\n")[0]).toContain("Map keys must be unique");
});

test("--help shows every setting with its default", () => {
  const text = ((): string => {
    try {
      load(["--help"]);
      return "";
    } catch (error) {
      return error instanceof HelpRequested ? error.text : "";
    }
  })();
  for (const key of ["--config", ...Object.keys(settings)]) expect(text).toContain(key);
  expect(text).toContain("(default: 6443)");
  expect(text).toContain("(required)");
});
