# SPDX-License-Identifier: Apache-2.0
"""A run that is cut off leaves a clean machine, whatever cut it off."""
import json
import os
import signal
import subprocess
import sys

import pytest

import build
import nodes
from machine import cgroup_roots, start_time, wait_for

RUN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is born deaf to it
sys.path.insert(0, sys.argv[1])
from cluster import Cluster
import workloads
with_pod = "pod" in sys.argv
cluster = Cluster() if with_pod else Cluster(image_names=())
cluster.up(1)
if with_pod:
    cluster.use_bridge()
    cluster.run_pods(workloads.agnhost("a"))
print(cluster.lab.dir, *cluster.node_pids("n1"), *cluster.control_pids(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def run(request):
    """(process, folder of its lab, its processes) of a run in the middle of a test; with a pod if param says so."""
    process = subprocess.Popen([sys.executable, "-c", RUN, build.HERE, request.param], text=True, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    lines = iter(process.stdout.readline, "")
    words = next(line for line in lines if line.startswith("/")).split()
    pids = {int(word): start_time(int(word)) for word in words[1:]}
    yield process, words[0], pids
    process.kill()
    process.wait()
    if os.path.exists(words[0]):
        nodes.clean(words[0])


def traces(folder, pids):
    """What is left of a run: processes, cgroups, network devices of the machine, files."""
    name = os.path.basename(folder)
    found = [f"process {pid}" for pid, started in pids.items() if start_time(pid) == started]
    found += [f"{root}/{entry}" for root in cgroup_roots() for entry in os.listdir(root) if entry.startswith(name)]
    found += [folder] if os.path.exists(folder) else []
    with open("/proc/self/mountinfo") as mounts:
        found += [line for line in mounts if folder in line]
    return found


@pytest.mark.parametrize("run", ["nodes"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_cleans_up_after_itself(run, number):
    process, folder, pids = run
    assert len(pids) > 8 and len(traces(folder, pids)) > len(pids)

    process.send_signal(number)

    assert process.wait(30) != 0
    assert traces(folder, pids) == []


@pytest.mark.parametrize("run", ["pod"], indirect=True)
def test_killed_run_leaves_no_process_and_the_next_one_cleans_up(run):
    process, folder, pids = run

    process.kill()

    wait_for(lambda: not any(start_time(pid) == started for pid, started in pids.items()), 10,
             "end of the killed run's processes")
    assert folder in nodes.clean()
    assert traces(folder, pids) == []


@pytest.fixture
def labs(tmp_path, monkeypatch):
    """A place of its own for labs: what people have up on this machine is not touched."""
    monkeypatch.setenv("SLUICE_LAB_DIR", str(tmp_path))
    yield tmp_path
    finished(manage("down"))


def manage(*words):
    argv = [sys.executable, os.path.join(build.HERE, "manage.py"), *words]
    return subprocess.Popen(argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finished(process):
    out, _ = process.communicate(timeout=120)
    return process.returncode, out


def machines_of(lab):
    with open(os.path.join(lab, "lab.json")) as text:
        return {machine["pid"]: machine["started"] for machine in json.load(text)["machines"]}


def test_cluster_for_people_stays_until_it_is_taken_down(labs):
    code, out = finished(manage("up", "--nodes", "1"))
    assert code == 0, out
    lab, = (str(path) for path in labs.iterdir())
    pids = machines_of(lab)

    assert " Ready " in finished(manage("kubectl", "get", "nodes"))[1]
    assert "one is up already" in finished(manage("up"))[1]
    assert nodes.clean() == [] and all(start_time(pid) == started for pid, started in pids.items())

    assert finished(manage("down")) == (0, f"removed {lab}\n")
    assert traces(lab, pids) == []
    assert "none is up" in finished(manage("kubectl", "get", "nodes"))[1]


def test_cluster_for_people_that_never_came_up_is_taken_down(labs):
    process = manage("up", "--nodes", "1")
    wait_for(lambda: list(labs.glob("*/control-plane/etcd.log")), 60, "a started etcd")
    lab, = (str(path) for path in labs.iterdir())
    process.kill()
    process.wait()
    pids = machines_of(lab)
    assert any(start_time(pid) == started for pid, started in pids.items())

    finished(manage("down"))

    assert traces(lab, pids) == []
