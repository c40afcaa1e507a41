# SPDX-License-Identifier: Apache-2.0
"""The cluster itself, with the reference plugins as its network: what every other test here stands on."""
import os
import subprocess

import pytest

import workloads
from cluster import condition
from collect import collect
from conftest import fetch, url
from machine import start_time, wait_for


@pytest.fixture(scope="module")
def pods(bridge_cluster):
    """a on n1 and b on n2, with their addresses by name."""
    return bridge_cluster.run_pods(workloads.agnhost("a", node="n1"), workloads.agnhost("b", node="n2"))


def test_nodes_register_and_wait_for_a_network(bridge_cluster):
    nodes = {node["metadata"]["name"]: node for node in bridge_cluster.bare_nodes}

    assert sorted(nodes) == ["n1", "n2"]
    for name, node in nodes.items():
        ready = condition(node, "Ready")
        assert ready["status"] == "False" and "cni plugin not initialized" in ready["message"], ready
        assert [":" in cidr for cidr in node["spec"]["podCIDRs"]] == [False, True]
        assert bridge_cluster.node_addresses(name) == bridge_cluster.node(name).addresses()


def test_client_library_sees_the_nodes(bridge_cluster):
    listed = bridge_cluster.api.core.list_node().items

    assert sorted(node.metadata.name for node in listed) == ["n1", "n2"]


def test_pods_have_both_families_and_reach_the_other_node(bridge_cluster, pods):
    assert [":" in address for address in pods["a"] + pods["b"]] == [False, True, False, True]
    for address in pods["b"]:
        assert fetch(bridge_cluster, "a", address) == "b"
    for address in pods["a"]:
        assert fetch(bridge_cluster, "b", address) == "a"


def test_nodes_have_networks_mounts_and_cgroups_of_their_own(bridge_cluster):
    seen = [node.node.exec("readlink /proc/self/ns/net /proc/self/ns/mnt /proc/self/ns/cgroup").stdout.split()
            for node in bridge_cluster.nodes]
    host = [os.readlink(f"/proc/self/ns/{kind}") for kind in ("net", "mnt", "cgroup")]

    for first, second, ours in zip(*seen, host):
        assert len({first, second, ours}) == 3


def test_devices_of_the_cluster_are_not_on_the_machine(bridge_cluster, pods):
    names = os.listdir("/sys/class/net")

    assert not [name for name in names if name.startswith(("br0", "br201", "p-n1", "p-control", "cni0"))]


def test_kubelet_leaves_the_settings_of_the_machine_alone(bridge_cluster, pods):
    """In the node they read as kubelet wants them; on the machine they are what they were."""
    assert bridge_cluster.node("n1").node.exec("cat /proc/sys/kernel/panic").stdout.strip() == "10"
    with open("/proc/self/mountinfo") as mounts:
        assert "/proc/sys/kernel/panic" not in mounts.read()


def test_logs_and_exec(bridge_cluster, pods):
    assert "Started HTTP server on port 8080" in bridge_cluster.kubectl("logs", "b").stdout
    assert bridge_cluster.exec("b", "sh", "-c", "hostname").stdout.strip() == "b"


def test_port_forward(bridge_cluster, pods):
    control = bridge_cluster.plane.machine
    argv = bridge_cluster.plane.client_argv(["kubectl", "port-forward", "pod/b", "18080:8080"])
    forward = control.popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        assert "Forwarding from" in forward.stdout.readline()
        assert control.exec(["curl", "-sS", "-m", "5", url("127.0.0.1", "hostname", 18080)]).stdout == "b"
    finally:
        forward.kill()
        forward.wait()


def test_api_server_and_etcd_die_and_come_back(bridge_cluster, pods):
    plane = bridge_cluster.plane
    for name in ("kube-apiserver", "etcd"):
        plane.stop(name, number=9)
    assert fetch_direct(bridge_cluster, pods["b"][0]) == "b"

    plane.start("etcd")
    plane.start("kube-apiserver")
    plane.wait_ready()

    assert bridge_cluster.pod("a")["status"]["phase"] == "Running"
    assert fetch(bridge_cluster, "a", pods["b"][0]) == "b"


def fetch_direct(cluster, address):
    """From the node itself: needs no API server."""
    return cluster.node("n1").node.exec(["curl", "-sS", "-m", "5", url(address, "hostname")]).stdout


