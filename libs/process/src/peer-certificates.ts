/**
 * Who is at the other end of a connection, by client certificate, as of this very request: a certificate that has ended since
 * the handshake, or whose authority is trusted no longer, vouches for nobody (upstream verifies anew for each request).
 *
 * What cannot change is read once a connection; the clock is asked for each request, signatures only after the authorities
 * have changed. A certificate that was refused at the handshake stays refused.
 */
import { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { Clock } from "@pilothouse/clock";
import { certificatesIn } from "@pilothouse/pki/bundle";

export type PeerCertificate =
  | { readonly is: "absent" }
  | { readonly is: "bad" }
  | {
      readonly is: "good";
      readonly commonName: string;
      readonly organizations: readonly string[];
      /** SHA-256 of the certificate, in hex. */
      readonly sha256: string;
    };

interface Known {
  readonly peer: PeerCertificate;
  readonly leaf: X509Certificate | undefined;
  endMs: number;
  judgedBy: number;
  isTrusted: boolean;
}

const ABSENT: PeerCertificate = { is: "absent" };
const BAD: PeerCertificate = { is: "bad" };
/** Of intermediate authorities that a client may send along. */
const LONGEST_CHAIN = 8;

export class PeerCertificates {
  readonly #clock: Clock;
  readonly #known = new WeakMap<TLSSocket, Known>();
  #caPem: string;
  #authorities: readonly X509Certificate[];
  /** Counts changes: before the first, what the handshake said is what holds. */
  #generation = 0;

  /** @param caPem what the server's handshakes are judged by */
  constructor(clock: Clock, caPem: string) {
    this.#clock = clock;
    this.#caPem = caPem;
    this.#authorities = [];
  }

  trust(caPem: string): void {
    if (caPem === this.#caPem) return;
    this.#caPem = caPem;
    this.#authorities = certificatesIn(caPem).map((pem) => new X509Certificate(pem));
    this.#generation++;
  }

  of(socket: TLSSocket): PeerCertificate {
    let known = this.#known.get(socket);
    if (!known) this.#known.set(socket, (known = read(socket)));
    const { peer, leaf } = known;
    if (!leaf) return peer;
    if (known.isTrusted && known.judgedBy !== this.#generation) this.#judgeAgain(known, leaf);
    return known.isTrusted && this.#clock.now() < known.endMs ? peer : BAD;
  }

  #judgeAgain(known: Known, leaf: X509Certificate): void {
    known.judgedBy = this.#generation;
    const endMs = this.#endOfTrustMs(leaf);
    known.isTrusted = endMs !== undefined;
    known.endMs = endMs ?? 0;
  }

  /** The earliest end on the way to an authority of ours; undefined when there is no such way. */
  #endOfTrustMs(leaf: X509Certificate): number | undefined {
    let endMs = leaf.validToDate.getTime();
    let one: X509Certificate = leaf;
    for (let length = 0; length < LONGEST_CHAIN; length++) {
      const current = one;
      const ends = this.#authorities
        .filter((authority) => isIssuer(authority, current))
        .map(({ validToDate }) => validToDate.getTime());
      if (ends.length > 0) return Math.min(endMs, Math.max(...ends));
      const next = current.issuerCertificate;
      if (!next || next.fingerprint256 === current.fingerprint256 || !isIssuer(next, current)) return undefined;
      endMs = Math.min(endMs, next.validToDate.getTime());
      one = next;
    }
    return undefined;
  }
}

function isIssuer(authority: X509Certificate, of: X509Certificate): boolean {
  return authority.ca && of.checkIssued(authority) && of.verify(authority.publicKey);
}

function read(socket: TLSSocket): Known {
  const leaf = socket.getPeerX509Certificate();
  if (!leaf) return { peer: ABSENT, leaf, endMs: 0, judgedBy: 0, isTrusted: false };
  const names = socket.getPeerCertificate().subject as unknown as Readonly<
    Record<"CN" | "O", string | readonly string[] | undefined>
  >;
  const sha256 = leaf.fingerprint256.replaceAll(":", "").toLowerCase();
  const commonName = listOf(names.CN).at(-1) ?? "";
  const peer = { is: "good", commonName, organizations: listOf(names.O), sha256 } as const;
  return { peer, leaf, endMs: leaf.validToDate.getTime(), judgedBy: 0, isTrusted: socket.authorized };
}

function listOf(value: string | readonly string[] | undefined): readonly string[] {
  if (value === undefined) return [];
  return typeof value === "string" ? [value] : value;
}
