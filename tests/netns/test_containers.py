# SPDX-License-Identifier: Apache-2.0
"""Real containers: containerd 1.6 with `ctr run --cni`, which reads the list that the agent put in place."""
import objects
import pytest
from containers import Containerd, make_tools_image
from machine import wait_for
from traffic import ping


@pytest.fixture
def engine(make_lab):
    lab = make_lab("a")
    lab.write_manifest("pods.yaml", objects.pod("web", node="n1", labels={"app": "web"}))
    lab.nodes[0].start_agent()
    engine = Containerd(lab.nodes[0])
    engine.load(make_tools_image(lab.dir))
    return engine


def endpoints(node):
    return {e["container_id"]: e for e in node.cli_json("endpoint", "list").get("endpoints", [])}


def test_container_becomes_the_pod_of_its_manifest_N1(engine):
    container = engine.run("web")

    assert endpoints(engine.node)["demo-web"]["labels"] == {"app": "web"}
    for address in (container.ipv4, container.ipv6):
        assert ping(engine.node, address, 2)[1] == 2
    assert "127.0.0.1" in container.run("ip", "addr").stdout


def test_container_that_ended_without_del_is_released_N5(engine):
    """ctr asks for no DEL of a detached container; its namespace is gone all the same."""
    container = engine.run("web")
    kept = engine.run("other")

    engine.remove(container)

    wait_for(lambda: "demo-web" not in endpoints(engine.node), 20, "release of the address", every=0.2)
    assert "demo-other" in endpoints(engine.node)
    assert ping(engine.node, kept.ipv4, 1)[1] == 1
