# SPDX-License-Identifier: Apache-2.0
"""Clusters for the tests, and what is kept of a failed one."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import build  # noqa: E402
import sluice  # noqa: E402
from cluster import Cluster  # noqa: E402
from collect import collect  # noqa: E402

LIVE = []  # clusters of now, for the folder of a failure


def pytest_sessionstart(session):
    if os.geteuid() != 0:
        raise pytest.UsageError("tests/cluster makes namespaces and cgroups: run as root")
    try:
        build.build_all()
    except build.BuildFailed as error:
        raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed and LIVE:
        folders = [collect(cluster, item.name) for cluster in LIVE]
        report.sections.append(("kept", "\n".join(folders)))
        print("\nkept:", *folders, file=sys.__stderr__)


class Keeper:
    """Opens clusters that a failure is collected from, and closes them."""

    def open(self, nodes=2, families="dual", subnets=None, **options):
        cluster = Cluster(**options)
        cluster.up(nodes, families, subnets)
        LIVE.append(cluster)
        return cluster

    def close(self, cluster):
        LIVE.remove(cluster)
        cluster.down()


@pytest.fixture
def make_cluster():
    """make_cluster(1, "ipv6") gives a cluster of the test's own, without a network."""
    keeper, made = Keeper(), []

    def make(*args, **options):
        made.append(keeper.open(*args, **options))
        return made[-1]

    yield make
    for cluster in made:
        keeper.close(cluster)


@pytest.fixture(scope="module")
def bridge_cluster():
    """Two nodes with the reference plugins. `bare_nodes` is what the API said of them before there was a network."""
    keeper = Keeper()
    cluster = keeper.open(2)
    cluster.wait_nodes(ready=False)
    cluster.bare_nodes = cluster.node_objects()
    cluster.use_bridge()
    yield cluster
    keeper.close(cluster)


@pytest.fixture(scope="module")
def sluice_cluster():
    """Three nodes with Sluice by standalone agents: n1 and n2 share a subnet (native), n3 has another (VXLAN)."""
    keeper = Keeper()
    cluster = keeper.open(subnets="aab")
    exporter = sluice.Exporter(cluster)
    exporter.start()
    cluster.use_network(sluice.start)
    cluster.wait_nodes()
    yield cluster
    exporter.stop()
    keeper.close(cluster)


def url(address, path="", port=8080):
    return f"http://{f'[{address}]' if ':' in address else address}:{port}/{path}"


def fetch(cluster, pod, address, path="hostname", port=8080):
    """What a pod gets from a server by HTTP."""
    return cluster.exec(pod, "curl", "-sS", "-m", "5", url(address, path, port)).stdout
