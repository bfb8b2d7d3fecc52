/** The folders in which watched files lie. */
import { readFileSync, realpathSync, watch, type FSWatcher } from "node:fs";
import { dirname } from "node:path";

export interface Folders {
  /** Throws when there is no such file. */
  text(path: string): string;
  /** Calls `onEvent` when something happens in the folders of these files, and in those that their links lead to. */
  watch(paths: readonly string[], onEvent: () => void): { close(): void };
}

/** A folder, not the file: a watched file that is renamed over is watched no more. */
export const systemFolders: Folders = {
  text: (path) => readFileSync(path, "utf8"),
  watch(paths, onEvent) {
    const folders = new Set(paths.flatMap((path) => [dirname(path), dirname(target(path))]));
    const watchers = [...folders].flatMap((folder) => opened(folder, onEvent));
    return {
      close: () => {
        for (const watcher of watchers) watcher.close();
      },
    };
  },
};

function target(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** A folder that cannot be watched is left to the poll. */
function opened(folder: string, onEvent: () => void): readonly FSWatcher[] {
  try {
    const watcher = watch(folder, { persistent: false }, onEvent);
    watcher.on("error", () => watcher.close());
    return [watcher];
  } catch {
    return [];
  }
}
