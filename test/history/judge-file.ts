/** `node test/history/judge-file.ts <file.jsonl>`: judges a kept history again. */
import { readHistory } from "./history.ts";
import { judge, verdictText } from "./judge.ts";

const [path] = process.argv.slice(2);
if (path === undefined) {
  process.stderr.write("usage: node test/history/judge-file.ts <file.jsonl>\n");
  process.exit(2);
}
const violations = judge(await readHistory(path));
process.stdout.write(violations.length === 0 ? "every promise is kept\n" : `${verdictText(violations, 100)}\n`);
process.exit(violations.length === 0 ? 0 : 1);
