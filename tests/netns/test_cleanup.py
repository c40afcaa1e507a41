# SPDX-License-Identifier: Apache-2.0
"""`sluice-agent cleanup`: all of ours goes, nothing else does."""
import re
import signal

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
        bpftool net show""").stdout
    return sorted(re.sub(r"\s+", " ", line).strip() for line in text.splitlines())


def test_cleanup_leaves_the_machine_as_it_was(make_lab):
    lab = make_lab("aab")
    node = lab.nodes[0]
    node.exec(FOREIGN)
    before = snapshot(node)
    for each in lab.nodes:
        each.start_agent()
    a, b = node.add_pod("a"), node.add_pod("b")
    assert ping(a, b.ipv4, 1)[1] == 1
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
