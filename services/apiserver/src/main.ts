/** The apiserver as a process: flags, files, real ports; the HTTPS door before `service.handle`. */
import { readFileSync } from "node:fs";
import { nodeCrypto } from "@pilothouse/crypto-node";
import { runProcess } from "@pilothouse/process";
import { etcdSettings, openEtcd } from "@pilothouse/process/etcd";
import { watchTls, type TlsTexts } from "@pilothouse/process/tls-files";
import { encryptionFile } from "./adapters/encryption-file.ts";
import { openDoor, type DoorTls } from "./adapters/express-door.ts";
import { kubeletProxy } from "./adapters/kubelet-proxy.ts";
import { encryptedStore } from "./flows/writes/encrypted-store.ts";
import { DEFAULT_ISSUER, DEFAULT_SERVICE_RANGE, start } from "./service.ts";

/** How long open requests may take to end after the order to stop. */
const STOP_GRACE_MS = 5_000;

await runProcess({
  name: "apiserver",
  description: "The Kubernetes API over etcd.",
  settings: {
    ...etcdSettings,
    name: { type: "string", required: true, help: "Unique name of this apiserver: the name of its bus feed." },
    "bind-address": { type: "string", default: "0.0.0.0", help: "Address to listen on." },
    "secure-port": { type: "port", default: 6443, help: "Port of the HTTPS door." },
    "advertise-address": { type: "string", required: true, help: "Address under which others reach this apiserver." },
    "tls-cert-file": { type: "string", required: true, help: "Certificate of the HTTPS door." },
    "tls-private-key-file": { type: "string", required: true, help: "Its key." },
    "client-ca-file": { type: "string", required: true, help: "Authority of client certificates." },
    "service-account-key-file": {
      type: "string",
      required: true,
      help: "RSA key that signs and verifies ServiceAccount tokens.",
    },
    "service-account-issuer": { type: "string", default: DEFAULT_ISSUER, help: "Issuer of these tokens." },
    "service-cluster-ip-range": { type: "string", default: DEFAULT_SERVICE_RANGE, help: "Addresses of Services." },
    "enable-bootstrap-token-auth": {
      type: "boolean",
      default: false,
      help: "Let machines in by bootstrap tokens, which are Secrets of kube-system.",
    },
    "kubelet-client-certificate": { type: "string", help: "Client certificate towards kubelets." },
    "kubelet-client-key": { type: "string", help: "Its key." },
    "kubelet-certificate-authority": {
      type: "string",
      help: "Authority of kubelets' certificates; without it they are not verified.",
    },
    "encryption-provider-config": {
      type: "string",
      help: "EncryptionConfiguration file: how Secrets and other resources are encrypted in etcd. Read again on SIGHUP.",
    },
    "max-requests-inflight": { type: "integer", default: 400, min: 1, help: "Requests at once, watches aside." },
  },
  instance: (values) => values.name,
  start: async (values, ports) => {
    const { scope, telemetry, clock } = ports;
    const etcd = openEtcd(values, ports);
    scope.defer(() => etcd.close());
    const kubeletFiles = watchTls(
      "kubelet-client",
      {
        certificate: values["kubelet-client-certificate"],
        key: values["kubelet-client-key"],
        ca: values["kubelet-certificate-authority"],
      },
      ports,
    );
    const kubelets = kubeletProxy(kubeletFiles.current());
    kubeletFiles.follow((tls) => kubelets.renew(tls));
    scope.defer(() => kubelets.close());
    const doorFiles = watchTls(
      "serving",
      {
        certificate: values["tls-cert-file"],
        key: values["tls-private-key-file"],
        ca: values["client-ca-file"],
      },
      ports,
    );
    const crypto = await nodeCrypto({ privateKeyPem: fileText(values["service-account-key-file"]) });
    const encryption = encryptionFile(values["encryption-provider-config"], telemetry);
    const store = encryptedStore(etcd, crypto, encryption.rules);
    const service = await start(
      { ...ports, time: ports, store, crypto, nodeProxy: kubelets },
      {
        name: values.name,
        advertiseAddress: values["advertise-address"],
        securePort: values["secure-port"],
        serviceClusterIpRange: values["service-cluster-ip-range"],
        serviceAccountIssuer: values["service-account-issuer"],
        enableBootstrapTokenAuth: values["enable-bootstrap-token-auth"],
        maxInFlight: values["max-requests-inflight"],
        clientCaPem: doorFiles.current().ca ?? "",
      },
    );
    const reload = (): void => {
      void encryption.reload(() => store.writesEnded());
      service.rereadUnreadable();
    };
    process.on("SIGHUP", reload);
    scope.defer(() => void process.off("SIGHUP", reload));
    const door = await openDoor({
      bindAddress: values["bind-address"],
      port: values["secure-port"],
      tls: doorTls(doorFiles.current()),
      handler: service,
      kubelets,
      log: telemetry.log,
      clock,
    });
    doorFiles.follow((tls) => {
      door.renew(doorTls(tls));
      service.clientCaChanged(tls.ca ?? "");
    });
    // Together: the door waits for open requests to end, and the service ends the watches among them.
    scope.defer(async () => void (await Promise.all([service.close(), door.close(STOP_GRACE_MS)])));
    service.warmUp();
    telemetry.log.info("serving", { address: values["bind-address"], port: door.port });
    return { problems: () => [] };
  },
});

function doorTls({ certificate = "", key = "", ca = "" }: TlsTexts): DoorTls {
  return { certificate, key, clientCa: ca };
}

function fileText(path: string): string {
  return readFileSync(path, "utf8");
}
