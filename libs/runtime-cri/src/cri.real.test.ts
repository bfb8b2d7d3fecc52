import { systemClock, systemIds } from "@pilothouse/clock/system";
import { ExecTimeout, type ExecSession, type Runtime } from "@pilothouse/runtime";
import { runtimeConformance } from "@pilothouse/runtime/conformance";
import { plainContainer, plainSandbox } from "@pilothouse/runtime/plain-pod.fixture";
import { afterAll, beforeAll, expect, test } from "vitest";
import { expectNoLeaks, until } from "../../../test/harness/index.ts";
import { startContainerd, type Containerd } from "../../../test/harness/containerd.ts";
import { criRuntime } from "./index.ts";

const TOOLBOX = "pilothouse.local/toolbox:latest";

let containerd: Containerd;
let runtime: Runtime;
let containerId: string;

beforeAll(async () => {
  containerd = await startContainerd();
  runtime = connectTo(containerd);
  containerId = await startSleeper();
});
afterAll(async () => {
  await runtime.close();
  await containerd.stop();
  await expectNoLeaks();
});

runtimeConformance("containerd", async () => {
  await Promise.resolve();
  const own = connectTo(containerd);
  return {
    runtime: own,
    image: TOOLBOX,
    logDirectory: `${containerd.directory}/logs`,
    cgroupParent: containerd.cgroupParent,
    until,
    stop: () => own.close(),
  };
});

test("a command's output and exit code come back", async () => {
  const result = await runtime.execSync(containerId, ["sh", "-c", "echo out; echo err >&2; exit 3"], 5_000);
  expect([text(result.stdout), text(result.stderr), result.exitCode]).toEqual(["out\n", "err\n", 3]);
});

test("a command that takes too long is ended", async () => {
  const late = new ExecTimeout(["sleep", "30"], 1_000);
  await expect(runtime.execSync(containerId, ["sleep", "30"], 1_000)).rejects.toThrow(late);
  expect(late.message).toBe('command timed out: "sleep 30" timed out after 1s');
});

test("input is piped through a command, which ends when its input does", async () => {
  const session = await exec(["sh", "-c", "wc -c; echo done >&2; exit 7"], { stdin: true });
  const collected = collect(session);
  const chunk = new Uint8Array(100_000).fill(65);
  for (let i = 0; i < 10; i++) await session.write(chunk);
  await session.closeStdin();
  expect(await collected).toEqual({ stdout: "1000000\n", stderr: "done\n", exitCode: 7 });
});

test("a terminal has a size, and takes a new one", async () => {
  const session = await exec(["sh", "-c", "read _; stty size; exit 0"], { stdin: true, tty: true });
  const collected = collect(session);
  await session.resize({ width: 132, height: 50 });
  await session.write(new TextEncoder().encode("\n"));
  expect((await collected).stdout).toContain("50 132");
});

test("a session that is closed takes its command with it", async () => {
  const session = await exec(["sleep", "4242"], {});
  await session.close();
  const { stdout } = await runtime.execSync(containerId, ["ps"], 5_000);
  expect(text(stdout)).not.toContain("4242");
});

test("whoever hears of an end finds it in the status, also of what ends as soon as it starts", async () => {
  const own = connectTo(containerd);
  const imageRef = (await own.imageStatus(TOOLBOX))?.id ?? "";
  const sandboxConfig = plainSandbox("brief", `${containerd.directory}/logs`, containerd.cgroupParent);
  const sandboxId = await own.runPodSandbox(sandboxConfig);
  const seen: (string | undefined)[] = [];
  const stop = own.subscribe((event) => {
    if (event.kind !== "exited" || event.containerId === sandboxId) return;
    void own.containerStatus(event.containerId).then((status) => seen.push(status?.state));
  });
  const brief = async (attempt: number): Promise<void> => {
    const config = { ...plainContainer(`brief-${attempt}`, imageRef, "brief"), command: ["true"] };
    await own.startContainer(await own.createContainer(sandboxId, config, sandboxConfig));
  };
  for (let round = 0; round < 10; round++) await Promise.all([0, 1, 2].map((which) => brief(3 * round + which)));
  await until("all ends are told", () => seen.length === 30, 30_000);
  expect(seen).toEqual(Array.from({ length: 30 }, () => "exited"));
  stop();
  await own.stopPodSandbox(sandboxId);
  await own.removePodSandbox(sandboxId);
  await own.close();
});

test("after containerd was killed and came back the container runs on and its end is told", async () => {
  const ended: string[] = [];
  let resyncs = 0;
  runtime.subscribe((event) => {
    if (event.kind === "resync") resyncs++;
    if (event.kind === "exited") ended.push(event.containerId);
  });
  await until("the events stream", () => resyncs > 0);
  await containerd.kill();
  await expect(runtime.status()).rejects.toMatchObject({ code: "Unavailable" });
  const before = resyncs;
  await containerd.start();
  await until("the event stream is back", () => resyncs > before, 30_000);
  expect((await runtime.containerStatus(containerId))?.state).toBe("running");
  await runtime.stopContainer(containerId, 0);
  await until("the end is told", () => ended.includes(containerId));
});

function connectTo(containerd: Containerd): Runtime {
  const { socketPath, directory } = containerd;
  return criRuntime({ clock: systemClock, ids: systemIds, socketPath, pipesDir: `${directory}/pipes` });
}

async function startSleeper(): Promise<string> {
  const sandbox = plainSandbox("box", `${containerd.directory}/logs`, containerd.cgroupParent);
  const sandboxId = await runtime.runPodSandbox(sandbox);
  const imageRef = (await runtime.imageStatus(TOOLBOX))?.id ?? "";
  const id = await runtime.createContainer(sandboxId, plainContainer("c", imageRef, "box"), sandbox);
  await runtime.startContainer(id);
  return id;
}

function exec(command: string[], how: { stdin?: boolean; tty?: boolean }): Promise<ExecSession> {
  const tty = how.tty ?? false;
  return runtime.exec(containerId, { command, tty, stdin: how.stdin ?? false, stdout: true, stderr: !tty });
}

async function collect(session: ExecSession): Promise<{ stdout: string; stderr: string; exitCode: number }> {
  const [stdout, stderr, exitCode] = await Promise.all([allOf(session.stdout), allOf(session.stderr), session.exit]);
  await session.close();
  return { stdout, stderr, exitCode };
}

async function allOf(stream: AsyncIterable<Uint8Array>): Promise<string> {
  let out = "";
  for await (const chunk of stream) out += text(chunk);
  return out;
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
