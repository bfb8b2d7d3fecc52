import { expect, it } from "vitest";
import { detachedJws } from "./detached-jws.ts";

const CONTENT = "Hello from the other side. I must have called a thousand times.";
const SECRET = "my voice is my passcode";
const HEADER = "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9";

it.each([
  ["of a text", CONTENT, SECRET, "VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8"],
  ["of nothing", "", SECRET, "7Ui1ALizW4jXphVUB7xUqC9vLYLL9RZeOFfVLoB7Tgk"],
  ["by nothing", CONTENT, "", "UfkqvDGiIFxrMnFseDj9LYJOLNrvjW8aHhF71mvvAs8"],
])("a signature %s is the one that upstream's tests name", (_what, content, secret, signature) => {
  expect(detachedJws(content, "joshua", secret)).toBe(`${HEADER}..${signature}`);
});
