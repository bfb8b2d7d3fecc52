"""Refuses unsafe ground, with the reason and the fix; all that is wrong with a machine at once.

What a machine is like is read there (library/preflight.py); how far its clock is off is measured from here, since only
somebody outside can tell. What follows is `problems`, a pure function of both.
"""

from __future__ import annotations

import time

from ansible.plugins.action import ActionBase

DEBIAN = 12
SYSTEMS = {"x86_64", "aarch64"}
FILE_SYSTEMS = ["overlay"]
CONTROLLERS = ["memory", "cpu"]

# Versions that are known to lose data: refused.
LOSES_DATA = {
    "etcd": [("3.5.0", "3.5.2", "members can come to differ after a crash (etcd's own post-mortem of v3.5)")],
    "nats": [],
}
# Versions with faults that Pilothouse works around: told.
WORKED_AROUND = {
    "etcd": [
        ("3.4.0", "3.4.30", "it can lose or double watch events and revoke leases wrongly; 3.5.28 or 3.6.9 and newer do not"),
    ],
    "nats": [],
}


def version(text):
    return tuple(int(part) for part in text.split("."))


def affected(table, facts):
    for program, rows in table.items():
        installed = facts.get(program + "_version")
        for first, last, fault in rows:
            if installed and version(first) <= version(installed) <= version(last):
                yield "%s %s: %s" % (program, installed, fault)


def warnings(facts):
    return list(affected(WORKED_AROUND, facts))


def problems(facts, limits):
    """What must not be built on, a sentence each: what is wrong, and how to mend it."""
    found = []

    def refuse(bad, sentence):
        if bad:
            found.append(sentence)

    debian = facts["system"] == "debian" and facts["system_version"].split(".")[0].isdigit()
    refuse(
        not debian or int(facts["system_version"].split(".")[0]) < DEBIAN,
        "This is %s %s; Debian %d or newer is needed: install that."
        % (facts["system"] or "no known system", facts["system_version"], DEBIAN),
    )
    refuse(not facts["systemd"], "systemd is not process 1; the cluster's processes are its units: boot the machine with systemd.")
    refuse(facts["architecture"] not in SYSTEMS, "There is no runtime for %s: use x86_64 or aarch64." % facts["architecture"])
    missing = [name for name in FILE_SYSTEMS if name not in facts["file_systems"]]
    missing += ["cgroup controller " + name for name in CONTROLLERS if name not in facts["controllers"]]
    missing += ["nftables"] if facts["nftables"] is False else []
    refuse(missing, "The kernel has not: %s. Boot Debian's own kernel, or load the modules." % ", ".join(missing))
    offset = abs(facts["clock_offset_ms"]) - facts["clock_offset_error_ms"]
    refuse(
        offset > limits["clock_offset_ms"],
        "The clock is off by %.0f ms (at most %d are safe: certificates and leases are judged by it): install chrony, or mend its servers."
        % (facts["clock_offset_ms"], limits["clock_offset_ms"]),
    )
    p99 = facts["fsync_p99_ms"]
    refuse(
        p99 is not None and p99 > limits["fsync_p99_ms"],
        "A write takes %.0f ms to reach the disk (p99; at most %d: etcd would lose its leader again and again): give etcd a faster disk (pilothouse_etcd_data)."
        % (p99 or 0, limits["fsync_p99_ms"]),
    )
    refuse(
        facts["disk_free_mb"] < limits["disk_free_mb"],
        "Only %d MB of disk are free (at least %d): make room." % (facts["disk_free_mb"], limits["disk_free_mb"]),
    )
    for port, program in sorted(facts["taken_ports"].items()):
        found.append("Port %s is taken by %s: stop and disable it; the cluster listens there." % (port, program or "another program"))
    refuse(
        facts["address"] not in [link["address"] for link in facts["links"]],
        "No link of this machine has the address %s: set pilothouse_address to one that it has (%s)."
        % (facts["address"], ", ".join(link["address"] for link in facts["links"] if link["name"] != "lo")),
    )
    found.extend("%s: install a newer version." % row for row in affected(LOSES_DATA, facts))
    return found


def is_sure(measured, limit_ms):
    """Whether another look at the clock could tell nothing that matters; `measured`: offset, and how wrong it may be."""
    offset_ms, error_ms = measured
    return error_ms < limit_ms / 10 and abs(offset_ms) + error_ms < limit_ms


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        arguments = self._task.args
        asked = {"ports": arguments["ports"], "data_folder": arguments.get("data_folder", "")}
        facts = self._execute_module(module_name="preflight", module_args=asked, task_vars=task_vars)
        if facts.get("failed"):
            return dict(result, **facts)
        offset_ms, error_ms = self.clock_offset_ms(arguments["limits"]["clock_offset_ms"])
        facts.update(clock_offset_ms=offset_ms, clock_offset_error_ms=error_ms, address=arguments["address"])
        found = problems(facts, arguments["limits"])
        result.update(
            changed=False,
            ansible_facts={"pilothouse_preflight": facts},
            warnings=["%s: %s" % (task_vars["inventory_hostname"], row) for row in warnings(facts)],
        )
        if found:
            result.update(failed=True, msg=" ".join(found))
        return result

    def clock_offset_ms(self, limit_ms):
        """The machine's clock less ours, and how wrong that may be: half of the fastest of some round trips."""
        best = None
        for _ in range(5):
            before = time.time()
            told = self._low_level_execute_command("date +%s%N")
            after = time.time()
            there = int(told["stdout"].strip().splitlines()[-1]) / 1e6
            trip = (after - before) * 1000
            if best is None or trip < best[1] * 2:
                best = (there - (before + after) / 2 * 1000, trip / 2)
            if is_sure(best, int(limit_ms)):
                break
        return best
