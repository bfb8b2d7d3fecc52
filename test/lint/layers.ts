/**
 * The arrows of the house, in one table: which layer may import which. The linter enforces it (test/lint/plugin.ts),
 * docs/ARCHITECTURE.md prints it, and test/lint/planted holds one violation of each rule.
 */
export type Layer =
  | "model"
  | "ports"
  | "runtime"
  | "adapter-packages"
  | "core"
  | "offered-cores"
  | "flows"
  | "service-adapters"
  | "service"
  | "main"
  | "test"
  | "deploy";

/** Packages of libs/ by layer. */
export const PACKAGES: Readonly<Record<"model" | "ports" | "runtime" | "adapter-packages", readonly string[]>> = {
  model: ["api", "errors", "kinds", "patch", "quantity", "selectors"],
  ports: ["bus", "clock", "crypto", "lifecycle", "packet-filter", "runtime", "store"],
  runtime: ["client", "config", "controller", "election", "informer", "pki", "telemetry", "workqueue"],
  "adapter-packages": ["bus-nats", "crypto-node", "packet-filter-nft", "process", "runtime-cri", "store-etcd"],
};

/** What services offer of their core to the operator's commands: pure, and no way around the door. Other services may not. */
export const OFFERED_CORES: readonly string[] = ["@pilothouse/scheduler/explain"];

/** Modules that are adapters although their package is not: they touch the real machine. */
export const ADAPTER_MODULES: readonly string[] = [
  "@pilothouse/clock/manual",
  "@pilothouse/clock/system",
  "@pilothouse/client/https",
  "@pilothouse/client/kubeconfig",
  "@pilothouse/client/renewable-agent",
  "@pilothouse/config/main-args",
  "@pilothouse/telemetry/otel",
  "@pilothouse/telemetry/logger",
  "@pilothouse/telemetry/metrics",
  "@pilothouse/telemetry/process",
];

/** A layer may import what is listed for it, and itself. `types` may be imported by `import type` only. */
export const ARROWS: Readonly<Record<Layer, { readonly values: readonly Layer[]; readonly types: readonly Layer[] }>> =
  {
    model: { values: [], types: [] },
    ports: { values: [], types: ["model"] },
    runtime: { values: ["ports", "model"], types: [] },
    "adapter-packages": { values: ["ports", "model", "runtime"], types: [] },
    core: { values: ["model"], types: ["ports", "runtime"] },
    "offered-cores": { values: ["core", "model"], types: [] },
    flows: { values: ["core", "model", "ports", "runtime"], types: [] },
    "service-adapters": {
      values: ["core", "model", "ports", "runtime", "adapter-packages"],
      types: ["flows", "service"],
    },
    service: { values: ["core", "flows", "model", "ports", "runtime"], types: [] },
    main: {
      values: ["service", "service-adapters", "core", "flows", "model", "ports", "runtime", "adapter-packages"],
      types: [],
    },
    deploy: { values: ["runtime", "model", "ports", "adapter-packages", "offered-cores"], types: ["test"] },
    test: {
      values: [
        "main",
        "service",
        "service-adapters",
        "core",
        "offered-cores",
        "flows",
        "model",
        "ports",
        "runtime",
        "adapter-packages",
        "deploy",
      ],
      types: [],
    },
  };

/** Packages from npm that decide nothing about the outside world, and may therefore be used in core and flows. */
export const PURE_PACKAGES: readonly string[] = ["dns-packet", "yaml"];

/** Which layer a file of the repository is of; undefined for what no rule covers. `path` is relative to the repository. */
export function layerOfFile(path: string): Layer | undefined {
  if (/\.(test|fixture)\.ts$|\/conformance\.ts$/.test(path) || path.startsWith("test/")) return "test";
  if (path.startsWith("deploy/")) return "deploy";
  const inLib = /^libs\/([^/]+)\/src\/(.*)\.ts$/.exec(path);
  if (inLib) {
    const [, name = "", module = ""] = inLib;
    return ADAPTER_MODULES.includes(`@pilothouse/${name}/${module}`) ? "adapter-packages" : layerOfPackage(name);
  }
  const inService = /^services\/[^/]+\/src\/(.*)\.ts$/.exec(path);
  if (!inService) return undefined;
  const inside = inService[1] as string;
  if (inside === "main") return "main";
  if (inside === "service") return "service";
  if (inside.startsWith("adapters/")) return "service-adapters";
  return isCoreFile(inside) ? "core" : "flows";
}

/** Core is what lies under core/ and plugins/, and the plans and rules of controllers. */
function isCoreFile(inside: string): boolean {
  return /(^|\/)(core|plugins)\//.test(inside) || /(^|\/)(plan|rules)(-[a-z-]+)?$/.test(inside);
}

/** Which layer an import of `@pilothouse/<name>` or `@pilothouse/<name>/<module>` reaches; undefined for services. */
export function layerOfImport(specifier: string): Layer | undefined {
  if (ADAPTER_MODULES.includes(specifier)) return "adapter-packages";
  if (OFFERED_CORES.includes(specifier)) return "offered-cores";
  return layerOfPackage(specifier.split("/")[1] ?? "");
}

function layerOfPackage(name: string): Layer | undefined {
  return (Object.keys(PACKAGES) as (keyof typeof PACKAGES)[]).find((layer) => PACKAGES[layer].includes(name));
}
