# SPDX-License-Identifier: Apache-2.0
"""The agent ends, is killed, comes back: traffic does not notice."""
import contextlib
import signal

import pytest
from conftest import address_of
from machine import wait_for
from traffic import PingStream, TcpEcho, TcpStream, UdpEcho, UdpStream, tcp_once

PATHS = ["same-node", "native", "vxlan", "outside"]


@contextlib.contextmanager
def traffic_everywhere(cluster, paths=PATHS):
    """Long streams of each protocol and family on each path; at the end nothing may be missing."""
    with contextlib.ExitStack() as stack:
        running = []
        for path in paths:
            for family in ("v4", "v6"):
                address = address_of(cluster.peer(path), family)
                tcp = stack.enter_context(TcpEcho(cluster.peer(path), address))
                udp = stack.enter_context(UdpEcho(cluster.peer(path), address))
                running += [TcpStream(cluster.a, address, tcp.port).start(),
                            UdpStream(cluster.a, address, udp.port, 0.01).start(),
                            PingStream(cluster.a, address, 0.02).start()]
        progress(running, 20)
        yield running
        progress(running, 20)
        lost = []
        for stream in running:
            stream.stop()
            if getattr(stream, "lost", 0):
                lost.append((repr(stream), stream.lost, stream.done))
        assert not lost


def progress(running, more):
    """Waits until every stream has done that much more, so that traffic surely ran in between."""
    streams = [s for s in running if not isinstance(s, PingStream)]
    goal = {id(s): s.done + more for s in streams}

    def reached():
        broken = [s for s in streams if s.failure]
        assert not broken, [(s, s.failure) for s in broken]
        return all(s.done >= goal[id(s)] for s in streams)

    wait_for(reached, 20, "traffic on every stream")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_restart_of_the_agent_loses_nothing_N11(cluster, number):
    with traffic_everywhere(cluster) as running:
        for _ in range(3):
            code = cluster.n1.kill_agent(number)
            assert code == (0 if number == signal.SIGTERM else 128 + number) or code == -number, code
            progress(running, 10)
            cluster.n1.start_agent()
            progress(running, 10)


def test_new_connections_while_the_agent_is_away(cluster):
    cluster.n1.kill_agent(signal.SIGKILL)

    for path in PATHS:
        for family in ("v4", "v6"):
            address = address_of(cluster.peer(path), family)
            with TcpEcho(cluster.peer(path), address) as server:
                tcp_once(cluster.a, address, server.port)
            with TcpEcho(cluster.a, address_of(cluster.a, family)) as server:
                if path != "outside":
                    tcp_once(cluster.peer(path), address_of(cluster.a, family), server.port)


def test_restart_keeps_endpoints_and_addresses(cluster):
    before = cluster.n1.cli_json("endpoint", "list")["endpoints"]

    cluster.n1.restart_agent(signal.SIGKILL)

    after = cluster.n1.cli_json("endpoint", "list")["endpoints"]
    assert sorted(e["container_id"] for e in before) == sorted(e["container_id"] for e in after)
    assert {e["container_id"]: (e["ipv4"], e["ipv6"], e["ifindex"]) for e in before} == \
           {e["container_id"]: (e["ipv4"], e["ipv6"], e["ifindex"]) for e in after}


def test_routing_changes_to_vxlan_and_back_under_traffic(make_lab):
    """Both sides change one after the other; the pods and their connections stay."""
    lab = make_lab("aa")
    for node in lab.nodes:
        node.start_agent({"routing": "native"})
    a, c = lab.nodes[0].add_pod("a"), lab.nodes[1].add_pod("c")
    with TcpEcho(c, c.ipv4) as four, TcpEcho(c, c.ipv6) as six:
        streams = [TcpStream(a, c.ipv4, four.port).start(), TcpStream(a, c.ipv6, six.port).start()]
        progress(streams, 100)

        for routing in ("vxlan", "native"):
            for node in lab.nodes:
                node.restart_agent(config={"routing": routing})
                assert node.status()["routing"] == routing
            progress(streams, 100)

        for stream in streams:
            stream.stop()
