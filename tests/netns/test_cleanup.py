# SPDX-License-Identifier: Apache-2.0
"""`sluice-agent cleanup`: all of ours goes, nothing else does."""
import re
import signal

import pytest
from node import bin_dir
from traffic import ping

FOREIGN = """set -e
    ip link add foreign0 type veth peer name foreign1; ip link set foreign0 up; ip link set foreign1 up
    ip link add vx0 type vxlan id 7 dstport 4789 dev eth0
    ip route add 10.55.0.0/16 dev foreign0; ip -6 route add fd55::/64 dev foreign0
    ip neigh add 10.55.0.9 lladdr 02:00:00:00:00:09 dev foreign0 nud permanent
    ip rule add from 10.55.0.0/16 table 55 priority 555
    mkdir -p /sys/fs/bpf/foreign /etc/cni/net.d /opt/cni/bin
    bpftool map create /sys/fs/bpf/foreign/keep type hash key 4 value 4 entries 1 name keep
    echo '{}' > /etc/cni/net.d/90-foreign.conflist; cp /bin/true /opt/cni/bin/foreign"""


def snapshot(node):
    """Everything on the machine that Sluice could have touched, without what changes by itself."""
    text = node.exec("""ip -o link | sed 's/state [A-Z]*//'; ip -o addr | sed 's/[0-9]*sec//g'
        ip route show table all; ip -6 route show table all | grep -v '^multicast\\|expires'; ip rule; ip -6 rule
        ip neigh show nud permanent; tc qdisc show | grep -v noqueue || true
        find /sys/fs/bpf; ls /etc/cni/net.d /opt/cni/bin; find /run/sluice /var/lib/sluice -mindepth 1 2>/dev/null || true
        bpftool net show; sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding net.ipv6.conf.eth0.accept_ra
        sysctl net.ipv6.conf.eth0.forwarding; tc filter show dev eth0 egress""").stdout
    return sorted(re.sub(r"\s+", " ", line).strip() for line in text.splitlines())


# A plain host: it forwards nothing and believes router advertisements.
PLAIN = """sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0 net.ipv6.conf.default.forwarding=0
    sysctl -qw net.ipv6.conf.eth0.accept_ra=1"""
FOREIGN_FILTER = "tc qdisc add dev eth0 clsact; tc filter add dev eth0 egress prio 7 handle 7 bpf bytecode '1,6 0 0 0,' flowid 1:1"


@pytest.mark.parametrize("attach,foreign", [("tcx", FOREIGN), ("clsact", FOREIGN),
                                            ("clsact", FOREIGN + "\n" + FOREIGN_FILTER)],
                         ids=["tcx", "clsact", "clsact beside another's filter"])
def test_cleanup_leaves_the_machine_as_it_was(make_lab, attach, foreign):
    lab = make_lab("aab")
    node = lab.nodes[0]
    node.exec(PLAIN)
    node.exec(foreign)
    before = snapshot(node)
    for each in lab.nodes:
        each.start_agent({"attach": attach})
    a, b = node.add_pod("a"), node.add_pod("b")
    assert ping(a, b.ipv4, 1)[1] == 1
    node.restart_agent(config={"attach": attach})  # what the first one changed is not taken for the host's own
    node.kill_agent()
    assert snapshot(node) != before  # stopping takes nothing away

    for _ in range(2):  # the second has nothing to do
        node.exec([f"{bin_dir()}/sluice-agent", "cleanup"])

    assert snapshot(node) == before


def test_cleanup_after_a_kill_takes_the_sockets_too(make_lab):
    node = make_lab("a").nodes[0]
    before = snapshot(node)
    node.start_agent()
    node.kill_agent(signal.SIGKILL)
    assert "agent.sock" in node.exec("ls /run/sluice").stdout
    node.exec("mkdir -p /run/sluice/cni-queue && touch /run/sluice/cni-queue/1-1-c.del")

    node.exec([f"{bin_dir()}/sluice-agent", "cleanup"])

    assert snapshot(node) == before
    assert node.exec("test ! -e /run/sluice", check=False).returncode == 0


def test_node_works_again_after_cleanup(make_lab):
    node = make_lab("a").nodes[0]
    node.start_agent()
    node.add_pod("a")
    node.kill_agent()
    node.exec([f"{bin_dir()}/sluice-agent", "cleanup"])

    node.start_agent()

    assert node.cli_json("endpoint", "list").get("endpoints", []) == []
    c, d = node.add_pod("c"), node.add_pod("d")
    assert ping(c, d.ipv4, 1)[1] == 1
