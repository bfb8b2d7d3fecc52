import { afterAll, beforeAll, expect, test } from "vitest";
import { apiserverStory, type Story } from "../story.fixture.ts";

let story: Story;
beforeAll(async () => {
  story = await apiserverStory();
});
afterAll(() => story.close());

const asked = async (target: string) => {
  const { status, text } = await story.ask("GET", target);
  return [status, text];
};

test.each(["healthz", "livez", "readyz"])("/%s says ok, and with ?verbose what it looked at", async (endpoint) => {
  expect(await asked(`/${endpoint}`)).toEqual([200, "ok"]);
  const [status, text] = await asked(`/${endpoint}?verbose`);
  expect(status).toBe(200);
  expect(text).toMatch(new RegExp(`^\\[\\+\\]ping ok\n(\\[\\+\\][a-z/-]+ ok\n)*${endpoint} check passed\n$`));
});

test("what is excluded is not looked at, and said; a check that nobody knows is warned of", async () => {
  expect((await asked("/readyz?verbose"))[1]).toContain("[+]watch-cache ok\n");
  const [status, text] = await asked("/readyz?verbose&exclude=watch-cache&exclude=ping");
  expect(status).toBe(200);
  expect(text).toContain("[+]watch-cache excluded: ok\n");
  expect(text).toContain("[+]ping excluded: ok\n");
  expect((await asked("/readyz?verbose&exclude=moon"))[1]).toContain(
    'warn: some health checks cannot be excluded: no matches for "moon"\n',
  );
});

test("each check is asked for by itself", async () => {
  expect(await asked("/readyz/ping")).toEqual([200, "ok"]);
  expect(await asked("/readyz/poststarthook/bootstrap")).toEqual([200, "ok"]);
  expect(await asked("/readyz/watch-cache")).toEqual([200, "ok"]);
  expect(await asked("/livez/ping")).toEqual([200, "ok"]);
  expect((await asked("/readyz/moon"))[0]).toBe(404);
});
