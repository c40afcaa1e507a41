# SPDX-License-Identifier: Apache-2.0
"""Packet sizes: as large as each path carries, and errors that say so where it does not."""
import json
import re
import socket

import pytest
from conftest import address_of
from machine import wait_for
from traffic import Server, family_of, ping

HEADERS = {"v4": 28, "v6": 48}
OVERHEAD = {"v4": 50}  # the underlay between the nodes is IPv4


def default_route_mtu(pod, family):
    """Of the pod's default route; where it names none, the device's."""
    flag = "-4" if family == "v4" else "-6"
    metrics = json.loads(pod.exec(f"ip {flag} -j route show default").stdout)[0].get("metrics") or [{}]
    return metrics[0].get("mtu") or device_mtu(pod)


def device_mtu(ns, device="eth0"):
    return json.loads(ns.exec(f"ip -j link show {device}").stdout)[0]["mtu"]


def fits(pod, address, family, packet_size):
    return ping(pod, address, 1, packet_size - HEADERS[family], ["-M", "do"], timeout=1)[1] == 1


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_native_pods_use_the_whole_link_N12(make_lab, family):
    lab = make_lab("aa")
    for node in lab.nodes:
        node.start_agent({"routing": "native"})
    a, c = lab.nodes[0].add_pod("a"), lab.nodes[1].add_pod("c")

    assert device_mtu(a) == default_route_mtu(a, family) == 1500
    assert fits(a, address_of(c, family), family, 1500)
    assert not fits(a, address_of(c, family), family, 1501)


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("path", ["native", "vxlan", "outside"])
def test_overlay_leaves_room_for_its_headers_N12(cluster, path, family):
    assert default_route_mtu(cluster.a, family) == 1450
    assert fits(cluster.a, address_of(cluster.peer(path), family), family, 1450)
    assert not fits(cluster.a, address_of(cluster.peer(path), family), family, 1451)


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_pods_of_one_node_use_the_whole_device_beside_an_overlay_N7(cluster, family):
    assert device_mtu(cluster.a) == 1500 and default_route_mtu(cluster.a, family) == 1450
    assert fits(cluster.a, address_of(cluster.peer("same-node"), family), family, 1500)
    assert not fits(cluster.a, address_of(cluster.peer("same-node"), family), family, 1501)


def test_pods_follow_the_uplinks_mtu(make_lab):
    lab = make_lab("aa")
    n1, n2 = lab.nodes
    for node in lab.nodes:
        node.start_agent({"routing": "native"})
    a, c = n1.add_pod("a"), n2.add_pod("c")

    for mtu in (1400, 1500):
        for node in lab.nodes:
            node.exec(f"ip link set eth0 mtu {mtu}")
        wait_for(lambda mtu=mtu: {device_mtu(a), device_mtu(c)} == {mtu}, 5, f"pods' MTU {mtu}")
        assert fits(a, c.ipv4, "v4", mtu) and fits(a, c.ipv6, "v6", mtu)
    assert device_mtu(n1.add_pod("late")) == 1500


def bad_conditions(node):
    return {c["name"]: c["message"] for c in node.status()["conditions"] if not c["ok"]}


def only_ipv6_is_missed(node):
    """The node's own IPv6 address may go with the rest: the kernel has none on a device that small."""
    return "mtu" in bad_conditions(node) and set(bad_conditions(node)) <= {"mtu", "node"}


