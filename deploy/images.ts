/**
 * The images to try a cluster with, built on this machine from Debian's busybox: no registry, no docker, no compiler.
 *
 * Purpose: `toolbox` (a box with sh, wget, nslookup, nc), `web` (a tiny web server, in two versions, so that a rollout can be
 * seen), and `pause`, which holds a pod's namespaces. Each becomes an OCI archive for `ctr images import`.
 * Promises: the same busybox gives the same digests; the web server finishes what it began when it is told to stop.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { arch, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface ImageRecipe {
  /** All its names, with tags. */
  readonly names: readonly string[];
  readonly cmd: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Scripts by their path in the image. */
  readonly files: Readonly<Record<string, string>>;
  readonly exposedPort?: number;
}

export interface BuiltImage {
  readonly names: readonly string[];
  /** The OCI archive. */
  readonly file: string;
}

export const PAUSE_IMAGE = "pilothouse.local/pause:latest";
export const TOOLBOX_IMAGE = "pilothouse.local/toolbox:latest";
export const WEB_IMAGE = "pilothouse.local/web:latest";
export const WEB_V2_IMAGE = "pilothouse.local/web:v2";

/** Ends at once when told to, and collects orphans when the pod shares its processes. */
const PAUSE_SCRIPT = `#!/bin/sh
trap 'exit 0' TERM INT
while :; do sleep 2147483647 & wait; done
`;

/**
 * A pod that is told to end still gets new connections for a moment, until every node's proxy has heard of it: so it serves
 * on for DRAIN_SECONDS, then stops listening, and leaves when the last request is answered. Each `l` given to nc is one place
 * in the queue of connections that wait for their turn.
 */
const WEB_SCRIPT = `#!/bin/sh
nc -${"l".repeat(128)} -p "$PORT" -e /web/answer &
server=$!
stop() {
  sleep "$DRAIN_SECONDS"
  kill $server
  while pidof nc answer > /dev/null; do sleep 0.05; done
  exit 0
}
trap stop TERM INT
wait
`;

/** Answers the one request on its standard input. `/echo?delay=1.5` takes that many seconds; DELAY_SECONDS is the default. */
const ANSWER_SCRIPT = `#!/bin/sh
read -r method target _ || exit 0
length=0
while read -r line; do
  line=\${line%?}
  [ -z "$line" ] && break
  case $line in [Cc]ontent-[Ll]ength:*) length=$((\${line#*:})) ;; esac
done
[ $length -gt 0 ] && body=$(head -c $length)
path=\${target%%\\?*}
query=\${target#"$path"}
delay=$(echo "$query" | sed -n 's/.*[?&]delay=\\([0-9.]*\\).*/\\1/p')
status='200 OK'
case $path in
  /hostname) text=$(hostname) ;;
  /version) text=$VERSION ;;
  /healthz) text=ok ;;
  /) text="$VERSION $(hostname)" ;;
  /echo)
    sleep "\${delay:-$DELAY_SECONDS}"
    text="hostname: $(hostname)
version: $VERSION
method: $method
query: \${query#\\?}
$body" ;;
  *) status='404 Not Found' text='not found' ;;
esac
text="$text
"
printf 'HTTP/1.1 %s\\r\\nContent-Type: text/plain\\r\\nContent-Length: %d\\r\\nConnection: close\\r\\n\\r\\n%s' \\
  "$status" "\${#text}" "$text"
`;

export const imageRecipes: readonly ImageRecipe[] = [
  { names: [PAUSE_IMAGE], cmd: ["/pause"], env: {}, files: { "/pause": PAUSE_SCRIPT } },
  { names: [TOOLBOX_IMAGE], cmd: ["/bin/sh"], env: {}, files: {} },
  webRecipe([WEB_IMAGE, "pilothouse.local/web:v1"], "v1"),
  webRecipe([WEB_V2_IMAGE], "v2"),
];

/** Where `deploy/bootstrap` unpacks Debian's busybox package. */
export const UNPACKED_BUSYBOX = join(import.meta.dirname, "../.cache/busybox/bin/busybox");

/** Builds all images into `dir`, which is made. The libraries that `busybox` is linked to come from this machine. */
export async function buildImages(dir: string, busybox = UNPACKED_BUSYBOX): Promise<readonly BuiltImage[]> {
  await mkdir(dir, { recursive: true });
  const built: BuiltImage[] = [];
  for (const recipe of imageRecipes) built.push(await buildImage(recipe, dir, busybox));
  return built;
}

