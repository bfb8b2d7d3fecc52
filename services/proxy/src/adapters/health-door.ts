/** Health checks of Services over plain HTTP, on the node's own addresses. */
import { once } from "node:events";
import { createServer } from "node:http";
import { BlockList } from "node:net";
import type { HealthDoor } from "../flows/health-checks.ts";

/** `ranges` are CIDRs of the addresses on which it answers; none: on all. */
export function healthDoor(ranges: readonly string[] = []): HealthDoor {
  const allowed = new BlockList();
  for (const range of ranges) {
    const [network = "", prefix = "32"] = range.split("/");
    allowed.addSubnet(network, Number(prefix));
  }
  return {
    async open(port, answer) {
      const server = createServer((_, response) => {
        const { status, headers, body } = answer();
        response.writeHead(status, headers).end(body);
      });
      server.on("connection", (socket) => {
        if (ranges.length > 0 && !allowed.check(socket.localAddress ?? "")) socket.destroy();
      });
      server.listen(port, "0.0.0.0");
      await once(server, "listening");
      return async () => {
        server.closeAllConnections();
        server.close();
        await once(server, "close");
      };
    },
  };
}
