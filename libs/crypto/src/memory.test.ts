import { cryptoConformance } from "./conformance.ts";
import { memoryCrypto } from "./memory.ts";

cryptoConformance("memory", () => memoryCrypto());
