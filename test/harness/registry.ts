/**
 * A registry of images for tests, a program: `node registry.ts --archive IMAGE.tar --port 5000`. It serves the one image of an OCI
 * archive, with a file `/from-registry` added in a compressed layer, under every name with tag `v1`; names that begin with
 * `private/` only to user `captain` with password `anchor`. It says each request on a line of its own. Reads only, as the
 * distribution specification has it.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs, promisify } from "node:util";
import { gzipSync } from "node:zlib";

const TAG = "v1";
const LOGIN = `Basic ${Buffer.from("captain:anchor").toString("base64")}`;

const { values } = parseArgs({ options: { archive: { type: "string" }, port: { type: "string" } } });
const { archive = "", port = "" } = values;

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

const run = promisify(execFile);
const folder = await mkdtemp(join(tmpdir(), "ph-registry-"));
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.once(signal, () => void rm(folder, { recursive: true, force: true }).then(() => process.exit(0)));
}
await run("tar", ["-C", folder, "-xf", archive]);
const manifest = await withLayer(await addedLayer());
createServer((request, response) => void answer(request, response)).listen(Number(port), "127.0.0.1", () =>
  process.stdout.write("listening\n"),
);

async function addedLayer(): Promise<Buffer> {
  await mkdir(join(folder, "added"));
  await writeFile(join(folder, "added/from-registry"), "by way of a registry\n");
  await run("tar", ["-C", join(folder, "added"), "-cf", join(folder, "added.tar"), "from-registry"]);
  return readFile(join(folder, "added.tar"));
}

/** The archive's image with one more layer. */
async function withLayer(layer: Buffer): Promise<Descriptor> {
  const index = JSON.parse(await readFile(join(folder, "index.json"), "utf8")) as { manifests: Descriptor[] };
  const image = JSON.parse(String(await blobOf(index.manifests[0]?.digest ?? ""))) as {
    config: Descriptor;
    layers: Descriptor[];
  };
  const config = JSON.parse(String(await blobOf(image.config.digest))) as { rootfs: { diff_ids: string[] } };
  config.rootfs.diff_ids.push(digestOf(layer));
  image.config = await put(Buffer.from(JSON.stringify(config)), image.config.mediaType);
  image.layers.push(await put(gzipSync(layer), "application/vnd.oci.image.layer.v1.tar+gzip"));
  return put(Buffer.from(JSON.stringify(image)), "application/vnd.oci.image.manifest.v1+json");
}

async function put(bytes: Buffer, mediaType: string): Promise<Descriptor> {
  const digest = digestOf(bytes);
  await writeFile(join(folder, "blobs/sha256", digest.slice("sha256:".length)), bytes);
  return { mediaType, digest, size: bytes.length };
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { url = "/", method = "" } = request;
  const [, name = "", sort, reference = ""] = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(url) ?? [];
  const isAllowed = !name.startsWith("private/") || request.headers.authorization === LOGIN;
  const digest = sort === "manifests" && reference === TAG ? manifest.digest : reference;
  const blob = await blobOf(digest);
  const status = isAllowed ? (blob || url === "/v2/" ? 200 : 404) : 401;
  process.stdout.write(`${method} ${url} ${status}\n`);
  if (status === 401) response.setHeader("WWW-Authenticate", 'Basic realm="registry"');
  response.writeHead(status, {
    "Content-Type": sort === "manifests" ? manifest.mediaType : "application/octet-stream",
    "Content-Length": blob && isAllowed ? blob.length : 0,
    "Docker-Content-Digest": digest,
  });
  response.end(method === "HEAD" || !isAllowed ? undefined : blob);
}

async function blobOf(digest: string): Promise<Buffer | undefined> {
  const hex = /^sha256:([0-9a-f]{64})$/.exec(digest)?.[1];
  return hex === undefined ? undefined : readFile(join(folder, "blobs/sha256", hex)).catch(() => undefined);
}
