# SPDX-License-Identifier: Apache-2.0
"""The source of objects against the real API server: what it sees, and how much it costs to see it."""
import json
import os
import shutil

from api_server import replace
from machine import wait_for
from watcher import Watcher

CRD = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
       "metadata": {"name": "pools.test.sluice.dev"},
       "spec": {"group": "test.sluice.dev", "scope": "Cluster", "names": {"plural": "pools", "singular": "pool", "kind": "Pool"},
                "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}


def names(watcher, space):
    return sorted(name for kind, where, name in watcher.state if kind == "Pod" and where == space)


def test_changes_of_a_pod_arrive_and_only_those_that_matter(watch, plane, space, pods):
    watcher = watch()
    pods.add("web", app="web")
    watcher.wait_change("upsert", "Pod", space, "web")
    status = f"{pods.path}/web/status"
    plane.patch(status, {"status": {"conditions": [{"type": "Ready", "status": "False"}]}})
    plane.patch(status, {"status": {"phase": "Running", "podIP": "10.9.0.5", "podIPs": [{"ip": "10.9.0.5"}]}})
    watcher.wait(lambda: watcher.state["Pod", space, "web"]["addresses"] == ["10.9.0.5"], "the pod's address")
    pods.remove("web")
    watcher.wait_change("remove", "Pod", space, "web")

    assert [change for change in watcher.changes if change[2] == space] == [
        ("upsert", "Pod", space, "web"), ("upsert", "Pod", space, "web"), ("remove", "Pod", space, "web")]
    assert watcher.metrics("Pod")["events"] >= 4


def test_all_watches_share_one_connection(watch, plane):
    watcher = watch(flags=["--kind", "Node", "Namespace", "Pod", "Service"])
    watcher.wait(lambda: all(watcher.metrics(kind)["watches"] for kind in ("Node", "Namespace", "Pod", "Service")), "watches")

    assert watcher.connections() == 1


def test_list_in_pages_misses_nothing(watch, space, pods):
    for number in range(7):
        pods.add(f"p{number}")
    watcher = watch(flags=["--page", "2"])

    assert names(watcher, space) == [f"p{number}" for number in range(7)]
    assert watcher.metrics("Pod")["pages"] >= 4


def test_store_is_what_the_changes_said(watch, space, pods):
    pods.add("a", app="x")
    watcher = watch()
    pods.add("b", app="y")
    pods.label("a", app="z")
    pods.remove("a")
    watcher.wait_change("remove", "Pod", space, "a")
    watcher.wait(lambda: names(watcher, space) == ["b"], "b alone")

    assert watcher.objects() == watcher.state


def test_watch_goes_on_where_the_server_ended_it(watch, space, pods):
    watcher = watch(flags=["--watch-s", "1"])
    for number in range(6):
        pods.add(f"p{number}")
        watcher.wait(lambda number=number: watcher.metrics("Pod")["watches"] > number, "the next watch")
    watcher.wait(lambda: len(names(watcher, space)) == 6, "all pods")

    assert watcher.metrics("Pod")["lists"] == 1
    assert watcher.changes.count(("upsert", "Pod", space, "p0")) == 1


def test_custom_kind_comes_as_json_and_with_its_definition(watch, plane):
    watcher = watch(flags=["--custom", "Pool,test.sluice.dev/v1,pools", "--absent-ms", "200"])
    assert watcher.metrics("Pool")["restarts"].get("absent")

    plane.must("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", CRD)
    path = "/apis/test.sluice.dev/v1/pools"
    wait_for(lambda: plane.call("GET", path)[0] == 200, 20, "the kind")
    plane.must("POST", path, {"apiVersion": "test.sluice.dev/v1", "kind": "Pool", "metadata": {"name": "a"},
                              "spec": {"cidrs": ["10.0.0.0/8"]}})
    watcher.wait_change("upsert", "Pool", "", "a")
    assert json.loads(watcher.state["Pool", "", "a"]["spec"]) == {"cidrs": ["10.0.0.0/8"]}
    plane.patch(f"{path}/a", {"spec": {"size": 26}})
    watcher.wait(lambda: json.loads(watcher.state["Pool", "", "a"]["spec"]).get("size") == 26, "the new spec")

    plane.must("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/pools.test.sluice.dev")
    watcher.wait_change("remove", "Pool", "", "a")


def test_lease_is_made_renewed_and_patched_through_the_same_client(watch, plane, space):
    watcher = watch()
    path = f"/apis/coordination.k8s.io/v1/namespaces/{space}/leases"
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "op"}, "spec": {"holderIdentity": "a"}}

    made = watcher.request("POST", path, "application/json", lease)
    assert made["status"] == 201
    held = json.loads(made["body"])
    held["spec"]["holderIdentity"] = "b"
    assert watcher.request("PUT", f"{path}/op", "application/json", held)["status"] == 200
    stale = watcher.request("PUT", f"{path}/op", "application/json", held)
    assert stale["status"] == 409
    assert f"PUT {path}/op: 409 Conflict: Operation cannot be fulfilled" in stale["error"]
    patched = watcher.request("PATCH", f"{path}/op", "application/merge-patch+json", {"spec": {"leaseDurationSeconds": 15}})
    assert json.loads(patched["body"])["spec"]["leaseDurationSeconds"] == 15
    assert "409 AlreadyExists" in watcher.request("POST", path, "application/json", lease)["error"]


def test_folder_of_a_service_account_gives_access(plane, space, pods, token):
    folder = plane.path("account")
    os.makedirs(folder)
    shutil.copy(plane.ca.certificate, folder)
    replace(f"{folder}/token", token(600) + "\n")
    pods.add("a")
    watcher = Watcher("--pod-folder", folder, "--server", plane.server, "--kind", "Namespace", "Pod",
                      log=plane.path("account.log"))
    try:
        watcher.wait_synced()
        assert names(watcher, space) == ["a"]
    finally:
        watcher.close()


def test_node_condition_is_patched_in_its_status(watch, plane):
    plane.must("POST", "/api/v1/nodes", {"metadata": {"name": "n-cond"}})
    condition = {"type": "NetworkUnavailable", "status": "False", "reason": "SluiceIsUp"}
    answer = watch().request("PATCH", "/api/v1/nodes/n-cond/status", "application/strategic-merge-patch+json",
                             {"status": {"conditions": [condition]}})

    assert answer["status"] == 200
    conditions = plane.must("GET", "/api/v1/nodes/n-cond")["status"]["conditions"]
    assert {key: conditions[0][key] for key in condition} == condition
