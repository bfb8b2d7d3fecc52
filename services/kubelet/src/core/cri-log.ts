/** The runtime's log files: `<time> <stream> <tags> <text>` lines, where tag P says that the line goes on in the next. Pure. */
export interface LogOptions {
  /** Each line begins with its time. */
  readonly timestamps: boolean;
  /** Lines before it are left out; 0 = none. */
  readonly sinceMs: number;
  /** Bytes of output after which it ends; undefined = no limit. */
  readonly limitBytes: number | undefined;
  /** Of one of the two only; undefined = both, as they were written. */
  readonly stream?: "stdout" | "stderr" | undefined;
}

/** Turns a log file's bytes, in pieces of any size, into what users read. */
export class LogFormatter {
  readonly #options: LogOptions;
  #rest = new Uint8Array();
  #leftBytes: number;
  #lineStart = true;

  constructor(options: LogOptions) {
    this.#options = options;
    this.#leftBytes = options.limitBytes ?? Number.POSITIVE_INFINITY;
  }

  /** True once the limit is reached. */
  get full(): boolean {
    return this.#leftBytes <= 0;
  }

  push(chunk: Uint8Array): Uint8Array {
    const bytes = concat([this.#rest, chunk]);
    const parts: Uint8Array[] = [];
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE, start); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      parts.push(...this.#record(bytes.subarray(start, end)));
      start = end + 1;
    }
    this.#rest = bytes.slice(start);
    const out = concat(parts);
    const cut = out.subarray(0, Math.min(out.length, this.#leftBytes));
    this.#leftBytes -= cut.length;
    return cut;
  }

  #record(line: Uint8Array): readonly Uint8Array[] {
    const first = line.indexOf(SPACE);
    const second = line.indexOf(SPACE, first + 1);
    const third = line.indexOf(SPACE, second + 1);
    // Not a line of the runtime's: somebody else wrote into the file.
    if (first < 0 || second < 0 || third < 0) return [];
    const { stream } = this.#options;
    if (stream !== undefined && decoder.decode(line.subarray(first + 1, second)) !== stream) return [];
    const time = decoder.decode(line.subarray(0, first));
    if (this.#options.sinceMs > 0 && Date.parse(time) < this.#options.sinceMs) return [];
    const partial = line[second + 1] === PARTIAL;
    const prefix = this.#lineStart && this.#options.timestamps ? [encoder.encode(`${time} `)] : [];
    this.#lineStart = !partial;
    return [...prefix, line.subarray(third + 1), ...(partial ? [] : [NEWLINE_BYTES])];
  }
}

const LAST_LINES = 80;
const LAST_BYTES = 2048;

/** What a container wrote last, from the end of its log file: 80 lines and 2 KiB at most, as upstream takes for a last message. */
export function lastWords(tail: string): string {
  const whole = encoder.encode(tail.endsWith("\n") ? tail : `${tail}\n`);
  const text = decoder.decode(new LogFormatter({ timestamps: false, sinceMs: 0, limitBytes: undefined }).push(whole));
  const lines = text.split(/(?<=\n)/).slice(-LAST_LINES);
  return decoder.decode(encoder.encode(lines.join("")).slice(-LAST_BYTES));
}

const NEWLINE = 10;
const SPACE = 32;
const PARTIAL = "P".charCodeAt(0);
const NEWLINE_BYTES = Uint8Array.of(NEWLINE);
const decoder = new TextDecoder();
const encoder = new TextEncoder();

function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
