/**
 * `certificates`: the identities of one machine. Each command may be interrupted and run again. It prints one JSON object for
 * Ansible on stdout and lines for people on stderr; it ends with 0 when all is as asked, 1 when something failed, 2 when it was
 * called wrongly, 3 when `status` finds a certificate that cannot be used.
 */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { systemClock } from "@pilothouse/clock/system";
import type { ApiClient } from "@pilothouse/client";
import { createApiClient } from "@pilothouse/client/api-client";
import { kubeconfigTransports, loadKubeconfig } from "@pilothouse/client/kubeconfig";
import { Command, CommanderError, Option } from "commander";
import { certificatesFromApi } from "./api-requests.ts";
import { bringAuthorities } from "./authorities.ts";
import type { Goal } from "./authority-plan.ts";
import { checkMachinePlan, checkSigningPlan, type MachinePlan } from "./certificate-plan.ts";
import { writeDurably } from "./durable-files.ts";
import { leadKeys, type KeyPhase } from "./encryption-key.ts";
import type { Hands } from "./identity-files.ts";
import {
  certificateStatus,
  installCertificates,
  renewCertificates,
  requestCertificates,
  signCertificates,
  type CertificateRequest,
  type IssuedCertificate,
  type StatusLine,
} from "./machine-certificates.ts";
import { rewriteSecrets } from "./rewrite-secrets.ts";

const KUBELET_KUBECONFIG = "/etc/pilothouse/kubelet.conf";
/** Nobody waits for a renewal: the timer comes again. */
const ANSWER_DEADLINE_MS = 120_000;

const say = (line: string): void => void process.stderr.write(`${line}\n`);
const answer = (value: object): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

const hands: Hands = {
  chown(owner, paths) {
    const { status, stdout, stderr } = spawnSync("chown", ["--changes", owner, ...paths], { encoding: "utf8" });
    if (status !== 0) throw new Error(`chown ${owner} failed: ${stderr.trim()}`);
    return stdout !== "";
  },
  run([program = "", ...args]) {
    // What it prints is for people: stdout is Ansible's.
    const { status, error } = spawnSync(program, args, { stdio: ["ignore", process.stderr.fd, process.stderr.fd] });
    if (error) throw new Error(`${program} could not be run: ${error.message}`);
    if (status !== 0) throw new Error(`${[program, ...args].join(" ")} ended with ${status ?? "a signal"}`);
  },
  beforeStep: () => undefined,
};
const ports = { hands, now: () => systemClock.now(), say };

const program = new Command("certificates")
  .description("Keys and certificates of this machine. JSON on stdout, lines for people on stderr.")
  .exitOverride();

program
  .command("authority")
  .description("makes the authorities and the cluster's keys that are missing, or leads their replacement one phase on")
  .requiredOption("--directory <path>", "where they lie")
  .option("--rotate", "make the next authorities beside: now bring the bundles and files to all machines")
  .option("--promote", "sign by the next from now on: now bring bundles and files, and renew everywhere")
  .option("--retire", "trust the previous no more: now bring the bundles and files to all machines")
  .action(async ({ directory, ...goals }: { directory: string } & Partial<Record<Goal, true>>) => {
    const [goal = "exist", ...others] = Object.keys(goals) as Goal[];
    if (others.length > 0) program.error("only one of --rotate, --promote and --retire", { exitCode: 2 });
    const beforeStep = (what: string): void => say(what);
    answer(await bringAuthorities(directory, goal, { nowMs: ports.now(), beforeStep }));
  });

program
  .command("encryption-key")
  .description("leads the key of Secrets at rest one phase on: now bring the file to all apiservers")
  .requiredOption("--directory <path>", "where the authorities lie")
  .addOption(new Option("--phase <phase>", "what to do").choices(["add", "use", "drop"]).makeOptionMandatory())
  .action(({ directory, phase }: { directory: string; phase: KeyPhase }) => {
    const path = join(directory, "encryption.yaml");
    const before = readFileSync(path, "utf8");
    const { text: after, keys } = leadKeys(before, phase, () => randomBytes(32).toString("base64"));
    if (after !== before) {
      say(`${path}: ${phase}`);
      writeDurably(path, after, 0o600);
    }
    answer({ changed: after !== before, keys });
  });

program
  .command("rewrite-secrets")
  .description("writes every Secret again, unchanged, by the key that is first now")
  .requiredOption("--kubeconfig <file>", "of an administrator")
  .action(({ kubeconfig }: { kubeconfig: string }) =>
    withApi(kubeconfig, async (client) => answer({ written: await rewriteSecrets(client) })),
  );

