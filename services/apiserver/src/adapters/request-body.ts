/** Bodies of requests: whole, within the limit of each and of all together. */
import type { IncomingMessage } from "node:http";
import { tooLarge, tooManyRequests } from "@pilothouse/errors";
import type { DoorLimits } from "./door-limits.ts";

/** Holds the bodies that are in memory at one time. They are read before anybody knows whose they are. */
export class BodyReader {
  readonly #limits: DoorLimits;
  #heldBytes = 0;

  constructor(limits: DoorLimits) {
    this.#limits = limits;
  }

  /**
   * Reads the body and keeps its bytes accounted for until `work` with it is done.
   *
   * @throws StatusError 413 and 429; an Error when the client is to be cut off
   */
  async use<T>(request: IncomingMessage, work: (body: Uint8Array) => Promise<T>): Promise<T> {
    const held = { bytes: 0 };
    try {
      return await work(await this.#read(request, held));
    } finally {
      this.#heldBytes -= held.bytes;
    }
  }

  async #read(request: IncomingMessage, held: { bytes: number }): Promise<Uint8Array> {
    if (!hasBody(request)) return NOTHING;
    const { bodyBytes, allBodiesBytes, discardedBytes } = this.#limits;
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    for await (const chunk of request as AsyncIterable<Buffer>) {
      sizeBytes += chunk.length;
      // A client that is still sending reads no answer: take in (and drop) what it sends, within reason.
      if (sizeBytes > discardedBytes) throw new Error("a body without end");
      if (sizeBytes > bodyBytes) {
        chunks.length = 0;
        continue;
      }
      this.#heldBytes += chunk.length;
      held.bytes += chunk.length;
      if (this.#heldBytes > allBodiesBytes) throw tooManyRequests("too many requests, please try again later", 1);
      chunks.push(chunk);
    }
    if (sizeBytes > bodyBytes) throw tooLarge(`Request entity too large: limit is ${bodyBytes}`);
    return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
  }
}

const NOTHING = new Uint8Array();

/** By its head; to read what is not there costs as much as the rest of a GET's head. */
function hasBody({ headers }: IncomingMessage): boolean {
  return headers["content-length"] !== undefined || headers["transfer-encoding"] !== undefined;
}
