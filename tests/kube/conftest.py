# SPDX-License-Identifier: Apache-2.0
"""One real API server for all tests; what a test watches with is its own."""
import itertools
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from api_server import ApiServer  # noqa: E402
from proxies import HttpProxy, TcpProxy  # noqa: E402
from watcher import Watcher  # noqa: E402


@pytest.fixture(scope="session")
def plane():
    made = ApiServer()
    yield made
    made.close()


NUMBERS = itertools.count()


@pytest.fixture
def space(plane):
    """A namespace of the test's own; gone with its pods afterwards."""
    name = f"t{next(NUMBERS)}"
    plane.must("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    plane.must("DELETE", f"/api/v1/namespaces/{name}/pods?gracePeriodSeconds=0")


@pytest.fixture
def watch(plane):
    """watch(server..., user=..., flags=...): a kube_watch as administrator, or as `user` of a kubeconfig."""
    made = []

    def start(*servers, user=None, flags=(), synced=True, **cluster):
        config = plane.kubeconfig(f"watch{len(made)}.conf", user=user, **cluster)
        words = ["--kubeconfig", config, *(word for server in servers for word in ("--server", server))]
        made.append(Watcher(*words, *flags, log=plane.path(f"watch{next(NUMBERS)}.log")))
        return made[-1].wait_synced() if synced else made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture
def tcp_proxy(plane):
    made = []

    def start():
        made.append(TcpProxy(plane.port))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture
def http_proxy(plane):
    made = []

    def start(rule=lambda method, path: None, certificate="apiserver"):
        made.append(HttpProxy(plane, rule, certificate))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture
def token(plane, space):
    """token(SECONDS): a new token of a service account of the test's own that may do everything."""
    plane.must("POST", f"/api/v1/namespaces/{space}/serviceaccounts", {"metadata": {"name": "op"}})
    plane.must("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
        "metadata": {"name": space}, "subjects": [{"kind": "ServiceAccount", "name": "op", "namespace": space}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}})
    return lambda seconds: plane.token("op", seconds, space)


class Pods:
    """Makes, changes and removes pods of one namespace."""

    def __init__(self, plane, space):
        self.plane, self.path = plane, f"/api/v1/namespaces/{space}/pods"

    def add(self, name, **labels):
        self.plane.must("POST", self.path, {"metadata": {"name": name, "labels": labels}, "spec": {
            "nodeName": "n1", "containers": [{"name": "c", "image": "x"}]}})

    def label(self, name, **labels):
        self.plane.patch(f"{self.path}/{name}", {"metadata": {"labels": labels}})

    def remove(self, name):
        self.plane.must("DELETE", f"{self.path}/{name}?gracePeriodSeconds=0")


@pytest.fixture
def pods(plane, space):
    return Pods(plane, space)
