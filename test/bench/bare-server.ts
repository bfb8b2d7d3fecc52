/** The floor of HTTPS: a process that answers every GET with the same 10 kB. Arguments: port, files of certificate, key and CA. */
import { readFileSync } from "node:fs";
import { createServer } from "node:https";

const [port, cert, key, ca] = process.argv.slice(2) as [string, string, string, string];
const body = Buffer.alloc(10_000, "x");
const tls = { cert: readFileSync(cert), key: readFileSync(key), ca: readFileSync(ca), requestCert: true };
createServer({ ...tls, rejectUnauthorized: true }, (_request, response) => {
  response.writeHead(200, { "content-type": "application/json", "content-length": body.length });
  response.end(body);
}).listen(Number(port), "127.0.0.1");
