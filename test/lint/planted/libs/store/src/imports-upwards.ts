export { resources } from "@pilothouse/client";