@pytest.mark.parametrize("routing,mtu,left", [("vxlan", 1300, 1250), ("native", 1200, 1200)])
def test_uplink_that_is_too_small_for_ipv6_is_told_and_ipv4_goes_on_N12(make_lab, routing, mtu, left):
    lab = make_lab("aa")
    n1, n2 = lab.nodes
    for node in lab.nodes:
        node.start_agent({"routing": routing})
    old, neighbour, far = n1.add_pod("old"), n1.add_pod("neighbour"), n2.add_pod("far")

    for node in lab.nodes:
        node.exec(f"ip link set eth0 mtu {mtu}")
    for node in lab.nodes:
        wait_for(lambda node=node: only_ipv6_is_missed(node), 15, f"{node.name}: the report")

    assert f"uplink MTU {mtu} leaves {left} for pods, IPv6 needs 1280: raise it or set ipv6: false" in \
        bad_conditions(n1)["mtu"]
    new = n1.add_pod("new")
    assert new.ipv6 is None and default_route_mtu(new, "v4") == left
    for pod in (new, old):
        assert fits(pod, far.ipv4, "v4", left) and not fits(pod, far.ipv4, "v4", left + 1)
    assert ping(old, neighbour.ipv6, 1)[1] == 1  # what it had on the node it keeps
    for node in lab.nodes:
        node.restart_agent(config={"routing": routing})
        assert only_ipv6_is_missed(node)

    for node in lab.nodes:
        node.exec(f"ip link set eth0 mtu 1500; ip addr add {node.ipv6}/64 dev eth0 nodad || true")
    for node in lab.nodes:
        wait_for(lambda node=node: not bad_conditions(node), 15, f"{node.name}: the end of the report")
    late = n1.add_pod("late")
    for pod in (late, old):
        wait_for(lambda pod=pod: ping(pod, far.ipv6, 1, timeout=1)[1] == 1, 5, f"{pod} -> {far.ipv6}")


@pytest.mark.parametrize("off,kept,flag", [("ipv4", "ipv6", "-4"), ("ipv6", "ipv4", "-6")])
def test_pod_has_no_address_of_a_family_that_is_off(make_lab, off, kept, flag):
    lab = make_lab("aa")
    for node in lab.nodes:
        node.start_agent({off: False})
    a, b, c = lab.nodes[0].add_pod("a"), lab.nodes[0].add_pod("b"), lab.nodes[1].add_pod("c")

    assert getattr(a, off) is None
    assert a.exec(f"ip {flag} addr show dev eth0 scope global; ip {flag} route show default").stdout == ""
    for peer in (b, c, lab.outside):
        assert ping(a, getattr(peer, kept), 1)[1] == 1
    assert all(c["ok"] for c in lab.nodes[0].status()["conditions"])
    assert [pool["cidr"] for pool in lab.nodes[0].status()["pools"]] == [lab.nodes[0].pod_cidrs[kept == "ipv6"]]


def test_mtu_of_the_network_configuration(make_lab):
    node = make_lab("a").nodes[0]
    node.start_agent()
    small, big = node.add_pod("small", version="1.1.0", mtu=1300), node.add_pod("big")

    for _ in range(2):
        host_end = small.result["interfaces"][0]
        assert device_mtu(small) == device_mtu(node, host_end["name"]) == 1300
        assert [each["mtu"] for each in small.result["interfaces"]] == [1300, 1300]
        assert default_route_mtu(small, "v4") == default_route_mtu(small, "v6") == 1300
        for family in ("v4", "v6"):
            assert fits(small, address_of(big, family), family, 1300)
            assert fits(big, address_of(small, family), family, 1300)
        node.restart_agent()


class Sink(Server):
    """Takes bytes until the sender has finished, then says how many: all data flows one way."""

    def __init__(self, ns, address):
        super().__init__(ns, address, socket.SOCK_STREAM)

    def _serve(self):
        while self._readable(self._socket):
            connection, peer = self._socket.accept()
            self.peers.append(peer[:2])
            with connection:
                count = 0
                while data := connection.recv(65536):
                    count += len(data)
                connection.sendall(str(count).encode())


def upload(ns, address, port, size):
    with ns.socket(family_of(address), socket.SOCK_STREAM) as sock:
        sock.settimeout(10)
        sock.connect((address, port))
        sock.sendall(b"u" * size)
        sock.shutdown(socket.SHUT_WR)
        return int(sock.recv(64))


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_size_error_from_the_outside_reaches_the_pod(make_lab, family):
    """A router behind the uplink has a smaller link: its error is about the translated packet."""
    lab = make_lab("a")
    lab.fabric.exec("ip link set p-outside mtu 1400")
    lab.nodes[0].start_agent()
    pod, address = lab.nodes[0].add_pod("a"), address_of(lab.outside, family)

    _, received, text = ping(pod, address, 2, 1472 - 20 * (family == "v6"), ["-M", "do"], timeout=1)
    assert received == 0
    assert re.search(r"mtu ?= ?1400|mtu: 1400", text), text

    with Sink(lab.outside, address) as sink:
        assert upload(pod, address, sink.port, 300000) == 300000
