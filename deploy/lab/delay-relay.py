"""Delays every frame between one machine of the lab and the lab's bridge, both ways, while it runs.

    delay-relay.py PORT TAP BRIDGE MILLISECONDS

PORT, the machine's end on the bridge, is taken off it; TAP, which lives as long as this process, is put in its place, and frames
are carried over between the two. The kernel's own way is `netem`, which not every kernel has; this works on all. Whoever ends
this process puts PORT back on the bridge. Frames are carried with their offload header (virtio_net_hdr, 10 bytes on both
sides), so that those whose checksum is still to be made, or that are still to be cut in segments, stay what they are.
"""
import collections
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import time

TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6 = 0x01, 0x02, 0x04
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 1, 15, 23
PACKET_MR_PROMISC = 1
ETH_P_ALL = 0x0003
LARGEST_FRAME = 65_536 + 64
# More than this waits in no router either: what comes then is lost.
MOST_WAITING = 10_000


def open_tap(name):
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    fcntl.ioctl(tap, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6)
    return tap


def open_port(name):
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    port.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    port.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    port.bind((name, ETH_P_ALL))
    membership = struct.pack("iHH8s", socket.if_nametoindex(name), PACKET_MR_PROMISC, 0, b"")
    port.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)
    port.setblocking(False)
    return port.detach()


def ip_link(*words):
    subprocess.run(["ip", "link", "set", "dev", *words], check=True)


class Way:
    """One direction: what was read waits until its time has come."""

    def __init__(self, source, sink, delay_s):
        self.source, self.sink, self.delay_s = source, sink, delay_s
        self.waiting = collections.deque()

    def take(self):
        try:
            frame = os.read(self.source, LARGEST_FRAME)
        except OSError:
            return  # The link is down for a moment: the machine is being switched off or on.
        if len(self.waiting) < MOST_WAITING:
            self.waiting.append((time.monotonic() + self.delay_s, frame))

    def give(self, now):
        while self.waiting and self.waiting[0][0] <= now:
            try:
                os.write(self.sink, self.waiting.popleft()[1])
            except OSError:
                pass  # Lost, as on any link that is down or full.


def main(port_name, tap_name, bridge, milliseconds):
    delay_s = int(milliseconds) / 1000
    tap = open_tap(tap_name)
    port = open_port(port_name)
    ip_link(port_name, "nomaster")
    ip_link(tap_name, "master", bridge, "up")
    ways = {port: Way(port, tap, delay_s), tap: Way(tap, port, delay_s)}
    while True:
        due = [way.waiting[0][0] for way in ways.values() if way.waiting]
        patience = max(0, min(due) - time.monotonic()) if due else None
        for source in select.select(list(ways), [], [], patience)[0]:
            ways[source].take()
        now = time.monotonic()
        for way in ways.values():
            way.give(now)


main(*sys.argv[1:])
