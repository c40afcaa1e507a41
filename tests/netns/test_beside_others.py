# SPDX-License-Identifier: Apache-2.0
"""What else translates on the node: the kernel's masquerading for other containers, portmap behind us, devices not ours."""
import contextlib
import socket

import cni
import pytest
from conftest import address_of, dropped
from machine import wait_for
from netns import Netns
from traffic import TcpEcho, UdpEcho, ping, tcp_once
from test_snat import connect, small_range

ALIEN = {"v4": ("10.99.0.1", "10.99.0.2", "24", "iptables", "10.99.0.0/24"),
         "v6": ("fd99::1", "fd99::2", "64", "ip6tables", "fd99::/64")}


def masqueraded(node, family):
    """A container of somebody else, behind the kernel's own translation."""
    gateway, own, bits, iptables, network = ALIEN[family]
    node.exec(f"""set -e
        ip netns add alien; ip link add alien0 type veth peer name eth0 netns alien
        ip link set alien0 up; ip address add {gateway}/{bits} dev alien0 nodad
        ip -n alien link set lo up; ip -n alien link set eth0 up; ip -n alien address add {own}/{bits} dev eth0 nodad
        ip -n alien route add default via {gateway}
        {iptables} -t nat -A POSTROUTING -s {network} -o eth0 -j MASQUERADE""")
    return Netns(f"{node.fs}/run/netns/alien", "alien"), own


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["tcp", "udp"])
def test_ports_that_the_kernel_translates_to_are_left_alone_S15(make_lab, family, kind):
    """The range has two ports, and a masqueraded container talks to the same server from both."""
    lab, node, pod = small_range(make_lab, 20000, 20001)
    alien, own = masqueraded(node, family)
    address = address_of(lab.outside, family)
    server_type = TcpEcho if kind == socket.SOCK_STREAM else UdpEcho
    with server_type(lab.outside, address) as server, contextlib.ExitStack() as stack:
        theirs = [stack.enter_context(connect(alien, address, server.port, kind, (own, port))) for port in (20000, 20001)]
        for sock in theirs:
            sock.send(b"alien")
            assert sock.recv(10) == b"alien"
        with pytest.raises(OSError):
            ours = stack.enter_context(connect(pod, address, server.port, kind, timeout=1))
            ours.send(b"pod")
            ours.recv(10)
        assert dropped(node, "SNAT_EXHAUSTED") > 0
        for sock in theirs:
            sock.send(b"still")
            assert sock.recv(10) == b"still"


def test_portmap_behind_us_is_reached_from_everywhere_N8(make_lab):
    """The stack rewrites the destination before it hands over the packet: the answers have to pass it again."""
    lab = make_lab("ab")
    node, other = lab.nodes
    for each in (node, other):
        each.start_agent()
    pod, near, far = node.add_pod("web"), node.add_pod("near"), other.add_pod("far")
    conf = {"cniVersion": "1.0.0", "name": cni.NETWORK, "type": "portmap", "capabilities": {"portMappings": True},
            "prevResult": pod.result,
            "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}}
    cni.call(node, "ADD", conf, pod.env(), plugin="/usr/lib/cni/portmap")
    with TcpEcho(pod, pod.ipv4, 80):
        for client in (lab.outside, node, other, near, far):
            tcp_once(client, node.ipv4, 8080)


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_no_pods_address_leaves_by_a_device_that_is_not_ours_S14(make_lab, family):
    lab = make_lab("a")
    node = lab.nodes[0]
    lab.fabric.exec(f"""set -e
        ip link add side type bridge; ip link set side up
        ip address add 10.77.0.1/24 dev side; ip address add fd77::1/64 dev side nodad
        ip link add side1 type veth peer name eth1 netns {node.pid}; ip link set side1 master side up""")
    node.exec("""set -e
        ip link set eth1 up; ip address add 10.77.0.2/24 dev eth1; ip address add fd77::2/64 dev eth1 nodad""")
    node.start_agent()
    pod = node.add_pod("a")
    address = {"v4": "10.77.0.1", "v6": "fd77::1"}[family]

    assert ping(pod, address, 2, timeout=1)[1] == 0
    assert dropped(node, "SNAT_NO_UPLINK", "default/a") + dropped(node, "SNAT_NO_UPLINK", "demo/a") == 2

    node.restart_agent(config={"devices": ["eth*"]})
    wait_for(lambda: ping(pod, address, 1, timeout=1)[1] == 1, 5, "the way out by a device that is ours now")
