# SPDX-License-Identifier: Apache-2.0
"""Labs for the tests, the packet balance after each of them, and what is kept of a failed one."""
import contextlib
import os
import re
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "nodes"))
import objects  # noqa: E402
from machine import wait_for  # noqa: E402
from nodes import Lab  # noqa: E402

LIVE = []  # labs of now, for the balance and for the folder of a failure


def pytest_sessionstart(session):
    if os.geteuid() != 0:
        raise pytest.UsageError("tests/netns makes namespaces: run as root")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed and LIVE:
        report.sections.append(("kept", collect(item.name)))


def collect(test):
    """Logs and state of every live node in one folder; returns its path."""
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", test)
    logs = os.environ.get("SLUICE_TEST_LOGS")
    if logs:
        os.makedirs(logs, exist_ok=True)
    folder = tempfile.mkdtemp(prefix=f"sluice-failed-{safe}-", dir=logs)
    for lab in LIVE:
        for node in lab.nodes:
            if not node.is_alive():
                continue
            for name, command in {
                "ip": "ip -d addr; ip route show table all; ip neigh; ip rule", "links": "ip -s link",
                "bpf": "bpftool net; ls -lR /sys/fs/bpf/sluice",
            }.items():
                keep(folder, f"{lab.name}-{node.name}-{name}.txt", node.exec(command, check=False))
            for words in (["status"], ["endpoint", "list"], ["drops"], ["bpf", "ct"], ["bpf", "nat"],
                          ["bpf", "endpoint"], ["observe", "--last", "200"]):
                keep(folder, f"{lab.name}-{node.name}-{'-'.join(words)}.txt", node.cli(*words, check=False))
            with open(f"{folder}/{lab.name}-{node.name}-agent.log", "w") as out:
                out.write(node.log_tail(5000))
    return folder


def keep(folder, name, done):
    with open(os.path.join(folder, name), "w") as out:
        out.write(done.stdout + done.stderr)


def unbalanced(node):
    """Hooks of the node whose packets do not add up: seen = forwarded + redirected + dropped."""
    return [hook for hook in node.status()["hooks"]
            if int(hook["seen"]) != sum(int(hook[name]) for name in ("forwarded", "redirected", "dropped"))]


def check_balance(lab):
    for node in lab.nodes:
        if node.agent is not None and node.agent.poll() is None:
            # A packet may be between its two counters at the moment of the reading.
            try:
                wait_for(lambda node=node: not unbalanced(node), 3, "balance")
            except TimeoutError:
                pytest.fail(f"{node.name}: packets are lost from the count: {unbalanced(node)}")


@pytest.fixture(autouse=True)
def packets_add_up():
    """Of the labs that outlive the test; a lab of the test's own is gone by then, close_lab checks it."""
    yield
    for lab in LIVE:
        check_balance(lab)


def open_lab(subnets, **options):
    lab = Lab(subnets, **options)
    LIVE.append(lab)
    return lab


def drop_lab(lab):
    LIVE.remove(lab)
    lab.destroy()


def close_lab(lab):
    try:
        check_balance(lab)
    except BaseException:
        print("kept:", collect("balance"))
        raise
    finally:
        drop_lab(lab)


@pytest.fixture
def make_lab():
    """make_lab("aa") gives a lab of the test's own: nodes published, no agent runs yet."""
    made = []

    def make(subnets="a", publish=True, **options):
        lab = open_lab(subnets, **options)
        made.append(lab)
        lab.write_manifest("namespaces.yaml", objects.namespace("demo"))
        if publish:
            lab.publish_nodes()
        return lab

    yield make
    with contextlib.ExitStack() as closing:
        for lab in made:
            closing.callback(close_lab, lab)


class Cluster:
    """n1 and n2 share a subnet (native), n3 has another one (VXLAN by `routing: auto`).
    Pods: a and b on n1, c on n2, d on n3."""

    def __init__(self, lab):
        self.lab, self.outside = lab, lab.outside
        self.n1, self.n2, self.n3 = lab.nodes
        self.a, self.b = self.n1.add_pod("a"), self.n1.add_pod("b")
        self.c, self.d = self.n2.add_pod("c"), self.n3.add_pod("d")
        # What kubelet would report: the other nodes learn from it which pod has which address.
        lab.write_manifest("pods.yaml", *[objects.pod(pod.name, node=pod.node.name, labels={"app": pod.name},
                                                      addresses=pod.addresses())
                                          for pod in (self.a, self.b, self.c, self.d)])

    def peer(self, path):
        """The machine or pod at the far end of `path` as pod a sees it."""
        return {"same-node": self.b, "native": self.c, "vxlan": self.d, "outside": self.outside,
                "own-node": self.n1, "other-node": self.n2, "node-off-subnet": self.n3}[path]


def open_cluster(config=None):
    lab = open_lab("aab")
    try:
        lab.write_manifest("namespaces.yaml", objects.namespace("demo"))
        lab.publish_nodes()
        lab.write_manifest("pods.yaml", *[objects.pod(name, node=node, labels={"app": name})
                                          for name, node in (("a", "n1"), ("b", "n1"), ("c", "n2"), ("d", "n3"))])
        for node in lab.nodes:
            node.start_agent(config, wait=False)
        for node in lab.nodes:
            node.wait_ready()
        return Cluster(lab)
    except BaseException:
        if lab.nodes:
            print("kept:", collect("cluster"))
        drop_lab(lab)
        raise


@pytest.fixture(scope="session")
def shared_cluster():
    made = open_cluster()
    yield made
    close_lab(made.lab)


@pytest.fixture
def cluster(shared_cluster):
    """The cluster of the whole run. A test that stops an agent starts it again."""
    for node in shared_cluster.lab.nodes:
        if node.agent is None or node.agent.poll() is not None:
            node.agent = None
            node.start_agent()
    return shared_cluster


def dropped(node, reason, pod=None):
    """Packets that the node dropped for that reason (of that pod, "namespace/name")."""
    return sum(int(drop["packets"]) for drop in node.cli_json("drops").get("drops", [])
               if drop["reason"] == reason and (pod is None or drop["pod"] == pod))


def address_of(end, family):
    return end.ipv4 if family == "v4" else end.ipv6
