#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Several nodes on one machine, each with namespaces of its own, joined by a router that no test host shares.

    nodes.py up [--nodes 2] [--subnets a,a] [--name demo]   makes a lab that stays; prints its folder
    nodes.py exec LAB NODE COMMAND...                       runs a command in a node
    nodes.py clean [LAB]                                    removes a lab, or whatever crashed runs left behind

A lab: `fabric` (router with a bridge per subnet), nodes n1.. with 172.30.S.1N/24 and fd30:0:0:S::1N/64, and `outside`
(172.30.200.10, fd30:0:0:c8::10), which knows no pod range: a pod reaches it only with the node's address.
"""
import argparse
import atexit
import ipaddress
import json
import os
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from machine import Machine, kill_and_wait, remove_cgroup, start_time  # noqa: E402
from node import Node  # noqa: E402

PREFIX = "sluice-lab-"
OUTSIDE_SUBNET = 200


def base_dir():
    return os.environ.get("SLUICE_LAB_DIR", tempfile.gettempdir())


class Lab:
    """subnets: one letter per node, e.g. "ab" puts n1 and n2 on different subnets. Use as a context manager."""

    def __init__(self, subnets="aa", tied=True, mtu=1500, outside_mtu=1500):
        self.tied, self.mtu = tied, mtu
        self.dir = tempfile.mkdtemp(prefix=PREFIX, dir=base_dir())
        os.chmod(self.dir, 0o755)
        self.name = os.path.basename(self.dir)
        self.manifests = os.path.join(self.dir, "manifests")
        os.mkdir(self.manifests)
        self.machines, self.nodes = [], []
        self._owner = os.getpid()
        self._write_record()
        if tied:
            atexit.register(self.destroy)
            self._signals()
        try:
            self.fabric = Machine(self, "fabric")
            self._router()
            self.outside = Machine(self, "outside")
            self._plug(self.outside, OUTSIDE_SUBNET, 10, outside_mtu)
            for letter in subnets:
                self.add_node(ord(letter) - ord("a"))
        except BaseException:
            self.destroy()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.destroy()

    def _signals(self):
        def leave(number, _):
            self.destroy()
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, leave)

    def remember(self, machine):
        if machine not in self.machines:  # it is there already when it boots again
            self.machines.append(machine)
        self._write_record()

    def _write_record(self):
        record = {"owner": self._owner if self.tied else 0, "owner_started": start_time(self._owner),
                  "machines": [{"name": os.path.basename(m.root), "pid": m.pid, "started": m.started,
                                "cgroup": m.cgroup if m.full else None} for m in self.machines]}
        with open(os.path.join(self.dir, "lab.json.new"), "w") as out:
            json.dump(record, out)
        os.rename(os.path.join(self.dir, "lab.json.new"), os.path.join(self.dir, "lab.json"))

    def _router(self):
        self._subnets = set()
        self.fabric.exec("ip link set lo up; sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 "
                         "net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 "
                         "net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0")

    def _plug(self, machine, subnet, host, mtu):
        """A cable from the machine's eth0 to the router's bridge of that subnet."""
        bridge, port = f"br{subnet}", f"p-{machine.name}"
        lines = []
        if subnet not in self._subnets:
            self._subnets.add(subnet)
            lines += [f"ip link add {bridge} type bridge", f"ip addr add 172.30.{subnet}.1/24 dev {bridge}",
                      f"ip addr add fd30:0:0:{subnet:x}::1/64 dev {bridge} nodad", f"ip link set {bridge} up"]
        # Plugged in again it is the same network card: neighbours know its address still.
        card = f"address {machine.mac}" if machine.mac else ""
        lines += [f"ip link add {port} mtu {mtu} type veth peer name eth0 {card} mtu {mtu} netns {machine.pid}",
                  f"ip link set {port} master {bridge} up"]
        self.fabric.exec("set -e; " + "; ".join(lines))
        machine.subnet, machine.host, machine.mtu = subnet, host, mtu
        machine.ipv4 = f"172.30.{subnet}.{host}"
        machine.ipv6 = str(ipaddress.ip_address(f"fd30:0:0:{subnet:x}::{host}"))
        machine.exec(f"""set -e
            sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.eth0.accept_dad=0
            ip link set lo up; ip link set eth0 up
            ip addr add {machine.ipv4}/24 dev eth0; ip addr add {machine.ipv6}/64 dev eth0 nodad
            ip route add default via 172.30.{subnet}.1; ip -6 route add default via fd30:0:0:{subnet:x}::1""")
        machine.mac = json.loads(machine.exec("ip -j link show eth0").stdout)[0]["address"]

    def add_node(self, subnet=0, name=None, host=None, **options):
        """host: the last part of its addresses. A name may come back with another one after remove()."""
        index = 1 + max((node.index for node in self.nodes), default=0)
        node = Node(self, name or f"n{index}", index, **options)
        self.nodes.append(node)
        self._plug(node, subnet, host or 10 + index, self.mtu)
        self._forward(node)
        return node

    def add_machine(self, name, subnet, host):
        """A machine with all namespaces that is no node."""
        machine = Machine(self, name, full=True, bpffs=False)
        self._plug(machine, subnet, host, self.mtu)
        return machine

    @staticmethod
    def _forward(node):
        node.exec("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")

    def _unplug(self, machine):
        # The kernel takes it away with the machine's namespace, but not at once, and its name is needed again.
        self.fabric.exec(["ip", "link", "del", f"p-{machine.name}"], check=False)

    def reboot(self, node):
        """Power off and on: processes, mounts of its own, devices and pins are gone; files and addresses stay."""
        node.power_off()
        self._unplug(node)
        node.power_on()
        self._plug(node, node.subnet, node.host, node.mtu)
        self._forward(node)

    def readdress(self, machine, host):
        """Other addresses on the same cable, while everything runs."""
        self._unplug(machine)
        self._plug(machine, machine.subnet, host, machine.mtu)

    def remove(self, machine):
        machine.destroy()
        self._unplug(machine)
        self.machines.remove(machine)
        if machine in self.nodes:
            self.nodes.remove(machine)
        self._write_record()

    # --- manifests: one file, any number of objects; in place at once, as an editor or kubectl would do ---

    def write_manifest(self, filename, *objects):
        self.write_text(filename, "\n---\n".join(json.dumps(thing, indent=1) for thing in objects) + "\n")

    def write_text(self, filename, text):
        path = os.path.join(self.manifests, filename)
        """text: "\\udcff" is the byte ff, which no text has."""
        with open(os.path.join(self.dir, "new-" + filename), "w", errors="surrogateescape") as out:
            out.write(text)
        os.rename(out.name, path)

    def publish_nodes(self):
        self.write_manifest("nodes.yaml", *[node.manifest() for node in self.nodes])

    def node(self, name):
        return next(node for node in self.nodes if node.name == name)

    def destroy(self):
        if os.getpid() != self._owner:
            return
        atexit.unregister(self.destroy)
        for machine in reversed(self.machines):
            machine.destroy()
        self.machines, self.nodes = [], []
        shutil.rmtree(self.dir, ignore_errors=True)


def remove_lab(folder):
    """Removes a lab by its record alone: processes by pid and start time, then cgroups, then files."""
    try:
        with open(os.path.join(folder, "lab.json")) as text:
            record = json.load(text)
    except FileNotFoundError:
        record = {"machines": []}
    for machine in record["machines"]:
        kill_and_wait(machine["pid"], machine["started"])
        if machine["cgroup"]:
            remove_cgroup(machine["cgroup"])
    shutil.rmtree(folder, ignore_errors=True)


def is_abandoned(folder):
    try:
        with open(os.path.join(folder, "lab.json")) as text:
            record = json.load(text)
    except OSError:  # died, or is just being made by another process
        return time.time() - os.stat(folder).st_mtime > 60
    return record["owner"] != 0 and start_time(record["owner"]) != record["owner_started"]


def clean(folder=None):
    """With a folder: that lab. Without: every lab whose owner is gone. Returns the folders removed."""
    if folder:
        found = [folder]
    else:
        names = sorted(n for n in os.listdir(base_dir()) if n.startswith(PREFIX))
        found = [p for p in (os.path.join(base_dir(), n) for n in names) if os.path.isdir(p) and is_abandoned(p)]
    for path in found:
        remove_lab(path)
    return found


def machine_of(folder, name):
    with open(os.path.join(folder, "lab.json")) as text:
        record = json.load(text)
    found = [m for m in record["machines"] if m["name"] == name]
    if not found or start_time(found[0]["pid"]) != found[0]["started"]:
        raise SystemExit(f"nodes: no live machine {name} in {folder}; it has {[m['name'] for m in record['machines']]}")
    return found[0]


def enter_argv(machine, command):
    spaces = ["-n", "-m", "-p", "-u", "-i", "-C"] if machine["cgroup"] else ["-n"]
    return ["nsenter", "-t", str(machine["pid"])] + spaces + ["--"] + command


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up")
    up.add_argument("--subnets", default="aa", help='one letter per node: "aa" same subnet, "ab" two subnets')
    execute = verbs.add_parser("exec")
    execute.add_argument("lab")
    execute.add_argument("node")
    execute.add_argument("command", nargs=argparse.REMAINDER)
    cleaner = verbs.add_parser("clean")
    cleaner.add_argument("lab", nargs="?")
    args = parser.parse_args()
    if args.verb == "up":
        print(Lab(args.subnets, tied=False).dir)
    elif args.verb == "exec":
        argv = enter_argv(machine_of(args.lab, args.node), args.command or ["bash"])
        os.execvp(argv[0], argv)
    else:
        for path in clean(args.lab):
            print("removed", path)


if __name__ == "__main__":
    main()
