/** Links to containers' logs in one directory, by which log shippers find them: /var/log/containers. */
import { lstat, mkdir, readdir, readlink, rm, symlink } from "node:fs/promises";
import { join, resolve, sep } from "node:path";

/** Nothing is made for a log that is not there. */
export async function linkLog(directory: string, name: string, logPath: string): Promise<void> {
  if (!(await lstat(logPath).catch(() => undefined))) return;
  await mkdir(directory, { recursive: true, mode: 0o755 });
  const link = join(directory, name);
  await rm(link, { force: true });
  await symlink(logPath, link);
}

/** Removes the links into a folder of logs; others', and what is no link, stay. */
export async function unlinkLogsIn(directory: string, logDirectory: string): Promise<void> {
  for (const name of await readdir(directory).catch(() => [])) {
    const link = join(directory, name);
    const target = await readlink(link).catch(() => undefined);
    if (target !== undefined && resolve(directory, target).startsWith(logDirectory + sep))
      await rm(link, { force: true });
  }
}
