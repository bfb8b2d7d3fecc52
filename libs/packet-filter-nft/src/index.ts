/**
 * The PacketFilter port on the kernel's nftables, through the `nft` tool: each `apply` is one `nft -j -f -`, hence one transaction.
 *
 * Promises: calls are carried out one after the other; what nft says is the refusal's message.
 * Limits: works in the network namespace of its process unless told another. nft 1.0.6 (Debian 12) wants priorities as
 * numbers, and its JSON knows no maps to concatenated values.
 */
import { spawn } from "node:child_process";
import { PacketFilterRefused, type NftCommand, type NftObject, type PacketFilter } from "@pilothouse/packet-filter";

export interface NftOptions {
  /** What to run nft by, for another network namespace: `["ip", "netns", "exec", "node"]`. */
  readonly prefix?: readonly string[];
}

/** nft opens /dev/stdin by its name, which works for a pipe but not for the socket that Node makes a child's standard input. */
const FROM_PIPE = ["sh", "-c", "cat | nft -j -f -"] as const;

export function nftPacketFilter({ prefix = [] }: NftOptions = {}): PacketFilter {
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const result = last.then(work);
    last = result.catch(() => undefined);
    return result;
  };
  return {
    apply: (commands) =>
      commands.length === 0
        ? Promise.resolve()
        : inTurn(async () => void (await run([...prefix, ...FROM_PIPE], transaction(commands)))),
    list: ({ family, name }) =>
      inTurn(async () => {
        const text = await run([...prefix, "nft", "-j", "list", "table", family, name]);
        return (JSON.parse(text) as { nftables: NftObject[] }).nftables.filter((object) => !("metainfo" in object));
      }),
    close: async () => void (await last),
  };
}

function transaction(commands: readonly NftCommand[]): string {
  return JSON.stringify({ nftables: commands });
}

function run([command = "", ...args]: readonly string[], input = ""): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] });
    let output = "";
    let complaint = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (complaint += text));
    // nft may end before it has read everything; its exit code tells why.
    child.stdin.on("error", () => undefined);
    child.once("error", (error) => reject(new PacketFilterRefused(`nft could not be run: ${error.message}`)));
    child.once("close", (code, signal) => {
      if (code === 0) resolve(output);
      else reject(new PacketFilterRefused(complaint.trim().slice(0, 2_000) || `nft ended with ${signal ?? code}`));
    });
    child.stdin.end(input);
  });
}
