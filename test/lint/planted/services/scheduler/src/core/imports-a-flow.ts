export { bind } from "../flows/floats.ts";
