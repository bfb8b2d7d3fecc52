export { busToken } from "../../../../libs/bus/src/index.ts";
