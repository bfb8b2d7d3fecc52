/** Loads a service's configuration from the process's own command line; prints help or problems and ends the process. */
import { readFileSync } from "node:fs";
import { ConfigurationInvalid, HelpRequested, loadConfig, type Settings, type Values } from "./index.ts";

/** For main.ts only: the one place where a wrong command line ends the process (status 2; 0 after --help). */
export function configFromCommandLine<S extends Settings>(name: string, description: string, settings: S): Values<S> {
  try {
    const readFile = (path: string): string => readFileSync(path, "utf8");
    return loadConfig({ name, description, settings, args: process.argv.slice(2), readFile });
  } catch (error) {
    if (error instanceof HelpRequested) {
      process.stdout.write(error.text);
      process.exit(0);
    }
    if (error instanceof ConfigurationInvalid) {
      process.stderr.write(`${error.message}\n`);
      process.exit(2);
    }
    throw error;
  }
}
