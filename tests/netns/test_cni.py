# SPDX-License-Identifier: Apache-2.0
"""The CNI verbs end to end: the real binary, the real agent, what a runtime sends and what it must get."""
import ipaddress
import json
import re
import time

import cni
import pytest
from cni import CniError
from machine import wait_for
from traffic import ping

TRY_AGAIN, CHECK_FAILED, EXHAUSTED, INTERFACE_EXISTS = 11, 102, 100, 101
VERSIONS = ["0.4.0", "1.0.0", "1.1.0"]


@pytest.fixture
def node(cluster):
    return cluster.n1


@pytest.fixture
def fresh(node):
    """fresh(name) is a pod's empty namespace; whatever a test made of it goes away."""
    made = []

    def make(name):
        netns = node.make_netns(name)
        pod = type("Bare", (), {})()
        pod.name, pod.netns, pod.env = name, netns, cni.pod_env(f"demo-{name}", netns, pod=("demo", name, None))
        made.append(pod)
        return pod

    yield make
    for pod in made:
        node.cni("DEL", env=dict(pod.env, CNI_NETNS=None))
        node.exec(["ip", "netns", "del", pod.name], check=False)


def endpoints(node):
    return {e["container_id"]: e for e in node.cli_json("endpoint", "list").get("endpoints", [])}


def used(node, family="v4"):
    return sum(int(pool["used"]) for pool in node.status()["pools"] if (":" in pool["cidr"]) == (family == "v6"))


# --- versions ---

def test_version_lists_what_is_supported_N1(node):
    answer = node.cni("VERSION", conf={"cniVersion": "1.1.0"})
    assert VERSIONS == answer["supportedVersions"]


@pytest.mark.parametrize("version", VERSIONS)
def test_result_has_the_version_of_the_configuration_N1(node, fresh, version):
    result = node.cni("ADD", conf=cni.plugin_conf(node, version), env=fresh("ver").env)
    assert result["cniVersion"] == version
    assert ("version" in result["ips"][0]) == (version == "0.4.0")
    assert {ip["address"].split("/")[1] for ip in result["ips"]} == {"32", "128"}


@pytest.mark.parametrize("version", ["0.1.0", "0.3.0", "0.3.1", "2.0.0", "banana", "1.1"])
def test_unsupported_version_is_code_1_on_stdout_N1(node, fresh, version):
    code, out, _ = cni.run_plugin(node, "ADD", cni.plugin_conf(node, version), fresh("badver").env)
    error = json.loads(out)
    assert code != 0 and error["code"] == 1 and all(each in error["details"] for each in VERSIONS)


def test_conflist_serves_old_and_new_runtimes_N1(node):
    with open(node.fs + "/etc/cni/net.d/05-sluice.conflist") as text:
        conflist = json.load(text)
    assert conflist["cniVersion"] in ("0.4.0", "1.0.0")
    assert "1.1.0" in conflist["cniVersions"]


# --- bad input ---

@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "null", '{"cniVersion": "1.0.0", "name": 7}', "\x00" * 10])
def test_malformed_configuration_is_an_error_object(node, fresh, text):
    code, out, _ = cni.run_plugin(node, "ADD", text, fresh("badconf").env)
    assert code != 0
    error = json.loads(out)
    assert error["code"] in (1, 2, 6, 7) and error["msg"]


