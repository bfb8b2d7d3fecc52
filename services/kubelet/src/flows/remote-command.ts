/** Pumps between a client's channels and a command in a container. */
import type { ExecSession } from "@pilothouse/runtime";
import { CHANNEL, decodeFrame, encodeFrame, exitStatus, failureStatus } from "../core/remote-command.ts";

/** One WebSocket, as the pump sees it. */
export interface Channels {
  /** Resolves when the frame was taken; rejects when the client is gone. */
  send(frame: Uint8Array): Promise<void>;
  /** Frames of the client until it goes away. */
  readonly frames: AsyncIterable<Uint8Array>;
  /** Ends the connection in order, with code 1000. */
  end(): void;
}

/** Runs until the command ends or the client goes; then neither is left. */
export async function pumpCommand(channels: Channels, open: () => Promise<ExecSession>): Promise<void> {
  const tell = (status: object): Promise<void> =>
    channels.send(encodeFrame(CHANNEL.error, new TextEncoder().encode(JSON.stringify(status))));
  let session: ExecSession;
  try {
    session = await open();
  } catch (error) {
    await tell(failureStatus(error instanceof Error ? error.message : String(error)));
    channels.end();
    return;
  }
  try {
    // An empty frame tells the client that the streams stand.
    await channels.send(encodeFrame(CHANNEL.stdout, new Uint8Array()));
    const gone = pumpInput(channels, session);
    const done = pumpOutput(channels, session).then(tell);
    await Promise.race([done, gone.then(() => session.close())]);
  } finally {
    await session.close();
    channels.end();
  }
}

async function pumpOutput(channels: Channels, session: ExecSession): Promise<object> {
  const copy = async (channel: number, stream: AsyncIterable<Uint8Array>): Promise<void> => {
    for await (const chunk of stream) await channels.send(encodeFrame(channel, chunk));
  };
  const copies = Promise.allSettled([copy(CHANNEL.stdout, session.stdout), copy(CHANNEL.stderr, session.stderr)]);
  const exitCode = await session.exit;
  await copies;
  return exitStatus(exitCode);
}

/** Resolves when the client is gone. */
async function pumpInput(channels: Channels, session: ExecSession): Promise<void> {
  for await (const bytes of channels.frames) {
    const frame = decodeFrame(bytes);
    switch (frame?.kind) {
      case "stdin":
        await session.write(frame.bytes);
        break;
      case "resize":
        // A command that has just ended has no terminal any more.
        await session.resize(frame).catch(() => {});
        break;
      case "closeStdin":
        await session.closeStdin().catch(() => {});
        break;
      case undefined:
        break;
    }
  }
}
