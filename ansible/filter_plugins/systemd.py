"""What the roles ask about units: names in, links and names out."""

from __future__ import annotations

import re


def masked_units(names):
    """Links that keep Debian's own units of these names from starting."""
    return [{"path": "/etc/systemd/system/%s.service" % name, "target": "/dev/null"} for name in names]


def wanted_units(names, kind="service"):
    """Links by which pilothouse.target starts these units of ours at boot."""
    folder = "/etc/systemd/system/"
    units = ["pilothouse-%s.%s" % (name, kind) for name in names]
    return [{"path": "%spilothouse.target.wants/%s" % (folder, unit), "target": folder + unit} for unit in units]


SETTINGS = re.compile(r"/etc/pilothouse/([a-z-]+)\.(?:yaml|toml|cfg|conf)|/etc/systemd/system/pilothouse-([a-z-]+)\.service")


def changed_services(paths, started):
    """Services whose settings or unit are among the changed paths, less those that were just started with them."""
    found = []
    for settings in map(SETTINGS.fullmatch, paths):
        name = settings and (settings.group(1) or settings.group(2))
        if name and name not in found and "started " + name not in started.splitlines():
            found.append(name)
    return found


class FilterModule:
    def filters(self):
        return {"masked_units": masked_units, "wanted_units": wanted_units, "changed_services": changed_services}
