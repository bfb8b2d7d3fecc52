import { sleep } from "@pilothouse/clock";
import { systemClock } from "@pilothouse/clock/system";
import { storeConformance } from "@pilothouse/store/conformance";
import { afterAll } from "vitest";
import { expectNoLeaks, startEtcd, tcpProxy } from "../../../test/harness/index.ts";
import { etcdStore } from "./index.ts";

afterAll(expectNoLeaks);

storeConformance("etcd store, through a proxy that cuts connections", async () => {
  const etcd = await startEtcd();
  const proxy = await tcpProxy(etcd.port);
  const store = etcdStore({ endpoints: [`http://${proxy.address}`], clock: systemClock });
  return {
    store,
    pass: (ms) => sleep(systemClock, ms),
    breakConnections: () => proxy.cut(),
    async stop() {
      await store.close();
      await proxy.close();
      await etcd.stop();
    },
  };
});
