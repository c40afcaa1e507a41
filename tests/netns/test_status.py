# SPDX-License-Identifier: Apache-2.0
"""What keeps a node from taking pods: STATUS and ADD say no where no pod would work, and only there."""
import os
import signal

import cni
import pytest
from cni import CniError
from machine import wait_for
from traffic import ping

TRY_AGAIN, LIMITED_CONNECTIVITY = 11, 51


def status_code(node):
    """0, or the code of CNI's error."""
    try:
        node.cni("STATUS", conf=cni.plugin_conf(node, "1.1.0"), env={})
    except CniError as error:
        return error.code
    return 0


def take_the_overlays_name(node):
    """A stranger's device where ours was. The agent would be quicker than the second command: it stands still meanwhile."""
    os.kill(node.agent_pid, signal.SIGSTOP)
    try:
        node.exec("ip link del sluice_vxlan && ip link add sluice_vxlan type veth peer name foreign9")
    finally:
        os.kill(node.agent_pid, signal.SIGCONT)


def datapath_is_well(node):
    return next(c["ok"] for c in node.status()["conditions"] if c["name"] == "datapath")


def test_failure_of_the_node_stops_new_pods_and_no_running_one_N6(make_lab):
    lab = make_lab("ab")
    node = lab.nodes[0]
    node.start_agent()
    a, b = node.add_pod("a"), node.add_pod("b")
    assert status_code(node) == 0

    take_the_overlays_name(node)

    wait_for(lambda: status_code(node) == LIMITED_CONNECTIVITY, 10, "STATUS says that pods suffer")
    with pytest.raises(CniError) as refused:
        node.add_pod("c")
    assert refused.value.code == TRY_AGAIN
    assert "sluice_vxlan" in refused.value.msg
    assert ping(a, b.ipv4, 1)[1] == 1 and ping(a, b.ipv6, 1)[1] == 1

    node.exec("ip link del sluice_vxlan")
    wait_for(lambda: status_code(node) == 0, 15, "STATUS is well again")
    node.add_pod("d")


def test_failure_of_one_pod_stops_no_other_N6(make_lab):
    node = make_lab("a").nodes[0]
    node.start_agent()
    a, b = node.add_pod("a"), node.add_pod("b")
    device = next(i["name"] for i in a.result["interfaces"] if "sandbox" not in i)
    node.exec(f"ip link del {device}")

    c = node.add_pod("c")

    wait_for(lambda: not datapath_is_well(node), 10, "the report of pod a's device")
    assert status_code(node) == 0
    assert ping(c, b.ipv4, 1)[1] == 1
    node.del_pod(a)
    wait_for(lambda: datapath_is_well(node), 15, "the end of the report")
