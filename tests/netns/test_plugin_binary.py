# SPDX-License-Identifier: Apache-2.0
"""sluice-cni as a file: static, so that it runs on any host, and quick, because it does nothing but ask the agent."""
import json
import re
import struct
import subprocess

import cni
from node import bin_dir

PLUGIN = "/opt/cni/bin/sluice-cni"
PT_DYNAMIC, PT_INTERP = 2, 3


def program_headers(path):
    with open(path, "rb") as file:
        header = file.read(64)
        assert header[:5] == b"\x7fELF\x02"
        offset, size, count = struct.unpack("<Q", header[32:40])[0], *struct.unpack("<HH", header[54:58])
        file.seek(offset)
        return [struct.unpack("<I", file.read(size)[:4])[0] for _ in range(count)]


def calls_of(node, command, conf):
    """The system calls of one run, [(name, rest of the line), ...], and what it wrote."""
    words = ["env", "-i", f"CNI_COMMAND={command}", "strace", "-f", "-o", "/dev/stderr", PLUGIN]
    done = subprocess.run(node.argv(words), input=json.dumps(conf), capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    calls = re.findall(r"^\d+\s+(\w+)\((.*)$", done.stderr, re.MULTILINE)
    assert any(name == "execve" for name, _ in calls), done.stderr
    return calls, done.stdout


def test_plugin_is_one_static_file():
    headers = program_headers(f"{bin_dir()}/sluice-cni")
    assert headers
    assert PT_INTERP not in headers and PT_DYNAMIC not in headers


def test_plugin_starts_without_a_detour(cluster):
    """A time would tell of the machine; that nothing is loaded, read or started tells of the program."""
    calls, answer = calls_of(cluster.n1, "VERSION", {"cniVersion": "1.0.0"})
    names = [name for name, _ in calls]

    assert "1.1.0" in answer
    assert not {"open", "openat", "clone", "clone3", "fork", "vfork", "socket", "connect"} & set(names), names
    assert len(names) < 40, names


def test_plugin_asks_the_agent_once_and_does_nothing_itself(cluster):
    calls, _ = calls_of(cluster.n1, "STATUS", cni.plugin_conf(cluster.n1, "1.1.0"))
    names = [name for name, _ in calls]

    assert [rest for name, rest in calls if name == "connect" and "/run/sluice/agent.sock" in rest], calls
    assert names.count("connect") == 1
    assert not {"open", "openat", "clone", "clone3", "fork", "vfork"} & set(names), names
    assert len(names) < 60, names
