/** Protobuf's wire format: a writer that fills its buffer backwards (so that lengths are known), and a reader that trusts nothing. */
import { DecodeError } from "./limits.ts";

export const VARINT = 0;
export const FIXED64 = 1;
export const BYTES = 2;

/** Write the last thing first: fields in descending order, each message's content before its length. */
export class WireWriter {
  #buffer = Buffer.allocUnsafe(4096);
  #start = 4096;

  /** A mark for `message`. */
  get position(): number {
    return this.#buffer.length - this.#start;
  }

  /** What was written, as a copy of its own. */
  finish(): Uint8Array {
    return new Uint8Array(this.#buffer.subarray(this.#start));
  }

  tag(number: number, wireType: number): void {
    this.varint(number * 8 + wireType);
  }

  /** Closes a message whose content was written since `mark`. */
  message(number: number, mark: number): void {
    this.varint(this.position - mark);
    this.tag(number, BYTES);
  }

  string(number: number, text: string): void {
    const length = Buffer.byteLength(text);
    this.#reserve(length);
    this.#start -= length;
    this.#buffer.write(text, this.#start);
    this.varint(length);
    this.tag(number, BYTES);
  }

  bytes(number: number, bytes: Uint8Array): void {
    this.raw(bytes);
    this.varint(bytes.length);
    this.tag(number, BYTES);
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#start -= bytes.length;
    this.#buffer.set(bytes, this.#start);
  }

  integer(number: number, value: number): void {
    this.varint(value);
    this.tag(number, VARINT);
  }

  double(number: number, value: number): void {
    this.#reserve(8);
    this.#start -= 8;
    this.#buffer.writeDoubleLE(value, this.#start);
    this.tag(number, FIXED64);
  }

  varint(value: number): void {
    this.#reserve(10);
    if (value >= 0 && value < 0x80) this.#buffer[--this.#start] = value;
    else if (value >= 0 && value <= 0x7fff_ffff) this.#smallVarint(value);
    else this.#bigVarint(BigInt.asUintN(64, value >= 2 ** 63 ? MAX_INT64 : BigInt(value)));
  }

  #smallVarint(value: number): void {
    const length = value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5;
    this.#start -= length;
    let at = this.#start;
    for (let rest = value; ; rest >>>= 7) {
      if (rest < 0x80) {
        this.#buffer[at] = rest;
        return;
      }
      this.#buffer[at++] = (rest & 0x7f) | 0x80;
    }
  }

  #bigVarint(value: bigint): void {
    const groups: number[] = [];
    for (let rest = value; rest > 0n; rest >>= 7n) groups.push(Number(rest & 0x7fn));
    for (let index = groups.length - 1; index >= 0; index--) {
      const isLast = index === groups.length - 1;
      this.#buffer[--this.#start] = (groups[index] as number) | (isLast ? 0 : 0x80);
    }
  }

  #reserve(length: number): void {
    if (this.#start >= length) return;
    const written = this.position;
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, written + length));
    this.#buffer.copy(grown, grown.length - written, this.#start);
    this.#start = grown.length - written;
    this.#buffer = grown;
  }
}

const MAX_INT64 = 2n ** 63n - 1n;

/** Reads one message; every length is checked against its end. Errors are gogo's texts. */
export class WireReader {
  readonly #bytes: Buffer;
  readonly #end: number;
  #at: number;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.#bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = start;
    this.#end = end;
  }

  get done(): boolean {
    return this.#at >= this.#end;
  }

  /** Field number and wire type. */
  tag(): { readonly number: number; readonly wireType: number } {
    const tag = this.unsigned();
    const number = Math.floor(tag / 8);
    if (number < 1 || tag > 0xffff_ffff) throw new DecodeError(`proto: illegal tag ${number} (wire type ${tag % 8})`);
    return { number, wireType: tag % 8 };
  }

  /** Exact up to 2^53, else the nearest double. */
  unsigned(): number {
    let value = 0;
    for (let shift = 0, scale = 1; shift < 70; shift += 7, scale *= 128) {
      const byte = this.#byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    throw new DecodeError("proto: integer overflow");
  }

  int64(): number {
    const start = this.#at;
    const value = this.unsigned();
    if (value <= Number.MAX_SAFE_INTEGER) return value;
    let exact = 0n;
    for (let at = start, shift = 0n; at < this.#at; at++, shift += 7n)
      exact |= BigInt(this.#bytes.readUInt8(at) & 0x7f) << shift;
    return Number(BigInt.asIntN(64, exact));
  }

  /** The low 32 bits, as Go's conversion takes them. */
  int32(): number {
    return Number(BigInt.asIntN(32, BigInt(this.int64())));
  }

  double(): number {
    this.#advance(8);
    return this.#bytes.readDoubleLE(this.#at - 8);
  }

  string(): string {
    const end = this.#length();
    const text = this.#bytes.toString("utf8", this.#at, end);
    this.#at = end;
    return text;
  }

  /** A view, not a copy. */
  bytes(): Buffer {
    const end = this.#length();
    const view = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return view;
  }

  /** A reader of the message that starts here; this one goes on behind it. */
  message(): WireReader {
    const end = this.#length();
    const inner = new WireReader(this.#bytes, this.#at, end);
    this.#at = end;
    return inner;
  }

  /** Steps over a field that is not known here. Groups are refused: Kubernetes has none. */
  skip(wireType: number): void {
    if (wireType === VARINT) this.unsigned();
    else if (wireType === FIXED64) this.#advance(8);
    else if (wireType === BYTES) this.#at = this.#length();
    else if (wireType === 5) this.#advance(4);
    else throw new DecodeError(`proto: illegal wireType ${wireType}`);
  }

  #length(): number {
    const length = this.unsigned();
    if (length > this.#end - this.#at) throw new DecodeError("unexpected EOF");
    return this.#at + length;
  }

  #advance(count: number): void {
    if (count > this.#end - this.#at) throw new DecodeError("unexpected EOF");
    this.#at += count;
  }

  #byte(): number {
    if (this.#at >= this.#end) throw new DecodeError("unexpected EOF");
    return this.#bytes[this.#at++] as number;
  }
}
