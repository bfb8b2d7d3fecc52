/** What a certificate is to say, and how long. */
export interface LeafRequest {
  /** The user name, for a client certificate. */
  readonly commonName: string;
  /** The groups, for a client certificate. */
  readonly organizations?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
  readonly usages: readonly ("client" | "server")[];
  /** May be a fraction. */
  readonly validDays: number;
  readonly nowMs: number;
}
