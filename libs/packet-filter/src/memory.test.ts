import { packetFilterConformance } from "./conformance.ts";
import { memoryPacketFilter } from "./memory.ts";

packetFilterConformance("memory", () => {
  const filter = memoryPacketFilter();
  return Promise.resolve({ filter, stop: () => filter.close() });
});
