# SPDX-License-Identifier: Apache-2.0
"""A start that cannot work says why; a start over damage keeps what is whole."""
import json
import signal
import socket

import objects
import pytest
from cni import CniError
from machine import wait_for
from node import bin_dir
from traffic import ping


def refused(node, words, timeout=15, **options):
    """The agent ends by itself with a failure, and its log names each of `words`."""
    node.start_agent(wait=False, **options)
    wait_for(lambda: node.agent.poll() is not None, timeout, "the agent's end")
    assert node.agent.returncode not in (0, -signal.SIGSEGV, -signal.SIGABRT, 139, 134)
    log = node.log_tail()
    for word in words:
        assert word in log, log
    node.agent = None


def test_bpffs_that_is_not_mounted_is_named(make_lab):
    lab = make_lab("")
    lab.add_node(bpffs=False)
    lab.publish_nodes()
    refused(lab.nodes[0], ["/sys/fs/bpf"])


@pytest.mark.parametrize("capability", ["net_admin", "bpf,-sys_admin"])
def test_missing_capability_is_named(make_lab, capability):
    lab = make_lab("a")
    drop = ",".join("-" + name.lstrip("-") for name in capability.split(","))
    refused(lab.nodes[0], ["CAP_" + capability.split(",")[0].upper()],
            prefix=["setpriv", f"--bounding-set={drop}", f"--inh-caps={drop}", "--"])


@pytest.mark.parametrize("text,words", [
    ("routing: sideways\n", ["routing", "sideways", "1:"]),
    ("snat: {portMin: 70000}\n", ["snat.portMin"]),
    ("noSuchField: 1\n", ["noSuchField"]),
    ("nodeName: [\n", [":2:"]),
])
def test_bad_configuration_names_the_field(make_lab, text, words):
    node = make_lab("a").nodes[0]
    path = f"{node.root}/bad.yaml"
    with open(path, "w") as out:
        out.write(text)
    refused(node, words, config=path)


def test_snat_range_that_host_sockets_use_is_refused_S15(make_lab):
    refused(make_lab("a").nodes[0], ["snat"], config={"snat": {"portMin": 40000, "portMax": 41000}})


@pytest.mark.parametrize("damage", ["", "{", "\x00" * 200, "[]", '{"endpoints": 7}'])
def test_corrupt_state_file_loses_no_pod(make_lab, damage):
    """The devices themselves say whose they are: the pods stay, and the damaged file is kept aside."""
    lab = make_lab("a")
    node = lab.nodes[0]
    node.start_agent()
    a, b = node.add_pod("a"), node.add_pod("b")
    node.kill_agent(signal.SIGKILL)
    with open(node.fs + "/var/lib/sluice/pods.json", "w") as out:
        out.write(damage)

    node.start_agent()

    found = {e["container_id"]: e["ipv4"] for e in node.cli_json("endpoint", "list")["endpoints"]}
    assert found == {a.container: a.ipv4, b.container: b.ipv4}
    assert node.exec("ls /var/lib/sluice").stdout.count("pods.json.corrupt-") == 1
    assert ping(a, b.ipv4, 2)[1] == 2
    assert node.add_pod("late").ipv4 not in (a.ipv4, b.ipv4)


@pytest.mark.parametrize("how", ["full", "read-only"])
def test_state_folder_that_cannot_be_written_stops_no_agent_and_no_del_N2(make_lab, how):
    """Pods that run go on, a DEL is taken; a new pod would be forgotten and is refused, until there is room again."""
    lab = make_lab("a")
    node, config = lab.nodes[0], {"stateDir": "/mnt/state"}
    node.exec("mkdir -p /mnt/state && mount -t tmpfs -o size=128k tmpfs /mnt/state")
    node.start_agent(config)
    a, b = node.add_pod("a"), node.add_pod("b")
    if how == "full":
        node.exec("head -c 200000 /dev/zero > /mnt/state/fill", check=False)
    else:
        node.exec("mount -o remount,ro /mnt/state")
    node.kill_agent(signal.SIGKILL)
    node.cni("DEL", b)
    assert "demo-b" in node.exec("ls /run/sluice/cni-queue").stdout

    node.start_agent(config)
    lab.write_manifest("more.yaml", objects.pod("new", node="n1", labels={"identity": "new"}))

    def wrong():
        return {c["name"]: c["message"] for c in node.status()["conditions"] if not c["ok"]}

    assert "save the pods' state" in node.log_tail()
    wait_for(lambda: "state" in wrong(), 5, "the condition")
    found = wrong()
    assert "pods.json" in found["addresses"], found
    assert "intent.json" in found["state"] and "identities.json" in found["state"], found
    assert [e["container_id"] for e in node.cli_json("endpoint", "list")["endpoints"]] == [a.container]
    assert ping(a, lab.outside.ipv4, 1)[1] == 1
    with pytest.raises(CniError) as error:
        node.add_pod("c")
    assert error.value.code == 5 and "pods.json" in error.value.details, error.value

    node.exec("rm /mnt/state/fill" if how == "full" else "mount -o remount,rw /mnt/state")
    lab.write_manifest("more.yaml", objects.pod("new", node="n1", labels={"identity": "newer"}))
    wait_for(lambda: not wrong(), 10, "a healthy node")
    node.add_pod("d")
    assert node.exec("ls -A /run/sluice/cni-queue").stdout == ""


