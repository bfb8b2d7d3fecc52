/**
 * The files of an image, to be mounted: a view of its layers in containerd's snapshotter. CRI 1.36 has the runtime mount images as
 * volumes itself, which containerd does from 2.1 on; this works with older ones too.
 */
import { RuntimeError, type FsMount } from "@pilothouse/runtime";
import type { Connection } from "./connection.ts";

const CALL_MS = 60_000;
/** The one that the CRI plugin is set up with, and its default. */
const snapshotter = "overlayfs";
/** The view and the layers below it are not collected as garbage, whatever becomes of the image. */
const KEPT = { "containerd.io/gc.root": "true" };

interface Mounts {
  readonly mounts: readonly FsMount[];
}

export async function viewImage(connection: Connection, image: string, key: string): Promise<readonly FsMount[]> {
  const request = { image: { image }, verbose: true };
  const status = await connection.call<{ image: unknown; info: Readonly<Record<string, string>> }>(
    "image",
    "ImageStatus",
    request,
    CALL_MS,
  );
  if (!status.image) throw new RuntimeError("NotFound", `image "${image}" is not on this machine`);
  const { chainID: parent = "" } = JSON.parse(status.info["info"] ?? "{}") as { chainID?: string };
  if (parent === "") throw new RuntimeError("Other", `the runtime does not say which layers image "${image}" has`);
  try {
    const view = { snapshotter, key, parent, labels: KEPT };
    return (await connection.call<Mounts>("snapshots", "View", view, CALL_MS)).mounts;
  } catch (error) {
    if (!(error instanceof RuntimeError && error.code === "AlreadyExists")) throw error;
    return (await connection.call<Mounts>("snapshots", "Mounts", { snapshotter, key }, CALL_MS)).mounts;
  }
}

export async function endView(connection: Connection, key: string): Promise<void> {
  await connection.call("snapshots", "Remove", { snapshotter, key }, CALL_MS);
}
