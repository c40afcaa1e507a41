# SPDX-License-Identifier: Apache-2.0
"""What else translates on the node: the kernel's masquerading for other containers, portmap behind us."""
import contextlib
import socket

import cni
import pytest
from conftest import address_of, dropped
from netns import Netns
from traffic import TcpEcho, UdpEcho, tcp_once
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
