import type { Clock } from "@pilothouse/clock";
import { StoreUnavailable } from "@pilothouse/store";
import type { ILeaseKeepAliveRequest, ILeaseKeepAliveResponse } from "etcd3";
import type { Connection } from "./connection.ts";
import { storeError } from "./errors.ts";
import { safeNumber } from "./messages.ts";
import type { ServiceError } from "@grpc/grpc-js";

/** One question and one answer on a stream: the seconds left, or 0. A stream that lives on could hang unseen. */
export function keepAliveOnce(
  connection: Connection,
  clock: Clock,
  leaseId: string,
  deadlineMs: number,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const stream = connection.stream<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>("Lease", "leaseKeepAlive");
    const fail = (error: Error): void => {
      timer.cancel();
      reject(error);
      stream.cancel();
    };
    const timer = clock.setTimer(deadlineMs, () =>
      fail(new StoreUnavailable(`etcd: leaseKeepAlive: no answer within ${deadlineMs} ms`, "unknown")),
    );
    stream.on("data", (answer: ILeaseKeepAliveResponse) => {
      timer.cancel();
      resolve(safeNumber(answer.TTL));
      stream.end();
    });
    stream.on("error", (error: ServiceError) => fail(storeError(error)));
    stream.on("end", () => fail(new StoreUnavailable("etcd: leaseKeepAlive: ended without an answer", "unknown")));
    stream.write({ ID: leaseId });
  });
}
