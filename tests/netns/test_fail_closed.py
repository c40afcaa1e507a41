# SPDX-License-Identifier: Apache-2.0
"""A pod that is not filtered does not speak: from the first moment of its device, and whatever happens to our pins."""
import collections
import signal
import subprocess
import threading

import cni
import frames
from machine import wait_for
from netns import Netns
from traffic import UdpEcho, ping

FORGED = "10.7.7."
GATEWAY_MAC = bytes.fromhex("02534c000001")
# In the pod, from before its device exists: sends a frame of an address that is not the pod's as soon as it can.
SENDER = """
import socket, sys, time
frame, end = bytes.fromhex(sys.argv[1]), time.time() + 30
print("tries", flush=True)
while time.time() < end:
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        sock.bind(("eth0", 0))
        while time.time() < end:
            sock.send(frame)
            time.sleep(0.0005)
    except OSError:
        time.sleep(0.0005)
"""


def forged_frame(number, target, port):
    packet = frames.udp(f"{FORGED}{number}", target, 5555, port)
    return GATEWAY_MAC + bytes.fromhex("0200000000aa") + b"\x08\x00" + packet


def forged_seen(server):
    return collections.Counter(peer for peer, _ in server.peers if peer.startswith(FORGED))


def spoof_drops(node):
    drops = node.cli_json("drops").get("drops", [])
    return sum(int(drop["packets"]) for drop in drops if drop["reason"] == "SPOOFED_SOURCE")


def test_pods_send_nothing_unfiltered_while_they_are_made_N10(make_lab):
    lab = make_lab("a")
    node, count = lab.nodes[0], 16
    node.exec("sysctl -qw net.ipv4.conf.all.rp_filter=0")  # the host's own filter hides nothing here
    node.start_agent()
    with UdpEcho(lab.outside, lab.outside.ipv4) as server:
        senders, netnses = [], [node.make_netns(f"h{i}") for i in range(count)]
        for i, path in enumerate(netnses):
            frame = forged_frame(i + 1, server.address, server.port)
            pod = Netns(node.fs + path, f"h{i}")
            senders.append(pod.popen(["python3", "-c", SENDER, frame.hex()], stdout=subprocess.PIPE))
        for sender in senders:
            assert sender.stdout.readline() == b"tries\n"
        results = {}

        def add(i):
            env = cni.pod_env(f"demo-h{i}", netnses[i], pod=("demo", f"h{i}", None))
            results[i] = cni.call(node, "ADD", cni.plugin_conf(node), env)

        threads = [threading.Thread(target=add, args=(i,)) for i in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_for(lambda: spoof_drops(node) > 100 * count, 10, "the pods' packets counted as drops")
        for sender in senders:
            sender.kill()
            sender.wait()

        assert len(results) == count
        assert not forged_seen(server)


def test_pins_that_were_removed_come_back_and_nothing_passes_unfiltered_N10(make_lab):
    lab = make_lab("aa")
    node, other = lab.nodes
    for each in lab.nodes:
        each.exec("sysctl -qw net.ipv4.conf.all.rp_filter=0")
        each.start_agent()
    a, b = node.add_pod("a"), other.add_pod("b")
    pins = node.exec("find /sys/fs/bpf/sluice | sort").stdout
    with UdpEcho(lab.outside, lab.outside.ipv4) as server, frames.packet_socket(a) as sock:
        node.exec("rm -r /sys/fs/bpf/sluice")
        wait_for(lambda: node.exec("find /sys/fs/bpf/sluice | sort", check=False).stdout == pins, 70, "the pins")

        for number in (signal.SIGKILL, None):
            before = spoof_drops(node)
            for _ in range(20):
                sock.send(forged_frame(1, server.address, server.port))
            wait_for(lambda: spoof_drops(node) >= before + 20, 3, "drops counted")
            for target in (lab.outside.ipv4, lab.outside.ipv6, b.ipv4, b.ipv6):
                assert ping(a, target, 2)[1] == 2, target
            if number:  # the pins are real: nothing of it depends on the agent that made them
                node.kill_agent(number)
                assert ping(a, lab.outside.ipv4, 2)[1] == 2
                node.start_agent()
        assert not forged_seen(server)
