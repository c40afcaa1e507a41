# SPDX-License-Identifier: Apache-2.0
"""Sluice as the only network of real kubelets, by standalone agents: n1 and n2 on one subnet, n3 behind a router."""
import json

import pytest

import workloads
from conftest import fetch, url
from machine import wait_for

NODES = ("n1", "n2", "n3")
HTTP = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1, "failureThreshold": 3}
PORT = {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 3}


def probed(name, node):
    return workloads.agnhost(name, node=node, container={"readinessProbe": HTTP, "livenessProbe": PORT})


@pytest.fixture(scope="module")
def pods(sluice_cluster):
    """One pod a node, p1 on n1 and so on, and a second one on n1; all with probes. Addresses by name."""
    wanted = [probed(f"p{node[1:]}", node) for node in NODES] + [probed("p1-too", "n1")]
    return sluice_cluster.run_pods(*wanted)


def test_pods_get_both_families_from_their_nodes_ranges(sluice_cluster, pods):
    for name, node in (("p1", "n1"), ("p2", "n2"), ("p3", "n3")):
        v4, v6 = sluice_cluster.pod_cidrs(node)
        assert pods[name][0].startswith(v4.rsplit(".", 1)[0] + "."), (pods[name], v4)
        assert pods[name][1].startswith(v6.split("::")[0] + ":"), (pods[name], v6)


@pytest.mark.parametrize("client, server", [("p1", "p1-too"), ("p1", "p2"), ("p2", "p1"), ("p1", "p3"), ("p3", "p2")])
def test_pod_reaches_pod_as_itself(sluice_cluster, pods, client, server):
    """On one node, native to the neighbour and by VXLAN to the far one; the server sees the client's own address."""
    for own, address in zip(pods[client], pods[server]):
        seen = fetch(sluice_cluster, client, address, "clientip").rsplit(":", 1)[0].strip("[]")
        assert seen == own


def test_kubelets_probes_pass_and_failing_ones_are_noticed_P7(sluice_cluster, pods):
    """Readiness by HTTP and liveness by TCP of pods that serve; a pod that does not serve is not ready and restarts."""
    deaf = probed("deaf", "n1")
    deaf["spec"]["containers"][0]["args"] = ["pause"]
    sluice_cluster.apply(deaf)

    wait_for(lambda: sluice_cluster.restarts_of("deaf") > 0, 30, "restart of the pod that does not answer", every=0.2)
    assert "connection refused" in sluice_cluster.kubectl("get", "events").stdout
    assert [sluice_cluster.restarts_of(name) for name in pods] == [0] * len(pods)
    sluice_cluster.delete(deaf)


def test_pod_and_the_api_server_reach_each_other(sluice_cluster, pods):
    """The API server is outside: it sees the node, and its own clients reach pods through kubelet."""
    for address in (sluice_cluster.plane.machine.ipv4, sluice_cluster.plane.machine.ipv6):
        assert fetch_healthz(sluice_cluster, "p3", address) == "ok"
    assert "Started HTTP server" in sluice_cluster.kubectl("logs", "p3").stdout


def fetch_healthz(cluster, pod, address):
    return cluster.exec(pod, "curl", "-sSk", "-m", "5", url(address, "livez", 6443).replace("http:", "https:")).stdout


def test_host_network_pod_reaches_pods_of_every_node(sluice_cluster, pods):
    host = workloads.agnhost("host", "netexec", "--http-port=8090", node="n2", hostNetwork=True)
    addresses = sluice_cluster.run_pods(host)["host"]

    for name, wanted in pods.items():
        for address in wanted:
            assert fetch(sluice_cluster, "host", address) == name
    for address in addresses:
        assert fetch(sluice_cluster, "p3", address, port=8090) == "n2"
    sluice_cluster.delete(host)


def test_observe_names_both_pods(sluice_cluster, pods):
    fetch(sluice_cluster, "p1", pods["p3"][0])

    def seen():
        node = sluice_cluster.node("n3").node
        out = node.cli("observe", "--to-pod", "default/p3", "--last", "50", "-o", "json").stdout
        flows = [json.loads(line)["flow"] for line in out.splitlines()]
        return [flow for flow in flows if flow["source"].get("pod_name") == "p1"
                and flow["destination"].get("pod_name") == "p3" and flow["verdict"] == "FORWARDED"]
    wait_for(seen, 5, "the flow from p1 to p3 at n3", every=0.2)


def test_stock_hubble_client_reads_the_observer(sluice_cluster, pods):
    fetch(sluice_cluster, "p1", pods["p2"][0])
    hubble = sluice_cluster.hubble_argv("observe", "--server", "unix:///run/sluice/observer.sock", "--last", "100",
                                        "-o", "json")

    out = sluice_cluster.node("n1").node.exec(hubble).stdout

    pairs = {(flow.get("source", {}).get("pod_name"), flow.get("destination", {}).get("pod_name"))
             for flow in (json.loads(line).get("flow", {}) for line in out.splitlines())}
    assert ("p1", "p2") in pairs, pairs


def test_deleted_pods_address_is_released(sluice_cluster, pods):
    short = sluice_cluster.run_pods(workloads.agnhost("short", node="n2"))["short"]
    node = sluice_cluster.node("n2").node
    addresses = lambda: [e["ipv4"] for e in node.cli_json("endpoint", "list")["endpoints"]]
    assert short[0] in addresses()

    sluice_cluster.kubectl("delete", "pod", "short")

    wait_for(lambda: short[0] not in addresses(), 20, "release of the address", every=0.2)


def test_node_reboot_brings_pods_back_with_sluice(sluice_cluster, pods):
    """kubelet is up before the agent, so pods wait for their network; no pin is older than the boot."""
    cluster, node = sluice_cluster, sluice_cluster.node("n2").node
    node.exec("mkdir /sys/fs/bpf/sluice/of-this-boot")

    cluster.reboot_node("n2")

    assert "of-this-boot" not in node.exec("ls /sys/fs/bpf/sluice").stdout
    wait_for(lambda: cluster.restarts_of("p2") > 0, 40, "restart of pod p2", every=0.2)
    cluster.wait_pods(["p2"])
    for address in cluster.addresses_of("p2"):
        assert fetch(cluster, "p1", address) == "p2"
        assert fetch(cluster, "p3", address) == "p2"
