/** The wire as clients really use it: each row of the wire traps by the real client, or by what that client sends. */
import { afterAll, beforeAll, describe } from "vitest";
import { expectNoLeaks } from "../harness/index.ts";
import { documentTraps } from "./document-traps.ts";
import { libraryTraps } from "./library-traps.ts";
import { podTraps } from "./pod-traps.ts";
import { readTraps } from "./read-traps.ts";
import { startWireRig, type WireRig } from "./rig.ts";
import { writeTraps } from "./write-traps.ts";

let rig: WireRig;
const wire = (): WireRig => rig;

beforeAll(async () => {
  rig = await startWireRig();
}, 180_000);

afterAll(async () => {
  await rig.stop();
  await expectNoLeaks();
});

describe("documents", () => documentTraps(wire));
describe("reads", () => readTraps(wire));
describe("writes", () => writeTraps(wire));
describe("pods", () => podTraps(wire));
describe("libraries", () => libraryTraps(wire));