def test_pod_that_a_kill_left_half_made_is_taken_away(make_lab):
    """Killed between the making of the devices and their last step: the host's end is down, nobody got an answer."""
    node = make_lab("a").nodes[0]
    node.start_agent()
    kept, half = node.add_pod("kept"), node.add_pod("half")
    device = next(e["host_device"] for e in node.cli_json("endpoint", "list")["endpoints"]
                  if e["container_id"] == half.container)
    node.kill_agent(signal.SIGKILL)
    node.exec(f"ip link set {device} down; rm /var/lib/sluice/pods.json")

    node.start_agent()

    assert device not in node.exec("ip -br link").stdout and device in node.log_tail()
    assert [e["container_id"] for e in node.cli_json("endpoint", "list")["endpoints"]] == [kept.container]
    assert all(c["ok"] for c in node.status()["conditions"]), node.status()["conditions"]


def test_pinned_map_of_another_shape_is_refused_by_name(make_lab):
    lab = make_lab("a")
    node = lab.nodes[0]
    node.start_agent()
    node.kill_agent()
    pins = node.exec("ls -d /sys/fs/bpf/sluice/v*").stdout.split()[0]
    node.exec(f"rm {pins}/sl_node && bpftool map create {pins}/sl_node type hash key 4 value 9 entries 3 name sl_node")

    refused(node, ["sl_node"])


def test_pins_of_another_layout_are_refused_by_name(make_lab):
    """A newer agent ran here and its programs may still carry packets: two of them would undo each other's work."""
    node = make_lab("a").nodes[0]
    node.exec("mkdir -p /sys/fs/bpf/sluice/v999 && "
              "bpftool map create /sys/fs/bpf/sluice/v999/sl_ct type hash key 8 value 8 entries 8 name sl_ct")

    refused(node, ["v999"])


ELSEWHERE = {"runDir": "/run/other", "stateDir": "/var/lib/other", "metricsAddress": "",
             "cniConfDir": "/etc/cni/other", "cniBinDir": "/opt/cni/other"}


@pytest.mark.parametrize("config", [None, ELSEWHERE], ids=["same folders", "folders of its own"])
def test_second_agent_on_one_node_is_refused(make_lab, config):
    lab = make_lab("a")
    node = lab.nodes[0]
    node.start_agent()
    first, pid = node.agent, node.agent_pid
    node.agent = None

    refused(node, ["another sluice-agent (pid ", "stop it first"], config=config)

    node.agent, node.agent_pid = first, pid
    assert node.status()["ready"]
    a = node.add_pod("a")
    assert ping(node, a.ipv4, 1)[1] == 1


def test_overlapping_pod_ranges_of_two_nodes_are_reported(make_lab):
    lab = make_lab("aa", publish=False)
    n1, n2 = lab.nodes
    n2.pod_cidrs = ["10.244.1.128/25", n2.pod_cidrs[1]]
    lab.publish_nodes()
    n1.start_agent()

    bad = [c for c in n1.status()["conditions"] if not c["ok"]]

    assert any("n1" in c["message"] and "n2" in c["message"] and "10.244.1" in c["message"] for c in bad), bad
    assert n1.add_pod("a").ipv4  # the node whose name sorts first keeps its range


