# SPDX-License-Identifier: Apache-2.0
"""What somebody takes away from a running node is back within seconds, long before the audit of every minute."""
import json
import os

import frames
import pytest
from machine import wait_for
from test_fail_closed import forged_frame, forged_seen, spoof_drops
from traffic import UdpEcho, ping

SOON = 10


def back(ns, address, what):
    wait_for(lambda: ping(ns, address, 1, timeout=1)[1] == 1, SOON, what)


def pins_of(node):
    return node.exec("ls -d /sys/fs/bpf/sluice/v*").stdout.split()[0]


def detach(node, ifindex):
    for side in ("ingress", "egress"):
        node.exec(f"bpftool link detach pinned {pins_of(node)}/links/{ifindex}-{side}")


def host_device(node, pod):
    return next(e for e in node.cli_json("endpoint", "list")["endpoints"] if e["container_id"] == pod.container)


@pytest.fixture
def node_with_pod(make_lab):
    lab = make_lab("a")
    node = lab.nodes[0]
    node.start_agent()
    return node, node.add_pod("a"), lab.outside


def test_programs_of_the_uplink_that_were_detached_are_attached_again(node_with_pod):
    node, a, outside = node_with_pod
    assert ping(a, outside.ipv4, 1)[1] == 1

    detach(node, json.loads(node.exec("ip -j link show eth0").stdout)[0]["ifindex"])

    back(a, outside.ipv4, "pod -> outside")
    assert "they are put back" in node.log_tail()
    assert all(c["ok"] for c in node.status()["conditions"])


def test_programs_of_a_pod_that_were_detached_are_attached_again_N10(node_with_pod):
    node, a, outside = node_with_pod
    node.exec("sysctl -qw net.ipv4.conf.all.rp_filter=0")
    with UdpEcho(outside, outside.ipv4) as server, frames.packet_socket(a) as sock:
        detach(node, host_device(node, a)["ifindex"])
        wait_for(lambda: "they are put back" in node.log_tail(), SOON, "the repair in the log")
        server.peers.clear()
        before = spoof_drops(node)

        for _ in range(5):
            sock.send(forged_frame(1, server.address, server.port))

        wait_for(lambda: spoof_drops(node) >= before + 5, 3, "drops counted")
        assert not forged_seen(server)


@pytest.mark.parametrize("family,flag", [("ipv4", "-4"), ("ipv6", "-6")])
def test_deleted_route_to_a_pod_comes_back_P7(node_with_pod, family, flag):
    node, a, _ = node_with_pod
    address = getattr(a, family)
    assert ping(node, address, 1)[1] == 1

    for _ in range(2):  # the second at once: the agent does not take itself for the other one
        node.exec(f"ip {flag} route del {address}")
        back(node, address, "node -> pod")


def test_pod_device_that_was_set_down_comes_up_again(node_with_pod):
    node, a, outside = node_with_pod

    node.exec(f"ip link set {host_device(node, a)['host_device']} down")

    for ns, address in ((node, a.ipv4), (node, a.ipv6), (a, outside.ipv4), (a, outside.ipv6)):
        back(ns, address, f"{ns} -> {address}")


@pytest.mark.parametrize("name", ["agent.sock", "observer.sock"])
def test_removed_socket_is_there_again(node_with_pod, name):
    node, path = node_with_pod[0], f"/run/sluice/{name}"
    for turn in range(2):
        os.unlink(node.fs + path)

        wait_for(lambda: os.path.exists(node.fs + path), SOON, path)

        wait_for(lambda: node.cli("observe", "--last", "1", check=False).returncode == 0, 3, "observe")
        node.add_pod(f"late{turn}")
        assert " 200 " in node.http_get("/healthz").splitlines()[0]


def test_what_is_no_socket_in_the_place_of_one_is_reported(node_with_pod):
    node = node_with_pod[0]
    agent_socket = node.fs + "/run/sluice/agent.sock"
    os.rename(agent_socket, agent_socket + ".kept")
    with open(agent_socket, "w"):
        pass

    wait_for(lambda: " 200 " not in node.http_get("/healthz").splitlines()[0], SOON, "healthz says no")
    assert "something that is no socket" in node.http_get("/healthz")
    os.unlink(agent_socket)

    wait_for(lambda: " 200 " in node.http_get("/healthz").splitlines()[0], SOON, "healthz says yes")
    assert node.status()["ready"]