function webRecipe(names: readonly string[], version: string): ImageRecipe {
  return {
    names,
    cmd: ["/web/serve"],
    env: { VERSION: version, PORT: "80", DELAY_SECONDS: "0", DRAIN_SECONDS: "2" },
    files: { "/web/serve": WEB_SCRIPT, "/web/answer": ANSWER_SCRIPT },
    exposedPort: 80,
  };
}

async function buildImage(recipe: ImageRecipe, dir: string, busybox: string): Promise<BuiltImage> {
  const work = await mkdtemp(join(tmpdir(), "image-"));
  try {
    const layer = join(work, "layer.tar");
    await layRootfs(join(work, "rootfs"), recipe, busybox);
    await tar(join(work, "rootfs"), layer);
    await layOciLayout(join(work, "oci"), recipe, await readFile(layer));
    const file = join(dir, `${fileName(recipe.names[0] ?? "image")}.tar`);
    await tar(join(work, "oci"), file);
    return { names: recipe.names, file };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function layRootfs(root: string, recipe: ImageRecipe, busybox: string): Promise<void> {
  for (const part of ["bin", "etc", "root", "tmp", "var"]) await mkdir(join(root, part), { recursive: true });
  await chmod(join(root, "tmp"), 0o1777);
  await cp(busybox, join(root, "bin/busybox"), { dereference: true });
  await chmod(join(root, "bin/busybox"), 0o755);
  for (const library of await librariesOf(busybox)) {
    await mkdir(dirname(join(root, library)), { recursive: true });
    await cp(library, join(root, library), { dereference: true });
  }
  const { stdout } = await run(busybox, ["--list"]);
  for (const applet of stdout.split("\n").filter((name) => name !== "" && name !== "busybox")) {
    await symlink("busybox", join(root, "bin", applet));
  }
  const accounts = { passwd: "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n" };
  await writeFile(join(root, "etc/passwd"), accounts.passwd, { mode: 0o644 });
  await writeFile(join(root, "etc/group"), "root:x:0:\nnogroup:x:65534:\n", { mode: 0o644 });
  for (const [path, text] of Object.entries(recipe.files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
    await chmod(join(root, path), 0o755);
  }
}

/** Absolute paths of the shared libraries that a program is linked to, its loader among them. */
async function librariesOf(program: string): Promise<readonly string[]> {
  const { stdout } = await run("ldd", [program]);
  return [...stdout.matchAll(/(\/\S+) \(0x/g)].map((match) => match[1] as string);
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

async function layOciLayout(dir: string, recipe: ImageRecipe, layer: Uint8Array): Promise<void> {
  const blobs = join(dir, "blobs/sha256");
  await mkdir(blobs, { recursive: true });
  const put = async (bytes: Uint8Array, mediaType: string): Promise<Descriptor> => {
    const hex = createHash("sha256").update(bytes).digest("hex");
    await writeFile(join(blobs, hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  };
  const layerAt = await put(layer, "application/vnd.oci.image.layer.v1.tar");
  const config = await put(json(imageConfig(recipe, layerAt.digest)), "application/vnd.oci.image.config.v1+json");
  const manifestType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = await put(
    json({ schemaVersion: 2, mediaType: manifestType, config, layers: [layerAt] }),
    manifestType,
  );
  const manifests = recipe.names.map((name) => ({ ...manifest, annotations: { "io.containerd.image.name": name } }));
  await writeFile(join(dir, "index.json"), json({ schemaVersion: 2, manifests }));
  await writeFile(join(dir, "oci-layout"), json({ imageLayoutVersion: "1.0.0" }));
}

function imageConfig(recipe: ImageRecipe, layerDigest: string): object {
  const env = { PATH: "/bin", ...recipe.env };
  return {
    created: "1970-01-01T00:00:00Z",
    architecture: arch() === "arm64" ? "arm64" : "amd64",
    os: "linux",
    config: {
      Cmd: recipe.cmd,
      Env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
      WorkingDir: "/",
      ...(recipe.exposedPort === undefined ? {} : { ExposedPorts: { [`${recipe.exposedPort}/tcp`]: {} } }),
    },
    rootfs: { type: "layers", diff_ids: [layerDigest] },
  };
}

async function tar(dir: string, file: string): Promise<void> {
  const reproducible = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"];
  await run("tar", [...reproducible, "-C", dir, "-cf", file, "."]);
}

function json(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

function fileName(imageName: string): string {
  return imageName.replaceAll(/[^a-z0-9.-]/g, "-");
}
