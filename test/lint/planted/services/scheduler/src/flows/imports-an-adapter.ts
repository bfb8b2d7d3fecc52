export { connectEtcd } from "@pilothouse/store-etcd";
