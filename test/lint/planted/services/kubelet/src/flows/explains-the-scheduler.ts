export { explain } from "@pilothouse/scheduler/explain";