def test_services_and_names_by_kube_proxy(bridge_cluster, pods):
    cluster = bridge_cluster
    cluster.start_proxies("nftables")
    cluster.apply(workloads.service("web", {"app": "b"}))
    cluster.install_coredns(replicas=1)

    addresses = cluster.api.get("/api/v1/namespaces/default/services/web")["spec"]["clusterIPs"]
    for address in addresses:
        assert fetch(cluster, "a", address, port=80) == "b"
    # CoreDNS is ready before kube-proxy has written the way to it. What went wrong dig prints where its answers go.
    wait_for(lambda: cluster.exec("a", "dig", "+short", "+time=1", "+tries=1", "web.default.svc.cluster.local",
                                  check=False).stdout.strip() in addresses, 20, "the name of the service", every=0.2)
    assert fetch(cluster, "a", "web.default.svc.cluster.local", port=80) == "b"
    outside = cluster.exec("a", "dig", "+short", "outside.test").stdout.strip()
    assert outside == cluster.lab.outside.ipv4


def test_reboot_ends_all_of_the_node_and_its_pods_come_back(bridge_cluster, pods):
    cluster, node = bridge_cluster, bridge_cluster.node("n2").node
    node.exec("touch /run/of-this-boot; "
              "bpftool map create /sys/fs/bpf/pinned type array key 4 value 4 entries 1 name x")
    before = {pid: start_time(pid) for pid in cluster.node_pids("n2")}  # the number alone may be another's by then
    assert len(before) > 5

    cluster.reboot_node("n2")

    assert node.exec("ls /run/of-this-boot /sys/fs/bpf/pinned", check=False).returncode != 0
    assert [pid for pid, started in before.items() if started and start_time(pid) == started] == []
    wait_for(lambda: cluster.restarts_of("b") > 0, 30, "restart of pod b", every=0.2)
    cluster.wait_pods(["b"])
    for address in cluster.addresses_of("b"):
        assert fetch(cluster, "a", address) == "b"


def test_node_with_another_address(bridge_cluster, pods):
    cluster = bridge_cluster
    cluster.readdress_node("n2", 77)

    assert cluster.node_addresses("n2") == ["172.30.0.77", "fd30::77"]
    wait_for(lambda: cluster.exec("b", "hostname", check=False).stdout.strip() == "b", 20,
             "exec by the new address, once kubelet has seen its pods again", every=0.2)
    for address in cluster.addresses_of("b"):
        assert fetch(cluster, "a", address) == "b"


def test_node_joins_leaves_and_comes_back_elsewhere(bridge_cluster, pods):
    cluster = bridge_cluster
    for host in (33, 44):
        cluster.add_node(name="n3", host=host)
        cluster.wait_nodes(names=["n3"])
        assert cluster.node_addresses("n3")[0] == f"172.30.0.{host}"
        c = cluster.run_pods(workloads.agnhost("c", node="n3"))["c"]
        assert fetch(cluster, "a", c[1]) == "c"

        cluster.remove_node("n3")

        wait_for(lambda: "n3" not in [n["metadata"]["name"] for n in cluster.node_objects()], 30, "n3 deleted")
        cluster.kubectl("delete", "pod", "c", "--force", "--grace-period=0")


def test_what_is_kept_of_a_failure(bridge_cluster, pods, tmp_path, monkeypatch):
    monkeypatch.setenv("SLUICE_TEST_LOGS", str(tmp_path))
    node = bridge_cluster.node("n1").node
    node.exec("mkdir -p /sys/fs/bpf/sluice; "
              "bpftool map create /sys/fs/bpf/sluice/sl_x type array key 4 value 4 entries 1 name sl_x")

    folder = collect(bridge_cluster, "test_x[a/b]")

    node.exec("rm -r /sys/fs/bpf/sluice")
    read = lambda name: open(os.path.join(folder, name)).read()
    assert "Started HTTP server" in "".join(read(path) for path in walk(f"{folder}/n1/pods"))
    assert "Successfully" in read("n1/kubelet.log")
    assert "containerd successfully booted" in read("n1/containerd.log")
    assert "Serving securely" in read("control/kube-apiserver.log")
    assert "pod/a" in read("events.txt") and "name: a" in read("pods.yaml")
    assert "172.30.0.11" in read("n1/ip.txt")
    assert '"value"' in read("n1/map-sl_x.txt") or "value:" in read("n1/map-sl_x.txt")


def walk(folder):
    return [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names]


@pytest.mark.parametrize("families", ["ipv4", "ipv6"])
def test_one_family(make_cluster, families):
    cluster = make_cluster(1, families)
    cluster.use_bridge()

    addresses = cluster.run_pods(workloads.agnhost("a"), workloads.agnhost("b"))

    assert [":" in a for a in addresses["a"] + addresses["b"]] == [families == "ipv6"] * 2
    assert fetch(cluster, "a", addresses["b"][0]) == "b"
