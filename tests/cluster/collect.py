# SPDX-License-Identifier: Apache-2.0
"""What is kept of a failed test: logs, events, objects, pinned maps and addresses of every node, in one folder."""
import os
import re
import shutil
import subprocess
import time

import build

NODE_COMMANDS = {
    "ip": "ip -d addr; ip -4 route show table all; ip -6 route show table all; ip neigh; ip rule; ip -s link",
    "processes": "ps -eo pid,ppid,stat,etime,args",
    "bpf": "bpftool net; find /sys/fs/bpf -mindepth 1 | sort",
    "firewall": "nft list ruleset; iptables-save",
    "runtime": "ctr -n k8s.io containers ls; ctr -n k8s.io tasks ls",
    "cni": "ls -l /etc/cni/net.d /opt/cni/bin; cat /etc/cni/net.d/*",
}
CLUSTER_COMMANDS = {
    "objects": ["get", "nodes,pods,services,endpointslices,daemonsets,deployments", "-A", "-o", "wide"],
    "events": ["get", "events", "-A", "--sort-by=.metadata.creationTimestamp"],
    "pods.yaml": ["get", "pods", "-A", "-o", "yaml"],
    "nodes.yaml": ["get", "nodes", "-o", "yaml"],
}
PINS = "/sys/fs/bpf/sluice"


def logs_dir():
    return os.environ.get("SLUICE_TEST_LOGS") or os.path.join(build.TOP, "build", "test-logs")


def new_folder(test):
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", test)
    path = os.path.join(logs_dir(), f"cluster-{safe}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}")
    os.makedirs(path)
    return path


def keep(folder, name, command):
    """Runs `command()`; whatever becomes of it is written: a part that fails must not hide the others."""
    try:
        done = command()
        text = done.stdout + done.stderr
    except (OSError, subprocess.SubprocessError, AssertionError) as error:
        text = f"could not be read: {error}\n"
    with open(os.path.join(folder, name), "w") as out:
        out.write(text)


def copy_logs(source, folder):
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(source):
        if name.endswith(".log"):
            shutil.copy(os.path.join(source, name), folder)


def collect_node(node, folder):
    copy_logs(node.logs, folder)
    if os.path.exists(node.node.log):
        shutil.copy(node.node.log, os.path.join(folder, "agent.log"))
    if not node.node.is_alive():
        with open(os.path.join(folder, "off.txt"), "w") as out:
            out.write("the node is powered off\n")
        return
    for name, command in NODE_COMMANDS.items():
        keep(folder, f"{name}.txt", lambda c=command: node.node.exec(c, check=False))
    collect_maps(node.node, folder)
    pods = node.node.fs + "/var/log/pods"
    if os.path.isdir(pods):
        shutil.copytree(pods, os.path.join(folder, "pods"), dirs_exist_ok=True, ignore_dangling_symlinks=True)


def collect_maps(machine, folder):
    """Every pinned map of Sluice, and what its own command line says of them."""
    found = machine.exec(["find", PINS, "-type", "f"], check=False).stdout.split()
    for path in found:
        name = "map-" + path[len(PINS):].strip("/").replace("/", "-") + ".txt"
        keep(folder, name, lambda p=path: machine.exec(["bpftool", "map", "dump", "pinned", p], check=False))
    if found:
        for words in (["status"], ["endpoint", "list"], ["drops"], ["observe", "--last", "500"]):
            keep(folder, f"sluice-{'-'.join(words)}.txt", lambda w=words: machine.cli(*w, check=False))


def collect(cluster, test):
    """Returns the folder."""
    folder = new_folder(test)
    if cluster.lab is None:
        return folder
    plane = getattr(cluster, "plane", None)
    if plane:
        copy_logs(plane.dir, os.path.join(folder, "control"))
        for name, words in CLUSTER_COMMANDS.items():
            keep(folder, name if "." in name else f"{name}.txt", lambda w=words: plane.kubectl(*w, check=False))
    for node in cluster.nodes:
        collect_node(node, os.path.join(folder, node.name))
    return folder
