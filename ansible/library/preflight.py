#!/usr/bin/python
"""Looks at a machine before anything is touched. Changes nothing; what follows from it is decided in action_plugins/preflight.py."""

from __future__ import annotations

import glob
import json
import os
import platform
import re
import shutil
import subprocess
import time

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: preflight
short_description: Look at a machine before it becomes part of a cluster
description:
  - Returns what C(action_plugins/preflight.py) judges, system, kernel, disk, ports, versions and identity.
options:
  ports:
    description: TCP ports that the cluster wants to listen on here.
    type: list
    elements: int
    default: []
  data_folder:
    description: Where etcd will write; how long a write takes to reach the disk is measured there.
    type: str
    default: ""
author: Pilothouse
"""

FSYNCS = 100
FSYNC_BYTES = 2300  # What etcd's own advice measures with.


def text(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def existing_parent(path):
    while path and not os.path.isdir(path):
        path = os.path.dirname(path)
    return path or "/"


def fsync_p99_ms(folder):
    """How long the slowest of a hundred small synchronous writes took, the very slowest aside."""
    path = os.path.join(folder, ".pilothouse-preflight-%d" % os.getpid())
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        took = []
        for _ in range(FSYNCS):
            started = time.monotonic()
            os.write(descriptor, b"x" * FSYNC_BYTES)
            os.fdatasync(descriptor)
            took.append((time.monotonic() - started) * 1000)
        return sorted(took)[int(FSYNCS * 0.99) - 1]
    finally:
        os.close(descriptor)
        os.unlink(path)


def listening_inodes(ports):
    wanted = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in text(table).splitlines()[1:]:
            fields = line.split()
            port = int(fields[1].rsplit(":", 1)[1], 16)
            if fields[3] == "0A" and port in ports:
                wanted[fields[9]] = port
    return wanted


def taken_ports(ports):
    """Port to the program that listens on it, for programs that are not ours."""
    inodes = listening_inodes(ports)
    taken = {}
    for link in glob.glob("/proc/[0-9]*/fd/*") if inodes else []:
        try:
            target = os.readlink(link)
        except OSError:
            continue
        found = re.fullmatch(r"socket:\[(\d+)\]", target)
        if not found or found.group(1) not in inodes:
            continue
        process = link.rsplit("/fd/", 1)[0]
        if "pilothouse" not in text(process + "/cgroup"):
            taken[str(inodes[found.group(1)])] = text(process + "/comm").strip()
    return taken


def version_of(command):
    if not shutil.which(command[0]):
        return None
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"(\d+\.\d+\.\d+)", told.stdout + told.stderr)
    return found.group(1) if found else None


def has_nftables():
    nft = shutil.which("nft") or "/usr/sbin/nft"
    if not os.path.exists(nft):
        return None  # Not installed yet: nothing is known.
    return subprocess.run([nft, "list", "tables"], capture_output=True, check=False).returncode == 0


def cgroup_controllers():
    unified = text("/sys/fs/cgroup/cgroup.controllers").split()
    return unified or [name for name in ("memory", "cpu") if os.path.isdir("/sys/fs/cgroup/" + name)]


def links():
    told = subprocess.run(["ip", "-json", "-4", "address"], capture_output=True, text=True, check=False).stdout
    return [
        {"name": link["ifname"], "mtu": link["mtu"], "address": address["local"], "prefix": address["prefixlen"]}
        for link in json.loads(told or "[]")
        for address in link.get("addr_info", [])
    ]


def file_systems():
    """The kernel lists a file system once it is loaded: Debian's has overlay as a module that nobody has used yet."""
    if shutil.which("modprobe"):
        subprocess.run(["modprobe", "--quiet", "overlay"], capture_output=True, check=False)
    return [line.split()[-1] for line in text("/proc/filesystems").splitlines()]


def main():
    module = AnsibleModule(
        argument_spec={
            "ports": {"type": "list", "elements": "int", "default": []},
            "data_folder": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    release = dict(line.split("=", 1) for line in text("/etc/os-release").splitlines() if "=" in line)
    folder = existing_parent(module.params["data_folder"] or "/var/lib")
    disk = os.statvfs(folder)
    module.exit_json(
        changed=False,
        system=release.get("ID", "").strip('"'),
        system_version=release.get("VERSION_ID", "").strip('"'),
        systemd=os.path.isdir("/run/systemd/system"),
        architecture=platform.machine(),
        hostname=platform.node(),
        machine_id=text("/etc/machine-id").strip(),
        file_systems=file_systems(),
        controllers=cgroup_controllers(),
        nftables=has_nftables(),
        links=links(),
        disk_free_mb=disk.f_bavail * disk.f_frsize // 2**20,
        fsync_p99_ms=round(fsync_p99_ms(folder), 2) if module.params["data_folder"] else None,
        taken_ports=taken_ports(set(module.params["ports"])),
        etcd_version=version_of(["etcd", "--version"]),
        nats_version=version_of(["nats-server", "--version"]),
        runc_version=version_of(["runc", "--version"]),
    )


if __name__ == "__main__":
    main()
