"""What the preflight asks of all machines together."""

from __future__ import annotations


def doubled_identities(machines, names):
    """Sentences about machines that say they are the same one."""
    advice = {
        "machine_id": "remove /etc/machine-id on the copies and reboot them",
        "hostname": "give each its own",
        "address": "give each its own",
    }
    sentences = []
    for what, fix in advice.items():
        holders = {}
        for name, facts in zip(names, machines):
            holders.setdefault(facts[what], []).append(name)
        for value, of in holders.items():
            if value and len(of) > 1:
                sentences.append("%s have one %s, %s: %s." % (" and ".join(sorted(of)), what.replace("_", "-"), value, fix))
    return sentences


def reached_machines(hostvars):
    """Names of the machines that the preflight has looked at in this run."""
    return [name for name in hostvars if "pilothouse_preflight" in hostvars[name]]


class FilterModule:
    def filters(self):
        return {"doubled_identities": doubled_identities, "reached_machines": reached_machines}
