/** The network of this node's pods, as CNI reads it: a bridge whose addresses are the node's share of the pod network. Pure. */
export interface BridgeNetwork {
  readonly podCidr: string;
  readonly bridgeName: string;
  readonly mtu: number;
  /** Where the addresses in use are noted. */
  readonly dataDir: string;
}

/** No masquerade here: whether a packet keeps its address when it leaves is the proxy's business alone. */
export function cniConfig({ podCidr, bridgeName, mtu, dataDir }: BridgeNetwork): string {
  const ipam = {
    type: "host-local",
    dataDir,
    ranges: [[{ subnet: podCidr }]],
    routes: [{ dst: "0.0.0.0/0" }],
  };
  const bridge = {
    type: "bridge",
    bridge: bridgeName,
    isGateway: true,
    ipMasq: false,
    hairpinMode: true,
    mtu,
    ipam,
  };
  const plugins = [bridge, { type: "portmap", capabilities: { portMappings: true }, snat: true }];
  return `${JSON.stringify({ cniVersion: "0.4.0", name: "pilothouse", plugins }, null, 2)}\n`;
}
