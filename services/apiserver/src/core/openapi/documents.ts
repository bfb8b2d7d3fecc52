/** Operations and schemas as OpenAPI documents: v3 for one group version, v2 for all. Plain JSON, not yet encoded. */
import { parameterDoc } from "@pilothouse/api/docs";
import type { Method, Operation } from "./operations.ts";
import { PATCH_NAME, reference, schemasOf, type Dialect, type JsonObject } from "./schemas.ts";

/** `version` is the server's, e.g. `v1.36.0`. */
export function v3Document(operations: readonly Operation[], version: string): JsonObject {
  return {
    openapi: "3.0.0",
    info: { title: "Kubernetes", version },
    paths: pathItems(operations, "v3"),
    components: {
      schemas: schemasOf(structuresOf(operations), "v3"),
      securitySchemes: { BearerToken: BEARER_TOKEN },
    },
  };
}

export function v2Document(operations: readonly Operation[], version: string): JsonObject {
  return {
    swagger: "2.0",
    info: { title: "Kubernetes", version },
    paths: pathItems(operations, "v2"),
    definitions: schemasOf(structuresOf(operations), "v2"),
    securityDefinitions: { BearerToken: BEARER_TOKEN },
    security: [{ BearerToken: [] }],
  };
}

const BEARER_TOKEN = {
  description: "Bearer Token authentication",
  type: "apiKey",
  name: "authorization",
  in: "header",
};

function structuresOf(operations: readonly Operation[]): Set<string> {
  const names = operations.flatMap(({ body, answer }) => [body === "patch" ? PATCH_NAME : body, answer]);
  return new Set(names.filter((name) => name !== undefined));
}

function pathItems(operations: readonly Operation[], dialect: Dialect): Record<string, JsonObject> {
  const items: Record<string, JsonObject> = {};
  for (const operation of operations) {
    const item = (items[operation.path] ??= {
      parameters: [
        ...operation.pathParameters.map((name) => pathParameter(name, operation, dialect)),
        ...(operation.action === "connect" ? [] : [queryParameter("pretty", operation, dialect)]),
      ],
    });
    item[operation.method] = dialect === "v2" ? v2Operation(operation) : v3Operation(operation);
  }
  return items;
}

function v3Operation(operation: Operation): JsonObject {
  const { body, method } = operation;
  return {
    ...commonParts(operation),
    ...parametersPart(operation.queryParameters.map((name) => queryParameter(name, operation, "v3"))),
    ...(body ? { requestBody: v3Body(body, method) } : {}),
    responses: {
      ...Object.fromEntries(operation.codes.map((code) => [code, v3Answer(operation, code)])),
      "401": { description: "Unauthorized" },
    },
  };
}

function v3Body(body: string, method: Method): JsonObject {
  const schema = reference(body === "patch" ? PATCH_NAME : body, "v3");
  const types = body === "patch" ? PATCH_TYPES : ["*/*"];
  const content = Object.fromEntries(types.map((type) => [type, { schema }]));
  return method === "delete" ? { content } : { content, required: true };
}

function v3Answer(operation: Operation, code: number): JsonObject {
  const schema = operation.answer ? reference(operation.answer, "v3") : { type: "string" };
  const content = Object.fromEntries(PRODUCES[operation.produces].map((type) => [type, { schema }]));
  return { description: CODE_WORDS[code], content };
}

function v2Operation(operation: Operation): JsonObject {
  const { body, method } = operation;
  const query = operation.queryParameters.map((name) => queryParameter(name, operation, "v2"));
  const schema = operation.answer ? reference(operation.answer, "v2") : { type: "string" };
  return {
    ...commonParts(operation),
    consumes: body === "patch" ? PATCH_TYPES : ["*/*"],
    produces: PRODUCES[operation.produces],
    schemes: ["https"],
    ...parametersPart(body ? [v2Body(body, method), ...query] : query),
    responses: {
      ...Object.fromEntries(operation.codes.map((code) => [code, { description: CODE_WORDS[code], schema }])),
      "401": { description: "Unauthorized" },
    },
  };
}

function v2Body(body: string, method: Method): JsonObject {
  const schema = reference(body === "patch" ? PATCH_NAME : body, "v2");
  return { name: "body", in: "body", ...(method === "delete" ? {} : { required: true }), schema };
}

function commonParts(operation: Operation): JsonObject {
  const { group, kind, version } = operation.kind;
  return {
    tags: [operation.tag],
    description: operation.description,
    operationId: operation.id,
    "x-kubernetes-action": operation.action,
    "x-kubernetes-group-version-kind": { group, kind, version },
  };
}

function parametersPart(parameters: readonly JsonObject[]): JsonObject {
  return parameters.length > 0 ? { parameters } : {};
}

function pathParameter(name: string, operation: Operation, dialect: Dialect): JsonObject {
  const description = name === "name" ? `name of the ${operation.kind.kind}` : parameterDoc(name);
  return { name, in: "path", description, required: true, ...typePart("string", dialect) };
}

function queryParameter(name: string, operation: Operation, dialect: Dialect): JsonObject {
  const description = parameterDoc(name, operation.action === "patch" ? "patch" : operation.subresource);
  return { name, in: "query", description, ...typePart(PARAMETER_TYPES[name] ?? "string", dialect) };
}

function typePart(type: string, dialect: Dialect): JsonObject {
  const part = { type, uniqueItems: true };
  return dialect === "v2" ? part : { schema: part };
}

const PARAMETER_TYPES: Readonly<Record<string, string>> = {
  allowWatchBookmarks: "boolean",
  follow: "boolean",
  force: "boolean",
  insecureSkipTLSVerifyBackend: "boolean",
  orphanDependents: "boolean",
  previous: "boolean",
  sendInitialEvents: "boolean",
  stderr: "boolean",
  stdin: "boolean",
  stdout: "boolean",
  timestamps: "boolean",
  tty: "boolean",
  watch: "boolean",
  gracePeriodSeconds: "integer",
  limit: "integer",
  limitBytes: "integer",
  ports: "integer",
  sinceSeconds: "integer",
  tailLines: "integer",
  timeoutSeconds: "integer",
};

const CODE_WORDS: Readonly<Record<number, string>> = { 200: "OK", 201: "Created", 202: "Accepted" };
const OBJECT_TYPES = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const PRODUCES: Readonly<Record<Operation["produces"], readonly string[]>> = {
  object: OBJECT_TYPES,
  stream: [...OBJECT_TYPES, "application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"],
  text: ["text/plain", ...OBJECT_TYPES],
  anything: ["*/*"],
};
const PATCH_TYPES = [
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/strategic-merge-patch+json",
  "application/apply-patch+yaml",
];
