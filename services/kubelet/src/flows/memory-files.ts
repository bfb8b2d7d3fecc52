/** The memory adapter of NodeFiles: for unit tests and the simulation. */
import type { VolumePlan } from "../core/volumes.ts";
import type { NodeFiles } from "./ports.ts";

export interface MemoryFiles extends NodeFiles {
  /** Volumes by `<uid>/<name>`. */
  readonly volumes: ReadonlyMap<string, VolumePlan>;
  /** Contents by path. */
  readonly files: ReadonlyMap<string, string>;
  /** Logs by the names of their links. */
  readonly links: ReadonlyMap<string, string>;
  /** As a container or the runtime would. */
  write(path: string, content: string): void;
}

export function memoryFiles(): MemoryFiles {
  const volumes = new Map<string, VolumePlan>();
  const files = new Map<string, string>();
  const links = new Map<string, string>();
  const images = new Set<string>();
  return {
    volumes,
    files,
    links,
    write: (path, content) => void files.set(path, content),
    ensureVolume(uid, volume) {
      volumes.set(`${uid}/${volume.name}`, volume);
      return Promise.resolve(volume.kind === "host" ? volume.path : `/pods/${uid}/volumes/${volume.name}`);
    },
    mountImage(uid, name) {
      images.add(`${uid}/${name}`);
      return Promise.resolve(`/pods/${uid}/volumes/${name}`);
    },
    volumeNames(uid) {
      const own = [...volumes.keys(), ...images].filter((key) => key.startsWith(`${uid}/`));
      return Promise.resolve(own.map((key) => key.slice(uid.length + 1)));
    },
    subPath: (_uid, { volumePath, subPath }) => Promise.resolve(`${volumePath}/${subPath}`),
    writePodFile(uid, name, content) {
      const path = `/pods/${uid}/${name}`;
      files.set(path, content);
      return Promise.resolve(path);
    },
    readTail: (path, maxBytes) => Promise.resolve((files.get(path) ?? "").slice(-maxBytes)),
    volumeBytes: (uid, volume) => Promise.resolve(files.get(`/pods/${uid}/volumes/${volume}/size`)?.length ?? 0),
    volumeUsage: () => Promise.resolve(undefined),
    logFolderBytes: (path) => Promise.resolve((files.get(path) ?? "").length),
    logBytes: (path) => Promise.resolve((files.get(path) ?? "").length),
    rotateLog(path, stamp) {
      files.set(`${path}.${stamp}`, files.get(path) ?? "");
      files.delete(path);
      return Promise.resolve();
    },
    ensureLogDirectory: () => Promise.resolve(),
    linkLog(name, logPath) {
      links.set(name, logPath);
      return Promise.resolve();
    },
    unlinkLog(name) {
      links.delete(name);
      return Promise.resolve();
    },
    hostFiles: () => Promise.resolve({ hosts: "", resolver: { servers: [], searches: [], options: [] } }),
    removePod(uid, logDirectory) {
      for (const [name, log] of links) if (log.startsWith(`${logDirectory}/`)) links.delete(name);
      for (const key of volumes.keys()) if (key.startsWith(`${uid}/`)) volumes.delete(key);
      for (const key of images) if (key.startsWith(`${uid}/`)) images.delete(key);
      for (const path of files.keys()) if (path.startsWith(`/pods/${uid}/`)) files.delete(path);
      return Promise.resolve();
    },
    listPods() {
      const paths = [...volumes.keys(), ...[...files.keys()].map((path) => path.slice("/pods/".length))];
      return Promise.resolve([...new Set(paths.map((path) => path.split("/", 1)[0] as string))]);
    },
  };
}
