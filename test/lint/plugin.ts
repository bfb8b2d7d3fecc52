/**
 * Pilothouse's own lint rules (an oxlint JavaScript plugin): the arrows of the house, no ambient time or chance, a synchronous
 * core, no mutable module state. Each has a planted violation under test/lint/planted that must be found.
 */
import { ARROWS, PURE_PACKAGES, layerOfFile, layerOfImport, type Layer } from "./layers.ts";

interface Node {
  readonly type: string;
  readonly [key: string]: unknown;
}

interface Context {
  readonly filename: string;
  report(problem: { node: Node; message: string }): void;
}

type Visitor = Readonly<Record<string, (node: Node) => void>>;

/** A planted file says in its path which file it stands for: test/lint/planted/<path of the pretended file>. */
function pathOf(context: Context): string {
  const path = context.filename.replaceAll("\\", "/");
  const planted = path.lastIndexOf("/test/lint/planted/");
  if (planted >= 0) return path.slice(planted + "/test/lint/planted/".length);
  return /\/((?:libs|services|deploy|test)\/.*)$/.exec(path)?.[1] ?? path;
}

const arrows = {
  create(context: Context): Visitor {
    const path = pathOf(context);
    const layer = layerOfFile(path);
    if (!layer || layer === "test") return {};
    const check = (node: Node): void => {
      const specifier = (node["source"] as Node | null)?.["value"];
      if (typeof specifier !== "string") return;
      const isType = node["importKind"] === "type" || node["exportKind"] === "type";
      const why = forbidden(path, layer, specifier, isType);
      if (why) context.report({ node, message: why });
    };
    return {
      ImportDeclaration: check,
      ExportNamedDeclaration: check,
      ExportAllDeclaration: check,
      ImportExpression: check,
    };
  },
};

/** Why an import is not allowed; undefined when it is. */
function forbidden(path: string, layer: Layer, specifier: string, isType: boolean): string | undefined {
  if (specifier.startsWith("@pilothouse/")) return forbiddenPackage(layer, specifier, isType);
  if (specifier.startsWith(".")) return forbiddenRelative(path, layer, specifier, isType);
  if ((layer !== "core" && layer !== "flows" && layer !== "service") || isType) return undefined;
  if (PURE_PACKAGES.includes(specifier)) return undefined;
  return `${layer} does no I/O: "${specifier}" belongs in an adapter (pure packages are listed in test/lint/layers.ts)`;
}

function forbiddenPackage(layer: Layer, specifier: string, isType: boolean): string | undefined {
  const target = layerOfImport(specifier);
  if (!target) return `"${specifier}": services never import each other, they meet in API objects and bus subjects`;
  return allowed(layer, target, isType) ? undefined : `${layer} may not import ${target} ("${specifier}")`;
}

function forbiddenRelative(path: string, layer: Layer, specifier: string, isType: boolean): string | undefined {
  const target = resolve(path, specifier);
  if (workspaceOf(path) !== workspaceOf(target)) return `"${specifier}": import other packages by their name`;
  const targetLayer = layerOfFile(target);
  if (!targetLayer || allowed(layer, targetLayer, isType)) return undefined;
  // Inside one package of libs/ an adapter module may lean on its own port, and the port's index may not lean back.
  return `${layer} may not import ${targetLayer} ("${specifier}")`;
}

function allowed(from: Layer, to: Layer, isType: boolean): boolean {
  if (from === to) return true;
  return ARROWS[from].values.includes(to) || (isType && ARROWS[from].types.includes(to));
}

function workspaceOf(path: string): string {
  return /^(libs|services)\/[^/]+/.exec(path)?.[0] ?? path.split("/")[0] ?? "";
}

function resolve(path: string, specifier: string): string {
  const parts = path.split("/").slice(0, -1);
  for (const part of specifier.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== ".") parts.push(part);
  }
  return parts.join("/");
}

const AMBIENT_GLOBALS = ["setTimeout", "setInterval", "setImmediate"];
const AMBIENT_MEMBERS: Readonly<Record<string, readonly string[]>> = {
  Date: ["now"],
  Math: ["random"],
  performance: ["now"],
  crypto: ["randomUUID", "getRandomValues"],
  AbortSignal: ["timeout"],
};

const noAmbient = {
  create(context: Context): Visitor {
    const layer = layerOfFile(pathOf(context));
    if (!layer || layer === "test" || layer === "deploy" || layer === "adapter-packages") return {};
    const report = (node: Node, what: string): void =>
      context.report({ node, message: `${what}: time, chance and ids come in through the ports of libs/clock` });
    return {
      CallExpression(node) {
        const callee = node["callee"] as Node;
        if (callee.type === "Identifier" && AMBIENT_GLOBALS.includes(callee["name"] as string))
          report(node, callee["name"] as string);
        if (callee.type === "Identifier" && callee["name"] === "randomUUID") report(node, "randomUUID");
        if (callee.type !== "MemberExpression") return;
        const object = (callee["object"] as Node)["name"] as string;
        const property = (callee["property"] as Node)["name"] as string;
        if (AMBIENT_MEMBERS[object]?.includes(property)) report(node, `${object}.${property}`);
      },
      NewExpression(node) {
        const isDate = (node["callee"] as Node)["name"] === "Date";
        if (isDate && (node["arguments"] as unknown[]).length === 0) report(node, "new Date()");
      },
    };
  },
};

const processInMainOnly = {
  create(context: Context): Visitor {
    const layer = layerOfFile(pathOf(context));
    if (layer !== "core" && layer !== "flows" && layer !== "service" && layer !== "model" && layer !== "ports")
      return {};
    return {
      MemberExpression(node) {
        const object = node["object"] as Node;
        if (object.type !== "Identifier" || object["name"] !== "process") return;
        context.report({ node, message: "main.ts is the only user of process" });
      },
    };
  },
};

const synchronousCore = {
  create(context: Context): Visitor {
    const layer = layerOfFile(pathOf(context));
    if (layer !== "core" && layer !== "model") return {};
    const report = (node: Node): void =>
      context.report({ node, message: `${layer} decides and is synchronous: no async, no await` });
    const checkFunction = (node: Node): void => {
      if (node["async"] === true) report(node);
    };
    return {
      FunctionDeclaration: checkFunction,
      FunctionExpression: checkFunction,
      ArrowFunctionExpression: checkFunction,
      AwaitExpression: report,
    };
  },
};

const noMutableModuleState = {
  create(context: Context): Visitor {
    const layer = layerOfFile(pathOf(context));
    if (!layer || layer === "test" || layer === "deploy" || layer === "main") return {};
    return {
      Program(program) {
        for (const statement of program["body"] as Node[]) {
          const declaration =
            statement.type === "ExportNamedDeclaration" ? (statement["declaration"] as Node | null) : statement;
          if (declaration?.type === "VariableDeclaration" && declaration["kind"] !== "const") {
            context.report({ node: declaration, message: "no mutable module state: let an object own it" });
          }
        }
      },
    };
  },
};

export default {
  meta: { name: "pilothouse" },
  rules: {
    arrows,
    "no-ambient": noAmbient,
    "process-in-main-only": processInMainOnly,
    "synchronous-core": synchronousCore,
    "no-mutable-module-state": noMutableModuleState,
  },
};
