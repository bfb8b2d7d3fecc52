import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

export interface TestCertificates {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

const run = promisify(execFile);
const CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** A CA of a day and one certificate of it for 127.0.0.1 and localhost (the name that nats.js expects of an address), good for servers and clients, by openssl: independent of our own PKI. */
export async function makeCertificates(directory: string): Promise<TestCertificates> {
  const file = (name: string): string => join(directory, name);
  const openssl = (...args: string[]): Promise<unknown> => run("openssl", args, { cwd: directory });
  await openssl("req", "-x509", ...CURVE, "-keyout", "ca.key", "-out", "ca.crt", "-days", "1", "-subj", "/CN=test CA");
  await openssl("req", ...CURVE, "-keyout", "peer.key", "-out", "peer.csr", "-subj", "/CN=peer");
  await writeFile(
    file("peer.ext"),
    "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n",
  );
  const sign = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1", "-extfile", "peer.ext"];
  await openssl("x509", "-req", "-in", "peer.csr", "-out", "peer.crt", ...sign);
  return { caFile: file("ca.crt"), certFile: file("peer.crt"), keyFile: file("peer.key") };
}
