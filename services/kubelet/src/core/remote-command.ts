/** The WebSocket protocols of exec: `v5.channel.k8s.io` and `v4.channel.k8s.io`. Pure. */
export const REMOTE_COMMAND_PROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io"] as const;

export const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

export type ClientFrame =
  | { readonly kind: "stdin"; readonly bytes: Uint8Array }
  | { readonly kind: "resize"; readonly width: number; readonly height: number }
  /** v5 only: the client has no more input. */
  | { readonly kind: "closeStdin" };

/** Undefined for frames that mean nothing: those are passed over, as upstream does. */
export function decodeFrame(frame: Uint8Array): ClientFrame | undefined {
  const body = frame.subarray(1);
  switch (frame[0]) {
    case CHANNEL.stdin:
      return { kind: "stdin", bytes: body };
    case CHANNEL.resize:
      return decodeResize(body);
    case CHANNEL.close:
      return body[0] === CHANNEL.stdin ? { kind: "closeStdin" } : undefined;
    default:
      return undefined;
  }
}

export function encodeFrame(channel: number, bytes: Uint8Array): Uint8Array {
  const frame = new Uint8Array(bytes.length + 1);
  frame[0] = channel;
  frame.set(bytes, 1);
  return frame;
}

/** The Status that ends a session, on the error channel. */
export function exitStatus(exitCode: number): object {
  if (exitCode === 0) return { metadata: {}, status: "Success" };
  return {
    metadata: {},
    status: "Failure",
    message: `command terminated with non-zero exit code: exit code ${exitCode}`,
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: String(exitCode) }] },
  };
}

export function failureStatus(message: string): object {
  return { metadata: {}, status: "Failure", message, reason: "InternalError", code: 500 };
}

function decodeResize(body: Uint8Array): ClientFrame | undefined {
  try {
    const size = JSON.parse(new TextDecoder().decode(body)) as { Width?: unknown; Height?: unknown };
    if (typeof size.Width !== "number" || typeof size.Height !== "number") return undefined;
    return { kind: "resize", width: size.Width, height: size.Height };
  } catch {
    return undefined;
  }
}
