# SPDX-License-Identifier: Apache-2.0
"""Every path x family x protocol, and who the far end sees."""
import time

import pytest
from conftest import address_of
from traffic import TcpEcho, TcpStream, UdpEcho, iperf3, ping, tcp_once, udp_once

PATHS = ["same-node", "native", "vxlan", "outside", "own-node", "other-node", "node-off-subnet"]
SERVERS = {"tcp": (TcpEcho, tcp_once), "udp": (UdpEcho, udp_once)}


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("path", PATHS)
def test_pod_reaches_peer_S14(cluster, path, family, protocol):
    peer = cluster.peer(path)
    server_type, once = SERVERS[protocol]
    address = address_of(peer, family)

    with server_type(peer, address) as server:
        for size in (1, 1000):
            once(cluster.a, address, server.port, b"x" * size)
        seen = {peer_address for peer_address, _ in server.peers}

    # Inside the cluster a pod is seen as itself, but for where what lies between knows no pod addresses.
    asker = cluster.n1 if path in ("outside", "node-off-subnet") else cluster.a
    assert seen == {address_of(asker, family)}


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("path", PATHS)
def test_pod_pings_peer(cluster, path, family):
    sent, received, text = ping(cluster.a, address_of(cluster.peer(path), family), 5)
    assert received == sent, text


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("path", ["native", "vxlan"])
def test_both_directions_of_one_pair(cluster, path, family):
    peer = cluster.peer(path)
    with TcpEcho(cluster.a, address_of(cluster.a, family)) as server:
        tcp_once(peer, address_of(cluster.a, family), server.port)
        assert server.peers[0][0] == address_of(peer, family)


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("pod,node", [("a", "n1"), ("c", "n1"), ("d", "n1")])
def test_node_reaches_pods_P7(cluster, pod, node, family):
    pod, node = getattr(cluster, pod), getattr(cluster, node)
    address = address_of(pod, family)

    with TcpEcho(pod, address) as tcp, UdpEcho(pod, address) as udp:
        tcp_once(node, address, tcp.port)
        udp_once(node, address, udp.port)
    sent, received, text = ping(node, address)

    assert received == sent, text


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("path", ["same-node", "native", "vxlan", "outside"])
def test_bulk_tcp_keeps_its_bytes(cluster, path, family):
    """Segmentation offload and checksums: large writes come back as they went."""
    peer = cluster.peer(path)
    with TcpEcho(peer, address_of(peer, family)) as server:
        stream = TcpStream(cluster.a, address_of(peer, family), server.port).start()
        time.sleep(0.3)
        assert stream.stop() > 1000
    assert iperf3(peer, cluster.a, address_of(peer, family), 1) > 50e6


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("path", ["same-node", "native", "vxlan", "outside"])
def test_large_datagrams_as_fragments(cluster, path, family):
    peer = cluster.peer(path)
    with UdpEcho(peer, address_of(peer, family)) as server:
        for size in (1472, 1473, 4000, 60000):
            udp_once(cluster.a, address_of(peer, family), server.port, bytes(i % 251 for i in range(size)))


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_refused_connection_is_refused_at_once(cluster, family):
    for path in ("same-node", "native", "vxlan", "outside"):
        began = time.monotonic()
        with pytest.raises(ConnectionRefusedError):
            tcp_once(cluster.a, address_of(cluster.peer(path), family), 9)
        assert time.monotonic() - began < 1, path


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_pod_reaches_itself(cluster, family):
    address = address_of(cluster.a, family)
    with TcpEcho(cluster.a, address) as server:
        tcp_once(cluster.a, address, server.port)


def test_observe_shows_the_flow(cluster):
    with TcpEcho(cluster.c, cluster.c.ipv4) as server:
        tcp_once(cluster.a, cluster.c.ipv4, server.port)
        port = str(server.port)
    out = cluster.n1.cli("observe", "--last", "50", "--pod", "demo/a").stdout
    assert any("demo/a" in line and "demo/c" in line and port in line for line in out.splitlines()), out
