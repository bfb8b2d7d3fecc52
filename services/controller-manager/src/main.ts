import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { nodeCrypto } from "@pilothouse/crypto-node";
import { apiAccessSettings, openApi } from "@pilothouse/process/api-access";
import { etcdSettings, openEtcd } from "@pilothouse/process/etcd";
import { runProcess } from "@pilothouse/process";
import { watchTls } from "@pilothouse/process/tls-files";
import { leaderSettings, openLeaderDoor } from "@pilothouse/process/leader-door";
import { signer } from "./adapters/signer.ts";
import { start, type ControllerManagerConfig } from "./service.ts";

await runProcess({
  name: "controller-manager",
  description: "Runs the cluster's controllers, one controller-manager of a cluster at a time.",
  settings: {
    ...apiAccessSettings,
    ...etcdSettings,
    ...leaderSettings,
    "cluster-cidr": {
      type: "string",
      help: "Addresses of pods; each node gets a /24 of them.",
      default: "198.18.0.0/16",
    },
    "cluster-signing-cert-file": {
      type: "string",
      help: "Authority of the API that signs certificate requests; without it they are not signed here.",
    },
    "cluster-signing-key-file": { type: "string", help: "Its key." },
    "backbone-signing-cert-file": { type: "string", help: "The same for the authority of etcd and NATS." },
    "backbone-signing-key-file": { type: "string", help: "Its key." },
    "local-volume-image": {
      type: "string",
      help: "Image with mkdir, chmod and rm, with which volumes of provisioner pilothouse.io/local-volume are made; without it they are not.",
    },
    "local-volume-dir": {
      type: "string",
      help: "Where on every node the directories of those volumes are.",
      default: "/var/lib/pilothouse/volumes",
    },
    "service-account-private-key-file": {
      type: "string",
      help: "RSA key of the apiservers' ServiceAccount tokens; without it Secrets get no tokens.",
    },
    "root-ca-file": { type: "string", help: "Authority of the API, for the pods' ServiceAccounts.", required: true },
  },
  instance: () => hostname(),
  start: async (values, ports) => {
    const store = openEtcd(values, ports);
    ports.scope.defer(() => store.close());
    const door = await openLeaderDoor(values, ports);
    const rootCa = watchTls("root-ca", { ca: values["root-ca-file"], certificate: undefined, key: undefined }, ports);
    const tokenKey = values["service-account-private-key-file"];
    const crypto = tokenKey ? await nodeCrypto({ privateKeyPem: readFileSync(tokenKey, "utf8") }) : undefined;
    const service = start(
      {
        ...ports,
        ...door,
        store,
        openApi: (fence) => openApi("controller-manager", values, ports, fence),
      },
      {
        clusterCidr: values["cluster-cidr"],
        ...localVolumes(values["local-volume-dir"], values["local-volume-image"]),
        rootCa: () => rootCa.current().ca ?? "",
        ...(crypto ? { signAccountToken: (claims) => crypto.signToken(claims) } : {}),
        signers: {
          ...signer("cluster-ca", values["cluster-signing-cert-file"], values["cluster-signing-key-file"], ports.clock),
          ...signer(
            "backbone-ca",
            values["backbone-signing-cert-file"],
            values["backbone-signing-key-file"],
            ports.clock,
          ),
        },
      },
    );
    rootCa.follow(() => service.rootCaChanged());
    return service;
  },
});

function localVolumes(directory: string, image: string | undefined): Pick<ControllerManagerConfig, "localVolumes"> {
  return image === undefined ? {} : { localVolumes: { directory, image } };
}
