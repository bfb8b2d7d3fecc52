import { readFileSync } from "node:fs";
import { MAX_DEPTH } from "@pilothouse/api";
import { MAX_STRICT_PROBLEMS } from "@pilothouse/api/codec/limits";
import { MAX_YAML_BYTES } from "@pilothouse/api/codec/yaml";
import { MAX_FIELD_ERRORS } from "@pilothouse/errors";
import { storeLimits } from "@pilothouse/store/limits";
import { expect, test } from "vitest";
import { DOOR_LIMITS } from "../../services/apiserver/src/adapters/door-limits.ts";
import { MAX_STORED_BYTES } from "../../services/apiserver/src/core/stored/stored.ts";

test("docs/hostile-input.md states the limits as they are, and all of the door's", () => {
  const text = readFileSync(new URL("../../docs/hostile-input.md", import.meta.url), "utf8");
  const stated = Object.fromEntries(
    [...text.matchAll(/^\| [^|]+ \| `(\w+)` \| (\d+) \|/gm)].map(([, name, value]) => [name, Number(value)]),
  );
  expect(stated).toEqual({
    ...DOOR_LIMITS,
    MAX_DEPTH,
    MAX_YAML_BYTES,
    MAX_STRICT_PROBLEMS,
    MAX_FIELD_ERRORS,
    MAX_STORED_BYTES,
    keyBytes: storeLimits.keyBytes,
  });
});
