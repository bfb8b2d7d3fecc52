import { execFileSync } from "node:child_process";
import { packetFilterConformance } from "@pilothouse/packet-filter/conformance";
import { nftPacketFilter } from "./index.ts";

// A network namespace of the test's own: the machine's tables are neither read nor changed.
packetFilterConformance("nft", () => {
  const namespace = `ph-nft-${process.pid}`;
  execFileSync("ip", ["netns", "add", namespace]);
  const filter = nftPacketFilter({ prefix: ["ip", "netns", "exec", namespace] });
  return Promise.resolve({
    filter,
    stop: async () => {
      await filter.close();
      execFileSync("ip", ["netns", "delete", namespace]);
    },
  });
});
