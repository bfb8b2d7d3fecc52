/** Answers on their way out: whole ones, and streams that wait for their reader, but not for ever. */
import type { ServerResponse } from "node:http";
import type { ApiResponse } from "@pilothouse/api/http";
import type { Clock } from "@pilothouse/clock";

export interface SendOptions {
  readonly clock: Clock;
  /** How long a reader may take nothing. */
  readonly stalledReaderMs: number;
  /** Aborts when the client has gone. */
  readonly gone: AbortSignal;
}

export async function send(
  response: ServerResponse,
  { status, headers, body, isPatient }: ApiResponse,
  { clock, stalledReaderMs, gone }: SendOptions,
): Promise<void> {
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) {
    response.setHeader(name, typeof value === "string" ? value : [...value]);
  }
  const patienceMs = isPatient ? undefined : stalledReaderMs;
  if (body instanceof Uint8Array) {
    // The answer to a HEAD has the length of what is not sent.
    if (!response.hasHeader("content-length")) response.setHeader("content-length", body.length);
    response.end(body);
    if (response.writableLength > 0) await taken(response, "finish", clock, patienceMs);
    return;
  }
  response.flushHeaders();
  for await (const chunk of body) {
    if (gone.aborted) return;
    if (!response.write(chunk)) await taken(response, "drain", clock, patienceMs);
  }
  response.end();
}

/** Resolves when the reader has taken what was written, or is gone. One that takes nothing at all meanwhile is cut. */
function taken(
  response: ServerResponse,
  event: "drain" | "finish",
  clock: Clock,
  patienceMs: number | undefined,
): Promise<void> {
  return new Promise((resolve) => {
    if (response.destroyed || response.writableFinished) {
      resolve();
      return;
    }
    const { socket } = response;
    let sentBytes = socket?.bytesWritten ?? 0;
    const look = (): void => {
      const bytes = (socket?.bytesWritten ?? 0) - (socket?.writableLength ?? 0);
      if (bytes === sentBytes) {
        response.destroy();
        return;
      }
      sentBytes = bytes;
      timer = clock.setTimer(patienceMs ?? 0, look);
    };
    let timer = patienceMs === undefined ? undefined : clock.setTimer(patienceMs, look);
    const done = (): void => {
      timer?.cancel();
      response.off(event, done);
      response.off("close", done);
      resolve();
    };
    response.on(event, done);
    response.on("close", done);
  });
}
