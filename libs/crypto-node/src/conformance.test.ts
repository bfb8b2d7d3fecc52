import { generateKeyPairSync } from "node:crypto";
import { cryptoConformance } from "@pilothouse/crypto/conformance";
import { nodeCrypto } from "./index.ts";

cryptoConformance("node", () => {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return nodeCrypto({ privateKeyPem: privateKey.export({ type: "pkcs8", format: "pem" }).toString() });
});