program
  .command("request")
  .description("prints a request for every identity that needs a certificate")
  .requiredOption("--config <file>", "the machine's certificates.json")
  .option("--all", "for each identity, whether it needs one or not", false)
  .action(async ({ config, all }: { config: string; all: boolean }) => {
    const requests = await requestCertificates(readPlan(config), { all }, ports);
    answer({ changed: requests.length > 0, requests });
  });

program
  .command("sign")
  .description("signs requests; stdin: a machine's certificates.json and its requests in one object")
  .requiredOption("--authorities <directory>", "where the authorities lie")
  .action(async ({ authorities }: { authorities: string }) => {
    const input = await readStdin();
    const requests = listIn<Pick<CertificateRequest, "identity" | "csrPem">>(input, "requests", ["identity", "csrPem"]);
    const certificates = await signCertificates(authorities, requests, checkSigningPlan(input), ports);
    answer({ changed: certificates.length > 0, certificates });
  });

program
  .command("install")
  .description("replaces what was signed; stdin: the answer of `sign`")
  .requiredOption("--config <file>", "the machine's certificates.json")
  .action(async ({ config }: { config: string }) => {
    const certificates = listIn<IssuedCertificate>(await readStdin(), "certificates", ["identity", "certificatePem"]);
    const installed = installCertificates(readPlan(config), certificates, ports);
    answer({ changed: installed.length > 0, installed });
  });

program
  .command("status")
  .description("until when each identity lasts, and what needs a new certificate")
  .requiredOption("--config <file>", "the machine's certificates.json")
  .action(({ config }: { config: string }) => {
    const identities = certificateStatus(readPlan(config), ports.now());
    say(tableOf(identities));
    answer({ changed: false, identities });
    if (identities.some(({ isUsable }) => !isUsable)) process.exitCode = 3;
  });

program
  .command("renew")
  .description("renews what is due: by the authorities where they are at hand, by the API elsewhere")
  .requiredOption("--config <file>", "the machine's certificates.json")
  .action(async ({ config }: { config: string }) => {
    const plan = readPlan(config);
    const installed = await renewCertificates(plan, ports, (requests) => askApi(plan, requests));
    if (installed.length === 0) say("nothing is due");
    answer({ changed: installed.length > 0, installed });
  });

/** As the kubelet of this machine, which renews itself that way too. */
async function askApi(
  plan: MachinePlan,
  requests: readonly CertificateRequest[],
): Promise<readonly IssuedCertificate[]> {
  return withApi(plan.kubeconfig ?? KUBELET_KUBECONFIG, (client) =>
    certificatesFromApi(client, plan, requests, { say, signal: AbortSignal.timeout(ANSWER_DEADLINE_MS) }),
  );
}

async function withApi<T>(kubeconfig: string, work: (client: ApiClient) => Promise<T>): Promise<T> {
  const transports = kubeconfigTransports(loadKubeconfig(kubeconfig), [], systemClock);
  try {
    return await work(createApiClient({ transports, userAgent: "pilothouse-certificates" }));
  } finally {
    await Promise.all(transports.map((transport) => transport.close()));
  }
}

function readPlan(path: string): MachinePlan {
  try {
    return checkMachinePlan(JSON.parse(readFileSync(path, "utf8")));
  } catch (error) {
    throw new Error(`${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

async function readStdin(): Promise<unknown> {
  const input = await text(process.stdin);
  try {
    return JSON.parse(input);
  } catch (error) {
    throw new Error("stdin is no JSON object", { cause: error });
  }
}

function listIn<T>(input: unknown, name: string, fields: readonly (keyof T & string)[]): readonly T[] {
  const list: unknown = (Object(input) as Record<string, unknown>)[name];
  const fits = (item: unknown): boolean =>
    fields.every((field) => typeof (Object(item) as Record<string, unknown>)[field] === "string");
  if (!Array.isArray(list) || !list.every(fits))
    throw new Error(`stdin: ${name} must be a list of ${fields.join(", ")}`);
  return list as T[];
}

function tableOf(lines: readonly StatusLine[]): string {
  const rows = lines.map(({ identity, authority, commonName, expires = "-", renewal = "-", state }) => [
    identity,
    authority,
    commonName,
    expires,
    renewal,
    state,
  ]);
  const all = [["IDENTITY", "AUTHORITY", "COMMON NAME", "EXPIRES", "RENEWAL FROM", "STATE"], ...rows];
  const widths = (all[0] as string[]).map((_, column) => Math.max(...all.map((row) => (row[column] as string).length)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] as number))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else {
    say(`certificates: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}
