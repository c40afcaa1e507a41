#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/unit/kube_samples: bodies as the real API server sends them, for the tests of the decoder.

    tests/kube/record_samples.py
"""
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from api_server import TESTS, ApiServer  # noqa: E402

SAMPLES = os.path.join(TESTS, "unit", "kube_samples")
PROTOBUF = "application/vnd.kubernetes.protobuf"
OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d9c", "uid": "9a1c62c5-5a4b-4d5a-9a0e-2f4f6a1b2c3d",
         "controller": True}


def make_objects(plane):
    plane.must("POST", "/api/v1/namespaces", {"metadata": {"name": "demo", "labels": {"team": "a", "zone": ""}}})
    plane.must("POST", "/api/v1/nodes", {"metadata": {"name": "n1"},
                                         "spec": {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24", "fd00:1::/64"]}})
    plane.patch("/api/v1/nodes/n1/status", {"status": {"addresses": [
        {"type": "Hostname", "address": "n1"}, {"type": "InternalIP", "address": "192.0.2.1"},
        {"type": "InternalIP", "address": "2001:db8::1"}]}})
    plane.must("POST", "/api/v1/namespaces/demo/services", {
        "metadata": {"name": "web"}, "spec": {
            "type": "LoadBalancer", "clusterIP": "10.96.0.80", "externalIPs": ["192.0.2.80"], "selector": {"app": "web"},
            "sessionAffinity": "ClientIP", "loadBalancerSourceRanges": ["198.51.100.0/24"], "externalTrafficPolicy": "Local",
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "nodePort": 30080},
                      {"name": "dns", "port": 53, "protocol": "UDP", "nodePort": 30053}], "healthCheckNodePort": 30081}})
    plane.patch("/api/v1/namespaces/demo/services/web/status", {"status": {"loadBalancer": {"ingress": [
        {"ip": "203.0.113.5"}, {"ip": "203.0.113.6", "ipMode": "Proxy"}]}}})
    plane.must("POST", "/api/v1/namespaces/demo/services",
               {"metadata": {"name": "none"}, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}})
    for name in ("web-1", "web-2"):
        make_pod(plane, name)
    plane.patch("/api/v1/namespaces/demo/pods/web-1/status", {"status": {
        "phase": "Running", "podIP": "10.1.0.5", "podIPs": [{"ip": "10.1.0.5"}, {"ip": "fd00:1::5"}]}})


def make_pod(plane, name):
    plane.must("POST", "/api/v1/namespaces/demo/pods", {
        "metadata": {"name": name, "labels": {"app": "web", "pod-template-hash": "5d9c"}, "ownerReferences": [OWNER]},
        "spec": {"nodeName": "n1", "containers": [
            {"name": "c", "image": "web:1", "ports": [{"name": "http", "containerPort": 8080}]}]}})


def save(name, data):
    with open(os.path.join(SAMPLES, name), "wb") as out:
        out.write(data)
    print(name, len(data))


def list_body(plane, path, accept=PROTOBUF):
    return plane.call("GET", path, accept=accept)[1]


def watch_body(plane, path, accept, act=None):
    """All that the watch gives until the server ends it."""
    connection = plane.connect(timeout=60)
    connection.request("GET", path, headers={"Accept": accept})
    answer = connection.getresponse()
    if act:
        threading.Thread(target=act).start()
    return answer.read()


def main():
    os.makedirs(SAMPLES, exist_ok=True)
    plane = ApiServer()
    try:
        make_objects(plane)
        for kind in ("nodes", "namespaces", "pods", "services"):
            save(f"{kind}.list", list_body(plane, f"/api/v1/{kind}"))
        save("pods.page", list_body(plane, "/api/v1/pods?limit=1"))
        save("namespaces.list.json", list_body(plane, "/api/v1/namespaces", "application/json"))
        save("pod.missing", list_body(plane, "/api/v1/namespaces/demo/pods/no"))

        def act():
            make_pod(plane, "web-3")
            plane.patch("/api/v1/namespaces/demo/pods/web-3", {"metadata": {"labels": {"app": "db"}}})
            plane.must("DELETE", "/api/v1/namespaces/demo/pods/web-3?gracePeriodSeconds=0")

        version = plane.must("GET", "/api/v1/pods")["metadata"]["resourceVersion"]
        query = f"watch=1&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds=4"
        save("pods.watch", watch_body(plane, f"/api/v1/pods?{query}", PROTOBUF + ";stream=watch", act))
        save("pods.watch.json", watch_body(plane, f"/api/v1/pods?{query}", "application/json"))
        plane.compact()
        plane.restart_server()
        save("expired.watch", watch_body(plane, "/api/v1/pods?watch=1&resourceVersion=2&timeoutSeconds=2",
                                         PROTOBUF + ";stream=watch"))
    finally:
        plane.close()


if __name__ == "__main__":
    main()
