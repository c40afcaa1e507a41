# SPDX-License-Identifier: Apache-2.0
"""Operators and agents in a real cluster: nodes become usable by their agents, and stay so whoever dies."""
import signal
import time

import pytest

import operated
import workloads
from cluster import condition
from conftest import LIVE, Keeper, fetch
from machine import wait_for


@pytest.fixture(scope="module")
def cluster():
    """Two nodes that nothing may be scheduled to yet; the tests of this file go on from each other's state."""
    keeper = Keeper()
    made = keeper.open(2, taints=[{"key": operated.TAINT, "effect": "NoSchedule"}])
    made.apply(*operated.access(), namespace=operated.NAMESPACE)
    made.apply(*[operated.agent_pod(node.name) for node in made.nodes], namespace=operated.NAMESPACE)
    yield made
    keeper.close(LIVE[LIVE.index(made)])


@pytest.fixture(scope="module")
def operators(cluster):
    made = [operated.Operator(cluster, f"op{i}", i).start() for i in range(2)]
    for one in made:
        one.wait_healthy()
    yield made
    for one in made:
        one.kill()


def taints(cluster, name):
    return {taint["key"] for taint in cluster.node_object(name)["spec"].get("taints", [])}


def is_open(cluster, name):
    node = cluster.node_object(name)
    return (operated.TAINT not in taints(cluster, name)
            and condition(node, "NetworkUnavailable")["status"] == "False")


def refused(operators, cause):
    return sum(one.metric(f'sluice_operator_streams_refused_total{{cause="{cause}"}}') for one in operators)


def agents(operators):
    return sum(one.metric("sluice_operator_agents") for one in operators)


def problems(node):
    return {problem["object"]: problem["message"] for problem in node.status().get("problems", [])}


def test_agent_with_the_token_of_another_node_gets_nothing(cluster, operators):
    node = operated.use_operators(cluster, "n2", operators, token_of="n1")
    node.start_agent(wait=False)

    wait_for(lambda: refused(operators, "node") > 0, 20, "the refusal", every=0.1)
    wait_for(lambda: "bound to node n1" in problems(node).get("operator", ""), 20, "the reason", every=0.1)
    assert not node.status().get("ready") and agents(operators) == 0
    assert operated.TAINT in taints(cluster, "n2")
    assert "no such condition" in condition(cluster.node_object("n2"), "NetworkUnavailable")["message"]
    node.kill_agent()


def test_node_is_opened_by_its_agents_first_snapshot_and_no_other(cluster, operators):
    node = operated.use_operators(cluster, "n1", operators)
    assert operated.TAINT in taints(cluster, "n1")

    node.start_agent()

    wait_for(lambda: is_open(cluster, "n1"), 20, "n1 without its taint", every=0.05)
    assert not is_open(cluster, "n2")
    marked = lambda: sum(one.metric("sluice_operator_nodes_marked_total") for one in operators)
    wait_for(lambda: (agents(operators), marked()) == (1, 1), 5, "one agent, one node in the metrics", every=0.1)


def test_pods_of_two_nodes_reach_each_other(cluster, operators):
    operated.use_operators(cluster, "n2", operators).start_agent()
    wait_for(lambda: is_open(cluster, "n2"), 20, "n2 without its taint", every=0.05)
    cluster.wait_nodes()

    addresses = cluster.run_pods(workloads.agnhost("a", node="n1"), workloads.agnhost("b", node="n2"))

    for address in addresses["b"]:
        assert fetch(cluster, "a", address) == "b"
    for address in addresses["a"]:
        assert fetch(cluster, "b", address) == "a"


def test_with_all_operators_killed_agents_restart_and_pods_come_and_talk(cluster, operators):
    node = cluster.node("n1").node
    for one in operators:
        one.kill()
    wait_for(lambda: "operator" in problems(node), 20, "the condition", every=0.1)

    node.restart_agent(signal.SIGKILL)

    wait_for(lambda: "is tried in" in problems(node).get("operator", ""), 10, "what is tried next", every=0.1)
    assert fetch(cluster, "a", cluster.addresses_of("b")[0]) == "b"
    late = cluster.run_pods(workloads.agnhost("late", node="n1"))["late"]
    assert fetch(cluster, "b", late[0]) == "late"
    assert is_open(cluster, "n1"), "nobody takes it back"

    for one in operators:
        one.start().wait_healthy()
    wait_for(lambda: agents(operators) == 2, 40, "both agents are back", every=0.1)
    wait_for(lambda: not problems(node), 20, "a healthy agent", every=0.1)
    opened = lambda how: sum(one.metric(f'sluice_operator_streams_opened_total{{with="{how}"}}') for one in operators)
    assert opened("snapshot") == 0 and opened("resumed") + opened("difference") >= 2


def test_agents_of_a_killed_replica_go_to_the_other_which_leads_in_time(cluster, operators):
    wait_for(lambda: any(one.leads() for one in operators), 30, "a leader", every=0.1)
    leader = next(one for one in operators if one.leads())
    other = next(one for one in operators if one is not leader)

    leader.kill()

    wait_for(lambda: other.metric("sluice_operator_agents") == 2, 20, "both agents at the other", every=0.1)
    wait_for(other.leads, 30, "the other leads", every=0.1)
    leader.start().wait_healthy()


def test_node_that_was_deleted_and_registers_again_is_opened_again(cluster, operators):
    node = cluster.node("n2")
    cluster.kubectl("delete", "node", "n2")
    node.stop("kubelet")
    node.start_kubelet()
    cluster.wait_registered()

    wait_for(lambda: is_open(cluster, "n2"), 40, "n2 without its taint", every=0.1)


def test_taint_that_somebody_else_sets_stays_through_a_restart_of_the_operators(cluster, operators):
    """Only ours is taken away; and nothing of what others set."""
    cluster.kubectl("taint", "node", "n1", "example.com/maintenance=yes:NoSchedule")
    for one in operators:
        one.kill()
        one.start().wait_healthy()
    wait_for(lambda: agents(operators) == 2, 40, "both agents are back", every=0.1)
    time.sleep(1)

    assert "example.com/maintenance" in taints(cluster, "n1")
    cluster.kubectl("taint", "node", "n1", "example.com/maintenance-")
