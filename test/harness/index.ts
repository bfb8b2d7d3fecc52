/**
 * Real processes for tests: etcd, NATS, and a TCP proxy that breaks connections on command.
 *
 * Promises: everything listens on loopback on free ports, works in a temporary directory of its own, is ready when its
 * `start…` resolves, and ends with the test process even if that is killed (the kernel's parent-death signal).
 * Does not promise: clean-up of temporary directories after a SIGKILL of the test process.
 * Rule: whoever starts something stops it, and ends its file with `afterAll(expectNoLeaks)`.
 */
export { startEtcd, startEtcdCluster } from "./etcd.ts";
export type { Etcd, EtcdOptions } from "./etcd.ts";
export { startNats } from "./nats.ts";
export type { Nats, NatsOptions } from "./nats.ts";
export { startProcess } from "./process.ts";
export type { ProcessOptions, TestProcess } from "./process.ts";
export { makeCertificates } from "./certificates.ts";
export type { TestCertificates } from "./certificates.ts";
export { expectNoLeaks, findLeaks } from "./leaks.ts";
export { freePorts } from "./ports.ts";
export { tcpProxy } from "./tcp-proxy.ts";
export type { TcpProxy } from "./tcp-proxy.ts";
export { makeTestDirectory, removeTestDirectory } from "./directory.ts";
export { until } from "./until.ts";
