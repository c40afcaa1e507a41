# SPDX-License-Identifier: Apache-2.0
"""The ways between two pods that the benchmarks compare: ours, the kernel's bare devices, Debian's bridge plugin."""
import json
import os
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "tests", "nodes"))
import cni  # noqa: E402
from netns import Netns  # noqa: E402


class Path:
    """client: where the load runs; server: where netload serves; address: of the server."""

    def __init__(self, name, group, client, server, address, limit=False):
        self.name, self.group, self.client, self.server, self.address = name, group, client, server, address
        self.limit = limit


def space(node, name):
    return Netns(node.fs + node.make_netns(name), f"{node.name}/{name}")


def ours(node, other, name, group):
    slug = "".join(letter if letter.isalnum() else "-" for letter in group)
    client, server = node.add_pod(f"c-{slug}"), other.add_pod(f"s-{slug}")
    return Path(name, group, client, server, server.ipv4)


def bare_veth(node):
    """The physical limit on one node: two namespaces and the pair between them."""
    client, server = space(node, "va"), space(node, "vb")
    node.exec("""set -e
        ip link add va0 netns va type veth peer name vb0 netns vb
        ip -n va addr add 10.99.0.1/24 dev va0; ip -n va link set va0 up
        ip -n vb addr add 10.99.0.2/24 dev vb0; ip -n vb link set vb0 up""")
    return Path("plain veth pair", "same node", client, server, "10.99.0.2", limit=True)


def routed_end(node, name, subnet, mtu):
    """A namespace behind a veth of the node, routed by the kernel."""
    end = space(node, name)
    node.exec(f"""set -e
        ip link add {name}h mtu {mtu} type veth peer name {name}0 mtu {mtu} netns {name}
        ip addr add 10.{subnet}.{node.index}.1/24 dev {name}h; ip link set {name}h up
        ip -n {name} addr add 10.{subnet}.{node.index}.2/24 dev {name}0; ip -n {name} link set {name}0 up
        ip -n {name} route add default via 10.{subnet}.{node.index}.1""")
    return end


def bare_routed(node, other):
    client, server = routed_end(node, "r", 98, 1500), routed_end(other, "r", 98, 1500)
    for here, there in ((node, other), (other, node)):
        here.exec(f"ip route add 10.98.{there.index}.0/24 via {there.ipv4}")
    return Path("plain routed veth", "across nodes", client, server, f"10.98.{other.index}.2", limit=True)


def bare_vxlan(node, other):
    client, server = routed_end(node, "k", 96, 1450), routed_end(other, "k", 96, 1450)
    for here, there in ((node, other), (other, node)):
        here.exec(f"""set -e
            ip link add kvx type vxlan id 99 dstport 4799 local {here.ipv4} remote {there.ipv4} dev eth0
            ip addr add 10.97.0.{here.index}/24 dev kvx; ip link set kvx up
            ip route add 10.96.{there.index}.0/24 via 10.97.0.{there.index}""")
    return Path("kernel VXLAN", "across nodes, VXLAN", client, server, f"10.96.{other.index}.2", limit=True)


def bridge_conf(node):
    return {"cniVersion": "1.0.0", "name": "peer", "type": "bridge", "bridge": "peer0", "isGateway": True,
            "ipam": {"type": "host-local", "subnet": f"10.95.{node.index}.0/24", "dataDir": f"{node.root}/host-local",
                     "routes": [{"dst": "0.0.0.0/0"}]}}


def bridge_pod(node, name):
    netns = node.make_netns(name)
    result = cni.call(node, "ADD", bridge_conf(node), cni.pod_env(f"peer-{name}", netns), plugin="/usr/lib/cni/bridge")
    return Netns(node.fs + netns, f"{node.name}/{name}"), result["ips"][0]["address"].split("/")[0]


def bridge_paths(node, other):
    client, _ = bridge_pod(node, "bc")
    near, near_address = bridge_pod(node, "bs")
    far, far_address = bridge_pod(other, "bs")
    for here, there in ((node, other), (other, node)):
        here.exec(f"ip route add 10.95.{there.index}.0/24 via {there.ipv4}")
    return [Path("bridge plugin", "same node", client, near, near_address),
            Path("bridge plugin", "across nodes", client, far, far_address)]


def write_conf(node, name, conf):
    path = f"{node.root}/{name}.conf"
    with open(path, "w") as out:
        json.dump(conf, out)
    return path
