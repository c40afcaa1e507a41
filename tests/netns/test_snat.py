# SPDX-License-Identifier: Apache-2.0
"""Source translation to the outside: only there, only with ports that are free, and back again."""
import contextlib
import socket
import threading

import pytest
from conftest import address_of, dropped
from machine import wait_for
from traffic import TcpEcho, TcpStream, UdpEcho, family_of, ping, tcp_once, udp_once

RANGE = range(10240, 30000)


def small_range(make_lab, first, last):
    lab = make_lab("a")
    lab.nodes[0].start_agent({"snat": {"portMin": first, "portMax": last}})
    return lab, lab.nodes[0], lab.nodes[0].add_pod("a")


def connect(ns, address, port, kind=socket.SOCK_STREAM, source=None, timeout=2):
    sock = ns.socket(family_of(address), kind)
    try:
        sock.settimeout(timeout)
        if source:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(source)
        sock.connect((address, port))
        return sock
    except BaseException:
        sock.close()
        raise


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("server_type,once", [(TcpEcho, tcp_once), (UdpEcho, udp_once)], ids=["tcp", "udp"])
def test_translated_ports_come_from_the_range_S14(cluster, family, server_type, once):
    address = address_of(cluster.outside, family)
    with server_type(cluster.outside, address) as server:
        for _ in range(50):
            once(cluster.a, address, server.port)
            once(cluster.b, address, server.port)
        peers = list(server.peers)
    assert {ip for ip, _ in peers} == {address_of(cluster.n1, family)}
    assert all(port in RANGE for _, port in peers), peers


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_two_pods_with_one_source_port_S15(cluster, family):
    address = address_of(cluster.outside, family)
    with TcpEcho(cluster.outside, address) as server, contextlib.ExitStack() as stack:
        for pod in (cluster.a, cluster.b):
            stack.enter_context(connect(pod, address, server.port, source=(address_of(pod, family), 7777)))
        wait_for(lambda: len(server.peers) == 2, 3, "both connections")
        assert len(set(server.peers)) == 2


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["tcp", "udp"])
def test_ports_of_host_sockets_are_left_alone_S15(make_lab, family, kind):
    """The range has four ports and the node itself talks from one of them: three are left for pods."""
    lab, node, pod = small_range(make_lab, 20000, 20003)
    address = address_of(lab.outside, family)
    server_type = TcpEcho if kind == socket.SOCK_STREAM else UdpEcho
    with server_type(lab.outside, address) as server, contextlib.ExitStack() as stack:
        mine = stack.enter_context(connect(node, address, server.port, kind, (address_of(node, family), 20001)))
        for _ in range(3):
            sock = stack.enter_context(connect(pod, address, server.port, kind))
            sock.send(b"pod")
            assert sock.recv(10) == b"pod"
        mine.send(b"host")
        assert mine.recv(10) == b"host"
        assert sorted(set(port for _, port in server.peers)) == [20000, 20001, 20002, 20003]

        fourth = stack.enter_context(pod.socket(family_of(address), kind))
        fourth.settimeout(1)
        with pytest.raises((TimeoutError, OSError)):
            fourth.connect((address, server.port))
            fourth.send(b"one too many")
            fourth.recv(10)
        assert dropped(node, "SNAT_EXHAUSTED") > 0  # at the uplink, which has no pod
        mine.send(b"still")
        assert mine.recv(10) == b"still"


def test_host_server_in_the_range_keeps_its_clients_S15(make_lab):
    """A server of the node listens on a port of the range; clients from outside reach it while pods use the range."""
    lab, node, pod = small_range(make_lab, 20000, 20003)
    with TcpEcho(node, node.ipv4, 20002) as host_server, TcpEcho(lab.outside, lab.outside.ipv4) as server:
        for _ in range(3):
            tcp_once(pod, lab.outside.ipv4, server.port)
            tcp_once(lab.outside, node.ipv4, host_server.port)
        assert all(port != 20002 for _, port in server.peers)


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_full_range_serves_other_destinations_S15(make_lab, family):
    lab, node, pod = small_range(make_lab, 20000, 20001)
    address = address_of(lab.outside, family)
    with TcpEcho(lab.outside, address) as first, TcpEcho(lab.outside, address) as second, \
            contextlib.ExitStack() as stack:
        for server in (first, first, second, second):
            stack.enter_context(connect(pod, address, server.port))
        with pytest.raises(OSError):
            stack.enter_context(connect(pod, address, first.port, timeout=1))


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_ping_ids_do_not_clash_S15(cluster, family):
    """Two pods and the node ping the same host with the same echo id at the same time."""
    address, failures = address_of(cluster.outside, family), []

    def run(ns):
        sent, received, text = ping(ns, address, 30, options=["-e", "4242"])
        if received != sent or "DUP" in text:
            failures.append((ns, text))

    threads = [threading.Thread(target=run, args=(ns,)) for ns in (cluster.a, cluster.b, cluster.n1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_cluster_addresses_are_not_translated_S14(cluster):
    for path in ("same-node", "native", "vxlan", "own-node"):
        with TcpEcho(cluster.peer(path), cluster.peer(path).ipv4) as server:
            tcp_once(cluster.a, cluster.peer(path).ipv4, server.port)
            assert server.peers[0][0] == cluster.a.ipv4, path


def test_networks_that_know_the_pods_are_not_translated_S14(make_lab):
    lab = make_lab("a")
    node = lab.nodes[0]
    node.start_agent({"noTranslateCidrs": ["172.30.200.0/24", "fd30:0:0:c8::/64"]})
    pod = node.add_pod("a")
    lab.fabric.exec(f"ip route add {node.pod_cidrs[0]} via {node.ipv4}; "
                    f"ip -6 route add {node.pod_cidrs[1]} via {node.ipv6}")
    for family in ("v4", "v6"):
        address = address_of(lab.outside, family)
        with TcpEcho(lab.outside, address) as server:
            tcp_once(pod, address, server.port)
            assert server.peers[0][0] == address_of(pod, family)


def test_translated_stream_survives_the_hosts_own_traffic(cluster):
    address = cluster.outside.ipv4
    with TcpEcho(cluster.outside, address) as server:
        stream = TcpStream(cluster.a, address, server.port).start()
        for _ in range(200):
            tcp_once(cluster.n1, address, server.port)
        assert stream.stop() > 0
