import { spawn } from "node:child_process";
import { afterAll, expect, test } from "vitest";
import { expectNoLeaks, findLeaks, removeTestDirectory, startEtcd, startNats, until } from "./index.ts";

afterAll(expectNoLeaks);

test("etcd and NATS start healthy, and stop without a trace", async () => {
  const [etcd, nats] = await Promise.all([startEtcd(), startNats()]);
  expect(await findLeaks()).toHaveLength(4);
  await etcd.kill();
  await etcd.start();
  await Promise.all([etcd.stop(), nats.stop()]);
  expect(await findLeaks()).toEqual([]);
});

test("a server ends when the test process is killed", async () => {
  const script = `
    const { startNats } = await import(${JSON.stringify(import.meta.resolve("./index.ts"))});
    const nats = await startNats();
    console.log(JSON.stringify({ pid: nats.pid(), directory: nats.directory }));
    setInterval(() => undefined, 1000);`;
  const parent = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const line = await new Promise<string>((resolve) => parent.stdout.once("data", (data) => resolve(String(data))));
  const { pid, directory } = JSON.parse(line) as { pid: number; directory: string };
  process.kill(pid, 0);
  parent.kill("SIGKILL");
  await until("the server is gone", () => {
    try {
      process.kill(pid, 0);
      return false;
    } catch {
      return true;
    }
  });
  await removeTestDirectory(directory);
});
