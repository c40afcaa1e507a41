# SPDX-License-Identifier: Apache-2.0
"""Standalone mode: a folder of manifests is the cluster, and changes of it are seen at once."""
import os
import statistics
import time

import objects
import pytest
from machine import wait_for
from traffic import ping


@pytest.fixture
def node(make_lab):
    lab = make_lab("a")
    lab.write_manifest("pods.yaml", objects.pod("a", node="n1", labels={"app": "one"}))
    lab.nodes[0].start_agent()
    lab.nodes[0].add_pod("a")
    return lab.nodes[0]


def labels_of(node, container="demo-a"):
    return next(e for e in node.cli_json("endpoint", "list")["endpoints"] if e["container_id"] == container)["labels"]


def bad_conditions(node):
    return [c["message"] for c in node.status()["conditions"] if not c["ok"]]


def test_each_change_is_seen_within_100_ms(node):
    """Each change waits for the one before to be seen: whoever looks every P seconds takes P for each of them. The time
    that a look of ours takes (a new process in the node) is measured beside, so that a busy machine asks for no more."""
    times, looks = [], []
    for value in range(15):
        node.lab.write_manifest("pods.yaml", objects.pod("a", node="n1", labels={"app": f"v{value}"}))
        began = time.monotonic()
        wait_for(lambda value=value: labels_of(node)["app"] == f"v{value}", 5, "the new label", every=0.001)
        seen = time.monotonic()
        times.append(seen - began)
        labels_of(node)
        looks.append(time.monotonic() - seen)
    assert statistics.median(times) < 0.1 + 2 * statistics.median(looks), (times, looks)


def test_write_in_place_is_seen_too(node):
    with open(os.path.join(node.lab.manifests, "pods.yaml")) as text:
        changed = text.read().replace("one", "edited")
    with open(os.path.join(node.lab.manifests, "pods.yaml"), "w") as out:
        out.write(changed)
    wait_for(lambda: labels_of(node)["app"] == "edited", 2, "the new label")


@pytest.mark.parametrize("text,place", [
    ("apiVersion: v1\nkind: Pod\nmetadata: {name: a\n", "pods.yaml:"),
    ("\tkind: Pod\n", "pods.yaml:1:"),
    ("apiVersion: v1\nkind: Pod\nmetadata:\n  namespace: demo\n  name: a\n  labels: 7\n", "pods.yaml:6:"),
    ("apiVersion: v1\nkind: Pod\nmetadata:\n  name: \"\udcff\udcfe\"\n", "pods.yaml:4:9: Pod: metadata.name: \"\\xff\\xfe\""),
    ("\x7fELF\udcff: [\n", "pods.yaml:"),
    ("apiVersion: v1\nkind: Pod\nmetadata:\n  namespace: demo\n  name: a\n  name: b\n", "pods.yaml:6:3: Pod demo/a"),
    ("apiVersion: v1\nkind: pod\n", "pods.yaml:2:7"),
])
def test_broken_file_is_reported_with_its_place_and_changes_nothing(node, text, place):
    assert bad_conditions(node) == []
    node.lab.write_text("pods.yaml", text)

    wait_for(lambda: any(place in message for message in bad_conditions(node)), 3, "the report")
    assert place in node.http_get("/healthz")
    assert labels_of(node) == {"app": "one"}  # the last good state

    node.lab.write_manifest("pods.yaml", objects.pod("a", node="n1", labels={"app": "mended"}))
    wait_for(lambda: bad_conditions(node) == [], 3, "the end of the report")
    assert labels_of(node) == {"app": "mended"}


def test_new_node_becomes_reachable_and_a_removed_one_goes(make_lab):
    lab = make_lab("aa", publish=False)
    n1, n2 = lab.nodes
    lab.write_manifest("n1.yaml", n1.manifest())
    lab.write_manifest("n2.yaml", n2.manifest())
    n2.start_agent()
    c = n2.add_pod("c")
    os.unlink(os.path.join(lab.manifests, "n2.yaml"))
    n1.start_agent()
    a = n1.add_pod("a")

    lab.write_manifest("n2.yaml", n2.manifest())
    wait_for(lambda: ping(a, c.ipv4, 1, timeout=1)[1] == 1, 5, "the way to the new node")
    assert ping(a, c.ipv6, 1)[1] == 1

    os.unlink(os.path.join(lab.manifests, "n2.yaml"))
    wait_for(lambda: n2.pod_cidrs[0] not in n1.exec("ip route").stdout, 5, "the route's end")


def test_empty_folder_is_no_reason_to_end(make_lab):
    lab = make_lab("a", publish=False)
    node = lab.nodes[0]
    node.start_agent(wait=False)
    wait_for(lambda: node.cli("status", check=False).stdout, 5, "an answer")
    assert not node.status()["ready"]
    lab.publish_nodes()
    node.wait_ready()


def test_first_start_over_a_broken_manifest_says_where(make_lab):
    """Nothing was ever good: what is wrong is the manifest, not that a Node is missing."""
    lab = make_lab("a", publish=False)
    node = lab.nodes[0]
    with open(os.path.join(lab.manifests, "nodes.yaml"), "w") as out:
        out.write("kind: Node\nmetadata:\n  name: n1\n bad: [\n")
    node.start_agent(wait=False)
    wait_for(lambda: node.cli("status", check=False).stdout, 5, "an answer")
    intent = next(c for c in node.status()["conditions"] if c["name"] == "intent")
    assert not intent["ok"] and "nodes.yaml:4:" in intent["message"] and "n1" in intent["message"]


def test_a_file_is_no_folder_of_manifests(make_lab):
    node = make_lab("a").nodes[0]
    node.source = ["--standalone", "/etc/hostname"]
    done = node.exec(node.agent_argv(), check=False, timeout=20)
    assert done.returncode == 1 and "/etc/hostname is not a folder" in done.stderr
