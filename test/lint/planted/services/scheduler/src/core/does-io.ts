import { readFileSync } from "node:fs";

export const read = (): string => readFileSync("/etc/hostname", "utf8");
