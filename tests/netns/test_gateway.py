# SPDX-License-Identifier: Apache-2.0
"""The pod's neighbourhood: its gateway, what it may say of itself, hop limits."""
import re

import frames
import pytest
from conftest import address_of, dropped
from machine import wait_for
from traffic import UdpEcho, ping, udp_once

GATEWAY = {"v4": "169.254.1.1", "v6": "fe80::1"}


def request(pod, family, target):
    if family == "v4":
        return frames.arp_request(frames.mac_of(pod), pod.ipv4, target), frames.is_arp_reply_for(target)
    return frames.neighbour_solicitation(frames.mac_of(pod), pod.ipv6, target), frames.is_advertisement_for(target)


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_gateway_answers_without_flooding_N15(cluster, family):
    question, is_answer = request(cluster.a, family, GATEWAY[family])
    mine = question[6:12]
    with frames.packet_socket(cluster.a) as sock, frames.packet_socket(cluster.b) as neighbour, \
            frames.packet_socket(cluster.n1) as uplink:
        sock.send(question)
        answer = frames.receive_until(sock, is_answer)
        assert answer is not None, "no answer from the gateway"
        assert answer[0:6] == mine  # to the asker alone
        for listener in (neighbour, uplink):
            assert frames.receive_until(listener, lambda f: f[6:12] == mine, 0.2) is None


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_other_neighbours_are_not_answered_N15(cluster, family):
    target = {"v4": "169.254.1.77", "v6": "fd44:0:0:1::77"}[family]
    before = dropped(cluster.n1, "NOT_THE_GATEWAY", "demo/a")
    question, is_answer = request(cluster.a, family, target)

    with frames.packet_socket(cluster.a) as sock:
        sock.send(question)
        assert frames.receive_until(sock, is_answer, 0.3) is None

    assert dropped(cluster.n1, "NOT_THE_GATEWAY", "demo/a") > before


def test_link_local_strangers_are_not_answered_N15(cluster):
    question, is_answer = request(cluster.a, "v6", "fe80::77")
    with frames.packet_socket(cluster.a) as sock:
        sock.send(question)
        assert frames.receive_until(sock, is_answer, 0.3) is None


def test_pod_addresses_are_usable_at_once_N15(cluster):
    """No duplicate address detection holds the IPv6 address back after ADD."""
    text = cluster.a.exec("ip -6 addr show dev eth0").stdout
    assert cluster.a.ipv6 + "/128" in text
    assert "tentative" not in text and "dadfailed" not in text


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("whose", ["a stranger's", "another pod's", "its node's"])
def test_spoofed_source_is_dropped_and_counted(cluster, family, whose):
    forged = {"a stranger's": {"v4": "10.7.7.7", "v6": "fd07::7"}[family],
              "another pod's": address_of(cluster.b, family), "its node's": address_of(cluster.n1, family)}[whose]
    target = address_of(cluster.c, family)
    gateway = bytes.fromhex(next(e for e in cluster.n1.cli_json("endpoint", "list")["endpoints"]
                                 if e["container_id"] == cluster.a.container)["host_mac"].replace(":", ""))
    before = dropped(cluster.n1, "SPOOFED_SOURCE", "demo/a")

    with UdpEcho(cluster.c, target) as server, frames.packet_socket(cluster.a) as sock:
        kind = frames.ETH_IPV6 if family == "v6" else frames.ETH_IP
        for _ in range(5):
            sock.send(gateway + frames.mac_of(cluster.a) + kind.to_bytes(2, "big")
                      + frames.udp(forged, target, 5555, server.port))
        wait_for(lambda: dropped(cluster.n1, "SPOOFED_SOURCE", "demo/a") >= before + 5, 3, "drops counted")
        udp_once(cluster.a, target, server.port)
        assert [address for address, _ in server.peers] == [address_of(cluster.a, family)]


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_drop_is_reported_as_an_event(cluster, family):
    assert ping(cluster.a, address_of(cluster.c, family), 1)[1] == 1  # else only the ARP request would be dropped
    cluster.a.exec(f"ip addr add {'10.7.7.8/32' if family == 'v4' else 'fd07::8/128 nodad'.split()[0]} dev eth0"
                   + (" nodad" if family == "v6" else ""))
    forged = "10.7.7.8" if family == "v4" else "fd07::8"
    try:
        assert ping(cluster.a, address_of(cluster.c, family), 2, options=["-I", forged], timeout=1)[1] == 0
        wait_for(lambda: forged in cluster.n1.cli("observe", "--verdict", "dropped", "--last", "50").stdout, 3,
                 "the drop in observe")
        sent = cluster.n1.cli("observe", "--pod", "demo/a", "--verdict", "dropped", "--last", "50").stdout
        assert f" as {forged} <> " in sent, sent
    finally:
        cluster.a.exec(f"ip addr del {forged}/{32 if family == 'v4' else 128} dev eth0")


def received_ttl(text):
    return int(re.search(r"(?:ttl|hlim)=(\d+)", text)[1])


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("path,hops", [("same-node", 1), ("native", 2), ("vxlan", 2), ("outside", 2), ("own-node", 0)])
def test_each_router_takes_one_hop(cluster, path, family, hops):
    _, received, text = ping(cluster.a, address_of(cluster.peer(path), family), 1)
    assert received == 1, text
    assert received_ttl(text) == 64 - hops


def hop_error(pod, address, ttl):
    _, received, text = ping(pod, address, 1, options=["-t", str(ttl)], timeout=1)
    assert received == 0, text
    found = re.search(r"From (\S+?):? icmp_seq=1 (Time to live exceeded|Time exceeded: Hop limit)", text)
    return found and found[1]


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_traceroute_names_each_hop(cluster, family):
    outside = address_of(cluster.outside, family)

    first, second = hop_error(cluster.a, outside, 1), hop_error(cluster.a, outside, 2)

    assert first in (GATEWAY[family], address_of(cluster.n1, family)), first
    assert second == {"v4": "172.30.0.1", "v6": "fd30::1"}[family]
    assert ping(cluster.a, outside, 1, options=["-t", "3"])[1] == 1
