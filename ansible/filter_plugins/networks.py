"""`addresses | on_one_link(links, own address)`: whether all of them are in the network of the link that has our address."""

from __future__ import annotations

import ipaddress


def on_one_link(addresses, links, own):
    for link in links:
        if link["address"] == own:
            network = ipaddress.ip_interface("%s/%d" % (link["address"], link["prefix"])).network
            return all(ipaddress.ip_address(address) in network for address in addresses)
    return False


class FilterModule:
    def filters(self):
        return {"on_one_link": on_one_link}
