# SPDX-License-Identifier: Apache-2.0
"""A plain pod network, to compare with: the reference plugins make a bridge on each node, and routes are static."""
import json

PLUGINS = ("bridge", "host-local", "portmap")
CONFLIST = "/etc/cni/net.d/10-bridge.conflist"


def family(cidr):
    return 6 if ":" in cidr else 4


def conflist(pod_cidrs):
    default = {4: "0.0.0.0/0", 6: "::/0"}
    return {"cniVersion": "1.0.0", "name": "bridge", "plugins": [
        {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True,
         "ipam": {"type": "host-local", "ranges": [[{"subnet": cidr}] for cidr in pod_cidrs],
                  "routes": [{"dst": default[family(cidr)]} for cidr in pod_cidrs]}},
        {"type": "portmap", "capabilities": {"portMappings": True}}]}


def address_of(machine, cidr):
    return machine.ipv6 if family(cidr) == 6 else machine.ipv4


def add_routes(machine, pod_cidrs, owner):
    for cidr in pod_cidrs:
        machine.exec(["ip", f"-{family(cidr)}", "route", "replace", cidr, "via", address_of(owner, cidr)])


def install(cluster):
    """On every node of now; again after a node came, went or booted. Pods keep their own addresses to the outside."""
    for node in cluster.nodes:
        pod_cidrs = cluster.pod_cidrs(node.name)
        node.install_plugins(*PLUGINS)
        add_routes(cluster.lab.fabric, pod_cidrs, node.node)
        for other in cluster.nodes:
            if other is not node and other.node.subnet == node.node.subnet:
                add_routes(other.node, pod_cidrs, node.node)
        with open(node.node.fs + CONFLIST, "w") as out:
            json.dump(conflist(pod_cidrs), out, indent=1)
