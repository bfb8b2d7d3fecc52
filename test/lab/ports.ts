/** Every port that listens and who may connect: the list that the firewall is made of, as tests and the docs read it. Pure but for its file. */
import { readFileSync } from "node:fs";
import { parse } from "yaml";

export interface Port {
  /** Of an IP protocol: its number. */
  readonly port: number;
  /** TCP where it is not said. */
  readonly protocol?: "udp" | "tcp and udp" | "IP protocol";
  readonly process: string;
  readonly at: "masters" | "everywhere";
  readonly listens: "machine" | "api" | "loopback" | "dns";
  readonly from: readonly ("masters" | "machines" | "operators" | "own-pods" | "anybody" | "itself")[];
  readonly used_by?: string;
  readonly known_by: string;
}

/** Who tries to connect to a machine: a process on it or elsewhere, or a pod. */
export type Caller = "itself" | "master" | "worker" | "operator" | "own pod" | "pod elsewhere" | "outsider";

export function readPorts(): readonly Port[] {
  const text = readFileSync(new URL("../../ansible/defaults.yml", import.meta.url), "utf8");
  return (parse(text) as { pilothouse_ports: readonly Port[] }).pilothouse_ports;
}

const CALLERS: Readonly<Record<Port["from"][number], readonly Caller[]>> = {
  itself: ["itself"],
  masters: ["itself", "master"],
  machines: ["itself", "master", "worker"],
  operators: ["itself", "operator"],
  "own-pods": ["itself", "own pod"],
  anybody: ["itself", "master", "worker", "operator", "own pod", "pod elsewhere", "outsider"],
};

/** Whether the table lets this caller connect. */
export function mayConnect({ from }: Port, caller: Caller): boolean {
  return from.some((name) => CALLERS[name].includes(caller));
}

const LISTENS: Readonly<Record<Port["listens"], string>> = {
  machine: "the machine's address",
  api: "the API's address",
  loopback: "127.0.0.1",
  dns: "the cluster's DNS address, on the machine itself",
};
const FROM: Readonly<Record<Port["from"][number], string>> = {
  masters: "masters",
  machines: "machines",
  operators: "operators",
  "own-pods": "its pods",
  anybody: "anybody",
  itself: "the machine itself",
};

/** The table of docs/operators/ports.md. */
export function portsTable(ports: readonly Port[]): string {
  const rows = ports.map((it) => [
    it.protocol === "IP protocol" ? `IP protocol ${it.port}` : `${it.port}${it.protocol ? `, ${it.protocol}` : ""}`,
    `${it.process}; ${it.at}`,
    LISTENS[it.listens],
    it.from.map((name) => FROM[name]).join(", ") + (it.used_by === undefined ? "" : ` (${it.used_by})`),
    it.known_by,
  ]);
  const header = ["Port", "Process, on", "Listens on", "Who may connect", "Known by"];
  const lines = [header, header.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`);
  return `${lines.join("\n")}\n`;
}