@pytest.mark.parametrize("missing", ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"])
def test_missing_variable_is_named(node, fresh, missing):
    with pytest.raises(CniError) as error:
        node.cni("ADD", env=dict(fresh("noenv").env, **{missing: None}))
    assert error.value.code == 4 and missing in error.value.msg + error.value.details


def test_missing_netns_is_refused_and_leaks_nothing(node):
    before = used(node)
    with pytest.raises(CniError) as error:
        node.cni("ADD", env=cni.pod_env("demo-nons", "/run/netns/does-not-exist", pod=("demo", "nons", None)))
    assert "/run/netns/does-not-exist" in error.value.msg + error.value.details
    assert used(node) == before


@pytest.mark.parametrize("path", ["/etc/hostname", "/proc/1/ns/net", "/proc/1/ns/mnt", "run/netns/a"])
def test_netns_that_is_no_pods_is_refused(node, path):
    with pytest.raises(CniError):
        node.cni("ADD", env=cni.pod_env("demo-wrongns", path, pod=("demo", "wrongns", None)))
    assert "demo-wrongns" not in endpoints(node)


def test_netns_of_another_container_is_refused(node, cluster):
    before = used(node)
    with pytest.raises(CniError) as error:
        node.cni("ADD", env=cni.pod_env("demo-thief", cluster.a.netns, pod=("demo", "thief", None)))
    assert error.value.code == INTERFACE_EXISTS or "demo-a" in error.value.msg + error.value.details
    assert used(node) == before
    assert ping(cluster.a, cluster.b.ipv4, 1)[1] == 1


@pytest.mark.parametrize("ifname", ["a234567890123456", "a/b", "a b", ".", "..", "x:y", "eth%d", "a\x01b"])
def test_bad_interface_name_is_refused(node, fresh, ifname):
    with pytest.raises(CniError) as error:
        node.cni("ADD", env=dict(fresh("longif").env, CNI_IFNAME=ifname))
    assert error.value.code == 4 and "CNI_IFNAME" in error.value.msg + error.value.details


def test_interface_name_of_15_characters_works(node, fresh):
    pod = fresh("if15")
    pod.env["CNI_IFNAME"] = "a23456789012345"
    result = node.cni("ADD", env=pod.env)
    assert any(link["name"] == "a23456789012345" for link in result["interfaces"])


# --- the same again ---

def test_add_twice_gives_the_same_and_leaks_nothing_N3(node, fresh):
    pod = fresh("twice")
    first = node.cni("ADD", env=pod.env)
    before = used(node)
    second = node.cni("ADD", env=pod.env)
    assert first["ips"] == second["ips"] and used(node) == before


def test_same_container_in_a_new_netns_N3(node, fresh):
    """The machine restarted: the runtime makes a new namespace for a container that we still know."""
    pod = fresh("again")
    node.cni("ADD", env=pod.env)
    before = used(node)
    node.exec(["ip", "netns", "del", "again"])
    node.make_netns("again")
    node.cni("ADD", env=pod.env)
    assert used(node) == before
    node.cni("CHECK", conf=cni.plugin_conf(node, previous=node.cni("ADD", env=pod.env)), env=pod.env)


@pytest.mark.parametrize("how", ["netns gone", "never added", "no prevResult", "twice"])
def test_del_always_succeeds_N2(node, fresh, how):
    pod = fresh("del")
    before = used(node)
    result = None if how == "never added" else node.cni("ADD", env=pod.env)
    if how == "netns gone":
        node.exec(["ip", "netns", "del", "del"])
    conf = cni.plugin_conf(node, previous=None if how == "no prevResult" else result)
    for _ in range(2 if how == "twice" else 1):
        assert node.cni("DEL", conf=conf, env=pod.env) is None
    assert used(node) == before and "demo-del" not in endpoints(node)


# --- agent away ---

def test_add_fails_fast_and_retryable_without_agent(node, fresh):
    pod = fresh("noagent")
    node.kill_agent()
    began = time.monotonic()
    with pytest.raises(CniError) as error:
        node.cni("ADD", env=pod.env)
    assert error.value.code == TRY_AGAIN and time.monotonic() - began < 1
    with pytest.raises(CniError) as error:
        node.cni("STATUS", conf=cni.plugin_conf(node, "1.1.0"))
    assert error.value.code in (50, 51)


def test_del_without_agent_is_queued_and_replayed_N2(node, fresh):
    pod = fresh("queued")
    node.cni("ADD", env=pod.env)
    before = used(node)
    node.kill_agent()

    assert node.cni("DEL", env=pod.env) is None
    node.exec(["ip", "netns", "del", "queued"])
    node.start_agent()

    wait_for(lambda: "demo-queued" not in endpoints(node), 10, "replay of the DEL")
    assert used(node) == before - 1


# --- CHECK ---

# What is done, and what CHECK must say of it. A pod whose device is gone may have been released meanwhile.
BREAKAGES = {
    "device deleted": ("ip -n check link del eth0", "interface eth0 is missing|is not known to sluice-agent"),
    "device down": ("ip -n check link set eth0 down", "interface eth0 is down"),
    "loopback down": ("ip -n check link set lo down", "interface lo is down"),
    "other MAC": ("ip -n check link set eth0 address 02:00:00:00:00:77", "interface eth0 has MAC 02:00:00:00:00:77"),
    "MTU raised": ("ip -n check link set eth0 mtu 9000", "interface eth0 has MTU 9000, above 1500"),
    "address deleted": ("ip -n check -4 addr flush dev eth0 scope global", "address {ipv4}/32 is missing on eth0"),
    "IPv6 address deleted": ("ip -n check -6 addr flush dev eth0 scope global", "address {ipv6}/128 is missing on eth0"),
    "route deleted": ("ip -n check route del default", "route 0.0.0.0/0 via 169.254.1.1 is missing on eth0"),
    "IPv6 route deleted": ("ip -n check -6 route del default", "route ::/0 via fe80::1 is missing on eth0"),
    "host device down": ("ip link set {host_device} down", "host device {host_device} is down"),
    "host route deleted": ("ip route del {ipv4}", "the host has no route to {ipv4} by {host_device}"),
    "host IPv6 route deleted": ("ip -6 route del {ipv6}", "the host has no route to {ipv6} by {host_device}"),
    "row deleted": ("bpftool map delete pinned {pins}/sl_endpoint key {ifindex_bytes}",
                    "map sl_endpoint has no row for {host_device}"),
    "identity row deleted": ("bpftool map delete pinned {pins}/sl_identity key 128 0 0 0 {address_bytes}",
                             "map sl_identity has no row for {ipv4}"),
}


def pins(node):
    return node.exec("ls -d /sys/fs/bpf/sluice/v*").stdout.split()[0]


def check_says(node, pod, result, expected):
    """CHECK fails and says `expected`, a regular expression, of what it found."""
    with pytest.raises(CniError) as error:
        node.cni("CHECK", conf=cni.plugin_conf(node, previous=result), env=pod.env)
    assert re.search(expected, error.value.details or error.value.msg), error.value
    assert error.value.code == CHECK_FAILED or "not known" in error.value.msg


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_check_finds_what_is_broken(node, fresh, breakage):
    pod = fresh("check")
    result = node.cni("ADD", env=pod.env)
    node.cni("CHECK", conf=cni.plugin_conf(node, previous=result), env=pod.env)
    endpoint = endpoints(node)["demo-check"]
    address = ipaddress.ip_address("::ffff:" + endpoint["ipv4"]).packed
    words = dict(endpoint, pins=pins(node), address_bytes=" ".join(map(str, address)),
                 ifindex_bytes=" ".join(map(str, int(endpoint["ifindex"]).to_bytes(4, "little"))))
    command, expected = (text.format(**words) for text in BREAKAGES[breakage])

    node.exec(command)

    check_says(node, pod, result, expected)


def detach(node, device, side):
    """Takes our program off, as somebody else might."""
    ifindex = node.exec(["cat", f"/sys/class/net/{device}/ifindex"]).stdout.strip()
    node.exec(f"bpftool link detach pinned {pins(node)}/links/{ifindex}-{side}")


@pytest.mark.parametrize("side,program", [("ingress", "pod_egress"), ("egress", "pod_ingress")])
def test_check_finds_a_detached_program(node, fresh, side, program):
    pod = fresh("detach")
    result = node.cni("ADD", env=pod.env)
    device = endpoints(node)["demo-detach"]["host_device"]

    detach(node, device, side)

    check_says(node, pod, result, f"program {program} is not attached at the {side} of {device}")


def test_check_finds_an_uplink_without_its_programs(make_lab):
    node = make_lab("a").nodes[0]
    node.start_agent()
    pod = node.add_pod("a")
    pod.env = pod.env()
    for side in ("ingress", "egress"):
        detach(node, "eth0", side)
        check_says(node, pod, pod.result, f"program uplink_{side} is not attached at the {side} of eth0")


def test_check_of_an_unknown_container(node, fresh, cluster):
    pod = fresh("unknown")
    with pytest.raises(CniError) as error:
        node.cni("CHECK", conf=cni.plugin_conf(node, previous=cluster.a.result), env=pod.env)
    assert error.value.code in (3, CHECK_FAILED)


# --- GC, STATUS, leaks ---

def gc_conf(node, keep):
    return cni.plugin_conf(node, "1.1.0", **{"cni.dev/valid-attachments": [
        {"containerID": container, "ifname": "eth0"} for container in keep]})


def test_gc_frees_what_is_not_listed_and_nothing_else_N4(node, fresh):
    pod, other = fresh("gone"), fresh("kept")
    node.cni("ADD", env=pod.env)
    node.cni("ADD", env=other.env)
    keep = [container for container in endpoints(node) if container != "demo-gone"]

    node.cni("GC", conf=gc_conf(node, keep), env={})

    assert sorted(endpoints(node)) == sorted(keep)


def test_gc_of_another_network_touches_nothing_N4(node):
    before = sorted(endpoints(node))
    node.cni("GC", conf=dict(gc_conf(node, []), name="another-network"), env={})
    assert sorted(endpoints(node)) == before


def test_status_is_ok_N6(node):
    assert node.cni("STATUS", conf=cni.plugin_conf(node, "1.1.0"), env={}) is None


def test_endpoint_without_its_namespace_is_released_N5(node, fresh):
    """containerd calls no GC: a namespace that went away without DEL is found by the agent itself, without a restart,
    also where its path names another namespace by then."""
    pod = fresh("leak")
    node.cni("ADD", env=pod.env)
    before = used(node)
    node.exec(["ip", "netns", "del", "leak"])
    node.make_netns("leak")
    wait_for(lambda: "is gone" in endpoints(node)["demo-leak"]["state"], 5, "state of the leak")
    wait_for(lambda: "demo-leak" not in endpoints(node), 20, "release of the leak", every=0.2)
    assert used(node) == before - 1
    wait_for(lambda: all(c["ok"] for c in node.status()["conditions"]), 10, "a healthy node")


# --- chains ---

def test_plugin_behind_gets_our_result_N8(node, fresh):
    """tuning, behind us, changes the interface that our result names."""
    pod = fresh("chain")
    ours = node.cni("ADD", env=pod.env)
    conf = {"cniVersion": "1.0.0", "name": cni.NETWORK, "type": "tuning", "prevResult": ours,
            "sysctl": {"net.ipv4.conf.eth0.arp_filter": "1"}}
    result = cni.call(node, "ADD", conf, pod.env, plugin="/usr/lib/cni/tuning")
    assert result["ips"] == ours["ips"]
    assert node.exec("ip netns exec chain cat /proc/sys/net/ipv4/conf/eth0/arp_filter").stdout.strip() == "1"
    node.cni("CHECK", conf=cni.plugin_conf(node, previous=result), env=pod.env)


def test_check_accepts_a_plugin_behind_that_lowers_the_mtu_N8(node, fresh):
    pod = fresh("chain")
    ours = node.cni("ADD", env=pod.env)
    conf = {"cniVersion": "1.0.0", "name": cni.NETWORK, "type": "tuning", "prevResult": ours, "mtu": 1400}
    result = cni.call(node, "ADD", conf, pod.env, plugin="/usr/lib/cni/tuning")
    assert " mtu 1400 " in node.exec("ip -n chain link show eth0").stdout
    node.cni("CHECK", conf=cni.plugin_conf(node, previous=result), env=pod.env)
    assert node.cni("ADD", env=pod.env)["ips"] == ours["ips"]
    node.cni("CHECK", conf=cni.plugin_conf(node, previous=result), env=pod.env)


def test_previous_result_is_carried_through_N8(node, fresh):
    """A plugin in front made another interface: the result has both."""
    pod = fresh("front")
    front = cni.call(node, "ADD", {"cniVersion": "1.0.0", "name": "x", "type": "loopback"},
                     dict(pod.env, CNI_IFNAME="lo"), plugin="/usr/lib/cni/loopback")
    previous = {"cniVersion": "1.0.0", "interfaces": [{"name": "net9", "sandbox": pod.netns}],
                "ips": [{"interface": 0, "address": "192.0.2.9/24"}], "dns": {"nameservers": ["192.0.2.53"]}}
    result = node.cni("ADD", conf=cni.plugin_conf(node, previous=previous), env=pod.env)
    assert front is None or "interfaces" in front
    names = [link["name"] for link in result["interfaces"]]
    assert names[0] == "net9" and "eth0" in names
    assert result["ips"][0]["address"] == "192.0.2.9/24" and result["dns"]["nameservers"] == ["192.0.2.53"]
    for ip in result["ips"][1:]:
        assert names[ip["interface"]] == "eth0"


# --- addresses ---

def test_exhausted_range_is_a_clear_error(make_lab):
    lab = make_lab("a", publish=False)
    node = lab.nodes[0]
    node.pod_cidrs = ["10.244.1.0/30", "fd44:0:0:1::/64"]
    lab.publish_nodes()
    node.start_agent()
    pods = []
    with pytest.raises(CniError) as error:
        for index in range(5):
            pods.append(node.add_pod(f"p{index}"))
    assert error.value.code == EXHAUSTED and "10.244.1.0/30" in error.value.msg + error.value.details
    assert 1 <= len(pods) <= 2 and used(node) == len(pods)
    assert used(node, "v6") == len(pods)  # the other family's address was given back
    assert "sluice_agent_address_exhausted_total 1\n" in node.http_get("/metrics")


def test_freed_address_rests(node, fresh):
    pod = fresh("rest")
    first = {ip["address"] for ip in node.cni("ADD", env=pod.env)["ips"]}
    node.cni("DEL", env=pod.env)
    second = {ip["address"] for ip in node.cni("ADD", env=pod.env)["ips"]}
    assert not first & second


def test_uid_of_the_manifest_is_checked_N9(make_lab):
    import objects
    lab = make_lab("a")
    node = lab.nodes[0]
    lab.write_manifest("pods.yaml", objects.pod("static", node="n1", uid="11111111-1111-1111-1111-111111111111"))
    node.start_agent()
    netns = node.make_netns("static")
    with pytest.raises(CniError) as error:
        node.cni("ADD", env=cni.pod_env("c1", netns, pod=("demo", "static", "22222222-2222-2222-2222-222222222222")))
    assert error.value.code == TRY_AGAIN or "uid" in (error.value.msg + error.value.details).lower()
    node.cni("ADD", env=cni.pod_env("c2", netns, pod=("demo", "static", "11111111-1111-1111-1111-111111111111")))
