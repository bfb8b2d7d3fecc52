"""What the playbooks decide in Python, tried without a machine: python3 -m unittest discover ansible/tests"""

import importlib.util
import os
import tempfile
import unittest

ANSIBLE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def load(path):
    spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], os.path.join(ANSIBLE, path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


preflight = load("action_plugins/preflight.py")
machine_command = load("action_plugins/machine_command.py")
systemd = load("filter_plugins/systemd.py")
identities = load("filter_plugins/identities.py")
networks = load("filter_plugins/networks.py")
bus = load("filter_plugins/bus.py")
firewall = load("filter_plugins/firewall.py")
machine_files = load("library/machine_files.py")

LIMITS = {"clock_offset_ms": 500, "fsync_p99_ms": 100, "disk_free_mb": 2048}
GOOD = {
    "system": "debian",
    "system_version": "12",
    "systemd": True,
    "architecture": "x86_64",
    "file_systems": ["ext4", "overlay"],
    "controllers": ["cpu", "memory"],
    "nftables": True,
    "clock_offset_ms": 3.0,
    "clock_offset_error_ms": 5.0,
    "fsync_p99_ms": 4.2,
    "disk_free_mb": 50_000,
    "taken_ports": {},
    "address": "203.0.113.11",
    "links": [{"name": "eth0", "address": "203.0.113.11", "mtu": 1500, "prefix": 24}],
    "etcd_version": "3.5.28",
    "nats_version": "2.9.10",
}


class Preflight(unittest.TestCase):
    def test_good_ground_is_taken_also_where_nothing_is_installed_yet(self):
        self.assertEqual(preflight.problems(GOOD, LIMITS), [])
        bare = dict(GOOD, nftables=None, fsync_p99_ms=None, etcd_version=None, nats_version=None)
        self.assertEqual(preflight.problems(bare, LIMITS), [])

    def test_each_fault_alone_is_refused_with_one_sentence_that_names_it(self):
        faults = {
            "This is ubuntu": {"system": "ubuntu"},
            "Debian 12 or newer": {"system_version": "11"},
            "systemd is not process 1": {"systemd": False},
            "no runtime for riscv64": {"architecture": "riscv64"},
            "overlay": {"file_systems": ["ext4"]},
            "cgroup controller memory": {"controllers": ["cpu"]},
            "nftables": {"nftables": False},
            "clock is off by -900 ms": {"clock_offset_ms": -900.0},
            "takes 250 ms to reach the disk": {"fsync_p99_ms": 250.0},
            "Only 100 MB": {"disk_free_mb": 100},
            "Port 6443 is taken by nginx": {"taken_ports": {"6443": "nginx"}},
            "No link of this machine has the address": {"address": "203.0.113.99"},
            "etcd 3.5.1": {"etcd_version": "3.5.1"},
        }
        for sentence, fault in faults.items():
            with self.subTest(sentence):
                found = preflight.problems(dict(GOOD, **fault), LIMITS)
                self.assertEqual(len(found), 1)
                self.assertIn(sentence, found[0])

    def test_a_slow_line_to_a_machine_is_no_wrong_clock(self):
        slow = dict(GOOD, clock_offset_ms=700.0, clock_offset_error_ms=400.0)
        self.assertEqual(preflight.problems(slow, LIMITS), [])

    def test_all_that_is_wrong_is_said_at_once(self):
        self.assertEqual(len(preflight.problems(dict(GOOD, systemd=False, disk_free_mb=1, nftables=False), LIMITS)), 3)

    def test_an_etcd_whose_faults_are_worked_around_is_told_of_and_taken(self):
        debian = dict(GOOD, etcd_version="3.4.23")
        self.assertEqual(preflight.problems(debian, LIMITS), [])
        self.assertIn("etcd 3.4.23", preflight.warnings(debian)[0])
        self.assertEqual(preflight.warnings(GOOD), [])

    def test_two_machines_that_say_they_are_one(self):
        facts = [
            {"machine_id": "aa", "hostname": "m1", "address": "203.0.113.11"},
            {"machine_id": "aa", "hostname": "m2", "address": "203.0.113.12"},
        ]
        told = identities.doubled_identities(facts, ["m1", "m2"])
        self.assertEqual(len(told), 1)
        self.assertIn("m1 and m2 have one machine-id", told[0])


class Filters(unittest.TestCase):
    def test_a_service_is_restarted_for_its_settings_and_its_unit_and_for_nothing_else(self):
        paths = [
            "/etc/pilothouse/kubelet.yaml",
            "/etc/systemd/system/pilothouse-kubelet.service",
            "/etc/systemd/system/pilothouse-dns.service",
            "/etc/systemd/system/pilothouse.target.wants/pilothouse-proxy.service",
            "/etc/pilothouse/cni",
        ]
        self.assertEqual(systemd.changed_services(paths, ""), ["kubelet", "dns"])
        self.assertEqual(systemd.changed_services(paths, "started dns"), ["kubelet"])

    def test_machines_on_one_link_and_on_two(self):
        links = [{"address": "203.0.113.11", "prefix": 24}]
        self.assertTrue(networks.on_one_link(["203.0.113.11", "203.0.113.99"], links, "203.0.113.11"))
        self.assertFalse(networks.on_one_link(["203.0.113.11", "198.51.100.1"], links, "203.0.113.11"))

    def test_who_may_connect_as_sets_and_networks(self):
        ports = [{"port": 10250, "from": ["masters"]}, {"port": 53, "from": ["own-pods"]}]
        kubelet, dns = firewall.firewall_sources(ports, {})
        self.assertEqual((kubelet["named"], kubelet["networks"], kubelet["from_pods"]), (["masters"], [], False))
        self.assertEqual((dns["named"], dns["networks"], dns["from_pods"]), ([], [], True))
        # Pods of other machines come with those machines' addresses.
        kubelet, _ = firewall.firewall_sources(ports, {10250: ["pods", "192.0.2.0/24"]})
        self.assertEqual((kubelet["named"], kubelet["networks"], kubelet["from_pods"]), (["masters", "machines"], ["192.0.2.0/24"], True))
        with self.assertRaises(ValueError):
            firewall.firewall_sources(ports, {53: ["podz"]})

    def test_operators_are_those_named_and_whoever_runs_ansible(self):
        self.assertEqual(firewall.operators(["here", "192.0.2.0/24"], "198.51.100.254 50000 198.51.100.11 22"), ["198.51.100.254", "192.0.2.0/24"])
        self.assertEqual(firewall.operators(["here"], ""), [])
        self.assertEqual(firewall.operators(["here"], "2001:db8::1 50000 2001:db8::2 22"), [])

    def test_names_become_tokens_of_the_bus_as_libs_bus_writes_them(self):
        self.assertEqual([bus.bus_token(name) for name in ("master-1", "a.b", "")], ["master-1", "a=2eb", "_"])


class MachineCommand(unittest.TestCase):
    def test_what_went_well_is_told_without_its_last_line_end(self):
        told = machine_command.outcome({"rc": 0, "stdout": "one\ntwo\n", "stderr": ""})
        self.assertEqual((told["changed"], told["rc"], told["stdout"], told["stderr"]), (True, 0, "one\ntwo", ""))
        self.assertEqual(told["stdout_lines"], ["one", "two"])

    def test_what_failed_says_why(self):
        told = machine_command.outcome({"rc": 1, "stdout": "  ✘ etcd: not running\n", "stderr": ""})
        self.assertEqual((told["failed"], told["msg"]), (True, "✘ etcd: not running"))
        self.assertIn("said nothing", machine_command.outcome({"rc": 7, "stdout": "", "stderr": ""})["msg"])


class Clock(unittest.TestCase):
    def test_the_clock_is_asked_again_only_while_the_answer_is_unsure(self):
        self.assertTrue(preflight.is_sure((3.0, 20.0), 500))
        self.assertFalse(preflight.is_sure((3.0, 80.0), 500))
        # So near to the limit that the error decides.
        self.assertFalse(preflight.is_sure((490.0, 20.0), 500))


class MachineFiles(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "deep", "file")
        self.owner = machine_files.pwd.getpwuid(os.getuid()).pw_name

    def tearDown(self):
        self.folder.cleanup()

    def test_what_differs_is_written_once_and_then_left_alone(self):
        first, second = machine_files.Files(False), machine_files.Files(False)
        for files in (first, second):
            files.file(self.path, "text\n", mode="0600", owner=self.owner)
            files.link(self.path + ".link", self.path)
        self.assertEqual(first.changed_paths, [self.path, self.path + ".link"])
        self.assertEqual(second.changed_paths, [])
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o600)

    def test_looking_changes_nothing_and_says_what_would(self):
        files = machine_files.Files(True)
        files.file(self.path, "text\n", owner=self.owner)
        files.folder(os.path.join(self.folder.name, "other"), owner=self.owner)
        self.assertEqual(len(files.changed_paths), 2)
        self.assertEqual(os.listdir(self.folder.name), [])

    def test_a_link_waits_for_what_must_come_first(self):
        files = machine_files.Files(False)
        files.link(self.path, "release", once=self.path + ".VERSION")
        self.assertEqual((files.changed_paths, files.waiting_paths), ([], [self.path]))
        files.file(self.path + ".VERSION", "1\n", owner=self.owner)
        files.link(self.path, "release", once=self.path + ".VERSION")
        self.assertEqual(os.readlink(self.path), "release")

    def test_what_must_not_be_there_goes(self):
        files = machine_files.Files(False)
        files.file(self.path, "text\n", owner=self.owner)
        files.remove(self.path)
        files.remove(self.path)
        self.assertFalse(os.path.exists(self.path))


if __name__ == "__main__":
    unittest.main()