def test_pod_range_that_holds_the_node_gives_no_pod_its_address_or_its_routers(make_lab):
    lab = make_lab("a", publish=False)
    node = lab.nodes[0]
    node.pod_cidrs = ["172.30.0.0/28", node.pod_cidrs[1]]
    lab.publish_nodes()
    node.start_agent()
    assert node.ipv4 == "172.30.0.11"

    given = []
    with pytest.raises(CniError) as error:
        for index in range(20):
            given.append(node.add_pod(f"p{index}").ipv4)

    assert error.value.code == 100, error.value
    assert given == [f"172.30.0.{last}" for last in range(2, 15) if last != 11]
    assert "172.30.0.11" in node.log_tail(200) and "172.30.0.1," in node.log_tail(200)


def test_internal_ip_that_is_not_the_hosts_is_said(make_lab):
    lab = make_lab("a", publish=False)
    node = lab.nodes[0]
    manifest = node.manifest()
    manifest["status"]["addresses"][0]["address"] = "172.30.0.99"
    lab.write_manifest("nodes.yaml", manifest)
    node.start_agent()

    wrong = [c["message"] for c in node.status()["conditions"] if not c["ok"]]
    assert any("InternalIP 172.30.0.99 of Node n1 is on no device of this host" in each for each in wrong), wrong

    lab.publish_nodes()
    wait_for(lambda: all(c["ok"] for c in node.status()["conditions"]), 5, "a healthy node")


def test_status_says_that_all_is_well(cluster):
    for node in cluster.lab.nodes:
        status = node.status()
        assert status["ready"] and all(c["ok"] for c in status["conditions"]), status["conditions"]
        assert 0 < int(status["applied_revision"]) == int(status["intent_revision"])
        assert node.cli("status").returncode == 0


def test_check_finds_nothing_to_mend_on_a_ready_node(cluster):
    for node in cluster.lab.nodes:
        results = node.cli_json("check")["results"]
        assert [each for each in results if each["level"] == "fail"] == []
        overlay = node.exec("ip link show sluice_vxlan", check=False).returncode == 0
        port = next(each for each in results if each["name"] == "UDP 8472")
        assert port["found"] == ("held by sluice_vxlan" if overlay else "free")
    assert any(node.exec("ip link show sluice_vxlan", check=False).returncode == 0 for node in cluster.lab.nodes)


def test_health_and_metrics_are_served(cluster):
    assert " 200 " in cluster.n1.http_get("/healthz").splitlines()[0]
    metrics = cluster.n1.http_get("/metrics")
    assert "sluice_agent_" in metrics and "sluice_datapath_" in metrics
    assert json.dumps(metrics).count("# HELP") > 5
    series = [line.rsplit(" ", 1)[0] for line in metrics.splitlines() if line.startswith("sluice_")]
    assert len(series) == len(set(series))
    assert " 200 " in cluster.n1.http_get("/healthz", family=socket.AF_INET6).splitlines()[0]


def test_start_without_a_source_touches_nothing(make_lab):
    node = make_lab("a").nodes[0]
    done = node.exec([f"{bin_dir()}/sluice-agent", "--config", node.write_config()], check=False)

    assert done.returncode == 2 and "--standalone DIR" in done.stderr, done.stderr
    assert node.exec("ls -d /sys/fs/bpf/sluice; ls /run/sluice", check=False).stdout == ""


def test_output_that_nobody_takes_is_not_blamed_on_the_agent(cluster):
    node, sluice = cluster.n1, f"{bin_dir()}/sluice"
    assert ping(cluster.a, cluster.b.ipv4, 1)[1] == 1
    wait_for(lambda: node.cli("observe").stdout, 3, "a flow")

    for words in ("observe", "observe -o table", "status"):
        full = node.exec(f"{sluice} {words} >/dev/full", check=False)
        assert full.returncode == 1 and full.stderr == "sluice: cannot write the output: No space left on device\n", full
    left = node.exec(["bash", "-c", f"(sleep 0.3; {sluice} observe; echo rc $? >&2) | true"], check=False)
    assert left.stderr in ("rc 0\n", "rc 141\n"), left.stderr


def test_observe_by_others_than_root_says_sudo(cluster):
    done = cluster.n1.exec(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all",
                            f"{bin_dir()}/sluice", "observe"], check=False)
    assert done.returncode == 3 and "sudo sluice observe" in done.stderr, done.stderr


def test_json_of_observe_has_no_extension_unless_asked(cluster):
    assert ping(cluster.a, cluster.b.ipv4, 1)[1] == 1
    wait_for(lambda: cluster.n1.cli("observe").stdout, 3, "a flow")
    assert "sluice.flow.v1" not in cluster.n1.cli("observe", "-o", "json").stdout
    assert "sluice.flow.v1.Counters" in cluster.n1.cli("observe", "-o", "json", "--counters").stdout
