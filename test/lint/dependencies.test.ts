import { globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";

/** npm hoists: what nobody declares can be imported here and not elsewhere, and what nobody imports may stay declared for ever. */

const repository = dirname(dirname(import.meta.dirname));
/** What tests of every workspace use. */
const shared = Object.keys(manifestOf(".").devDependencies ?? {});
const workspaces = globSync("{libs,services}/*/package.json", { cwd: repository }).map(dirname);

test.each(workspaces)("%s declares exactly the packages that it imports", (workspace) => {
  const { name, dependencies = {}, devDependencies = {} } = manifestOf(workspace);
  const files = globSync("src/**/*.ts", { cwd: join(repository, workspace) });
  const packagesOf = (some: readonly string[]): readonly string[] =>
    [...new Set(some.flatMap((file) => packagesIn(join(repository, workspace, file))))].filter(
      (it) => it !== name && !shared.includes(it),
    );
  const product = packagesOf(files.filter((file) => !IS_TEST.test(file)));
  const tests = packagesOf(files.filter((file) => IS_TEST.test(file))).filter((it) => !product.includes(it));
  expect(Object.keys(dependencies).sort()).toEqual(product.toSorted());
  expect(Object.keys(devDependencies).sort()).toEqual(tests.toSorted());
});

test("there is one grpc-js, the pinned one: etcd3 and the runtime's client would bring others", () => {
  const { packages } = JSON.parse(readFileSync(join(repository, "package-lock.json"), "utf8")) as Lock;
  const found = Object.entries(packages).filter(([path]) => path.endsWith("node_modules/@grpc/grpc-js"));
  expect(found.map(([, { version }]) => version)).toEqual([manifestOf(".").overrides?.["@grpc/grpc-js"]]);
});

const IS_TEST = /\.(test|fixture)\.ts$|conformance\.ts$/;

interface Manifest {
  readonly name: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly overrides?: Readonly<Record<string, string>>;
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly version?: string }>>;
}

function manifestOf(workspace: string): Manifest {
  return JSON.parse(readFileSync(join(repository, workspace, "package.json"), "utf8")) as Manifest;
}

function packagesIn(file: string): readonly string[] {
  const specifiers = readFileSync(file, "utf8").matchAll(/(?:\bfrom |^import |\bimport\()"([@\w][^"\s:]*)"/gm);
  return [...specifiers].map(([, specifier = ""]) => /^(?:@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier);
}
