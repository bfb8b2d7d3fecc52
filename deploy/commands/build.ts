/** `npm run build`: one bundle per service in dist/<service>/main.mjs, the supervisor's, and that of `certificates`. */
import { cpSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { createRequire } from "node:module";
import { build } from "esbuild";
import { ExplainedError } from "../cluster/errors.ts";
import { SERVICES, type ServiceName } from "../cluster/processes.ts";
import { runCommand, step } from "../cluster/steps.ts";

const clone = dirname(dirname(import.meta.dirname));
const DIST = join(clone, "dist");

/** CommonJS packages inside an ES module bundle want these names. */
const BANNER = `import { createRequire as __createRequire } from "node:module";
const require = __createRequire(import.meta.url);
const __filename = import.meta.filename;
const __dirname = import.meta.dirname;`;

/** Bundles every program; throws PH-120 with the bundler's first message. */
export async function buildAll(): Promise<void> {
  const entries = [
    ...SERVICES.map((name) => ({ name, file: `services/${name}/src/main.ts` })),
    { name: "supervisor", file: "deploy/cluster/supervisor.ts" },
    { name: "certificates", file: "deploy/machine/certificates.ts" },
  ];
  await Promise.all(entries.map(({ name, file }) => buildOne(name, join(clone, file), DIST)));
  copyEtcd3Proto(DIST);
}

/** Bundles one service into `<dist>/<name>/main.mjs`, with what it reads beside it. */
export async function buildService(name: ServiceName, dist: string): Promise<void> {
  await buildOne(name, join(clone, `services/${name}/src/main.ts`), dist);
  copyEtcd3Proto(dist);
}

async function buildOne(name: string, entry: string, dist: string): Promise<void> {
  if (!existsSync(entry)) throw new ExplainedError("PH-120", `${name}: ${entry} is missing.`);
  const outdir = join(dist, name);
  rmSync(outdir, { recursive: true, force: true });
  mkdirSync(outdir, { recursive: true });
  try {
    await build({
      entryPoints: { main: entry },
      outdir,
      outExtension: { ".js": ".mjs" },
      bundle: true,
      platform: "node",
      target: "node24",
      format: "esm",
      splitting: true,
      chunkNames: "[name]-[hash]",
      minifySyntax: true,
      keepNames: false,
      sourcemap: "linked",
      sourcesContent: false,
      legalComments: "none",
      logLevel: "silent",
      loader: { ".json": "json" },
      banner: { js: BANNER },
      external: ["pino-pretty"],
    });
  } catch (error) {
    const [first] = (error as { errors?: { text: string; location?: { file: string; line: number } }[] }).errors ?? [];
    const where = first?.location ? ` (${first.location.file}:${first.location.line})` : "";
    throw new ExplainedError("PH-120", `${name} could not be bundled: ${first?.text ?? String(error)}${where}`);
  }
}

/** etcd3 reads ../proto/*.proto beside its own file. */
function copyEtcd3Proto(dist: string): void {
  const home = dirname(createRequire(import.meta.url).resolve("etcd3/package.json"));
  cpSync(join(home, "proto"), join(dist, "proto"), { recursive: true });
}

if (import.meta.main) await runCommand(() => step("Build one bundle per service", "PH-120", buildAll));
