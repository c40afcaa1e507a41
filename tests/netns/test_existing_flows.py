# SPDX-License-Identifier: Apache-2.0
"""What ran on a machine before Sluice came stays as it was."""
import contextlib

import pytest
from conftest import address_of
from netns import Netns
from traffic import PingStream, TcpEcho, TcpStream, UdpEcho, UdpStream, ping, tcp_once


def foreign_pod(node, other):
    """A veth pod of another CNI: routed by the host, unknown to any manifest."""
    node.make_netns("alien")
    node.exec("""set -e
        ip link add alien0 type veth peer name eth0 netns alien
        ip link set alien0 up; ip addr add 10.99.0.1/24 dev alien0; ip addr add fd99::1/64 dev alien0 nodad
        ip -n alien link set lo up; ip -n alien link set eth0 up
        ip -n alien addr add 10.99.0.2/24 dev eth0; ip -n alien addr add fd99::2/64 dev eth0 nodad
        ip -n alien route add default via 10.99.0.1; ip -n alien -6 route add default via fd99::1""")
    other.exec(f"ip route add 10.99.0.0/24 via {node.ipv4}; ip -6 route add fd99::/64 via {node.ipv6}")
    pod = Netns(node.fs + "/run/netns/alien", "alien")
    pod.ipv4, pod.ipv6 = "10.99.0.2", "fd99::2"
    return pod


def test_flows_older_than_the_agent_survive_N14(make_lab):
    lab = make_lab("aa")
    n1, n2 = lab.nodes
    alien = foreign_pod(n1, n2)
    with contextlib.ExitStack() as stack:
        streams = []
        for client in (n1, alien):
            for family in ("v4", "v6"):
                address = address_of(n2, family)
                tcp = stack.enter_context(TcpEcho(n2, address))
                udp = stack.enter_context(UdpEcho(n2, address))
                streams += [TcpStream(client, address, tcp.port).start(),
                            UdpStream(client, address, udp.port).start(), PingStream(client, address).start()]

        for node in lab.nodes:
            node.start_agent()
        n1.add_pod("a")

        for stream in streams:
            assert stream.stop() > 0
            assert getattr(stream, "lost", 0) == 0, stream


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_pods_of_another_cni_keep_working_beside_ours(make_lab, family):
    lab = make_lab("aa")
    n1, n2 = lab.nodes
    alien = foreign_pod(n1, n2)
    for node in lab.nodes:
        node.start_agent()
    pod = n1.add_pod("a")

    with TcpEcho(n2, address_of(n2, family)) as server:
        tcp_once(alien, address_of(n2, family), server.port)
        assert server.peers[0][0] == address_of(alien, family)  # not translated: not a pod of ours
    with TcpEcho(alien, address_of(alien, family)) as server:
        tcp_once(n2, address_of(alien, family), server.port)
    sent, received, text = ping(pod, address_of(alien, family))
    assert received == sent, text
