# SPDX-License-Identifier: Apache-2.0
"""The harness itself: whatever happens to it, nothing of a lab stays on the machine."""
import glob
import os
import signal
import subprocess
import sys

import pytest
from machine import cgroup_roots, start_time, wait_for

NODES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "nodes")
SCRIPT = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored
sys.path.insert(0, {NODES!r})
from nodes import Lab
lab = Lab("a")
lab.nodes[0].daemon(["sleep", "1000"], lab.dir + "/sleep.log")
print(lab.dir, lab.nodes[0].pid, flush=True)
signal.pause()
"""


def start_lab():
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True)
    folder, pid = process.stdout.readline().split()
    return process, folder, int(pid)


def remains(folder):
    name = os.path.basename(folder)
    return [path for root in cgroup_roots() for path in glob.glob(f"{root}/{name}-*")] + glob.glob(folder)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_removes_the_lab(number):
    process, folder, pid = start_lab()
    process.send_signal(number)
    assert process.wait(20) != 0
    assert remains(folder) == [] and start_time(pid) is None


def test_killed_harness_leaves_no_process_and_clean_takes_the_rest():
    process, folder, pid = start_lab()
    process.kill()
    process.wait()
    wait_for(lambda: start_time(pid) is None, 5, "the node's end with its harness")
    assert remains(folder)

    subprocess.run([sys.executable, f"{NODES}/nodes.py", "clean"], check=True, stdout=subprocess.DEVNULL)

    assert remains(folder) == []


def test_clean_leaves_a_living_lab_alone():
    process, folder, pid = start_lab()
    try:
        subprocess.run([sys.executable, f"{NODES}/nodes.py", "clean"], check=True, stdout=subprocess.DEVNULL)
        assert start_time(pid) is not None and os.path.isdir(folder)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def test_nodes_reach_each_other_and_the_outside(make_lab):
    from conftest import address_of
    from traffic import ping
    lab = make_lab("ab")
    for family in ("v4", "v6"):
        for target in (lab.nodes[1], lab.outside):
            assert ping(lab.nodes[0], address_of(target, family), 1)[1] == 1
