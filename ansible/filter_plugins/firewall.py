"""What the firewall's rules ask: who may connect to a port, as sets of addresses that the rules know, and networks beside them."""

from __future__ import annotations

import ipaddress

SETS = ("masters", "machines", "operators")


def firewall_sources(ports, also):
    """Each port with `named` (sets), `networks`, and `from_pods`: whether pods of this machine are let through."""
    by_port = {str(port): sources for port, sources in also.items()}
    rows = []
    for row in ports:
        sources = list(row["from"]) + list(by_port.get(str(row["port"]), []))
        pods = "pods" in sources
        # Packets of pods on other machines come with those machines' addresses.
        named = [name for name in SETS if name in sources or (name == "machines" and pods)]
        known = SETS + ("own-pods", "pods", "itself")
        networks = [str(ipaddress.ip_network(source)) for source in sources if source not in known]
        rows.append(dict(row, named=named, networks=networks, from_pods=pods or "own-pods" in sources))
    return rows


def operators(sources, connection):
    """`here` becomes the first word of SSH_CONNECTION, where that is an address of IPv4; nobody where Ansible came another way."""
    here = connection.split()[:1]
    found = []
    for source in sources:
        for address in here if source == "here" else [source]:
            network = ipaddress.ip_network(address)
            if network.version == 4:
                found.append(address)
    return found


class FilterModule:
    def filters(self):
        return {"firewall_sources": firewall_sources, "operators": operators}
