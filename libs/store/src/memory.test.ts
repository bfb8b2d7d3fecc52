import { manualClock } from "@pilothouse/clock/manual";
import { storeConformance } from "./conformance.ts";
import { memoryStore } from "./memory.ts";

storeConformance("memory store", async () => {
  const clock = manualClock();
  const store = memoryStore({ clock });
  return {
    store,
    pass: (ms) => clock.advance(ms),
    breakConnections: () => undefined,
    stop: () => store.close(),
  };
});
