export { start } from "@pilothouse/kubelet";
