import { expect, test } from "vitest";
import { recapOf } from "./provisioned.ts";

test("a playbook's recap is read by machine, whatever else it said", () => {
  const said = `TASK [x] : ok=9 changed=9
PLAY RECAP *********
localhost                  : ok=3    changed=0    unreachable=0    failed=0    skipped=1
master-1                   : ok=41   changed=2    unreachable=0    failed=1    skipped=4
`;
  expect(recapOf(said)).toEqual({
    localhost: { ok: 3, changed: 0, unreachable: 0, failed: 0 },
    "master-1": { ok: 41, changed: 2, unreachable: 0, failed: 1 },
  });
});
