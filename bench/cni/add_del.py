#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Times CNI ADD and DEL of one plugin, run as a runtime runs it. Call it inside a node.

    add_del.py PLUGIN NETCONF COUNT [--keep]    prints {"add_ms": [...], "del_ms": [...]}; --keep leaves the pods
    add_del.py PLUGIN NETCONF COUNT --remove    removes what --keep left
"""
import json
import os
import subprocess
import sys
import time


def call(plugin, conf, command, name):
    env = {"CNI_COMMAND": command, "CNI_CONTAINERID": name, "CNI_NETNS": f"/run/netns/{name}", "CNI_IFNAME": "eth0",
           "CNI_PATH": "/opt/cni/bin:/usr/lib/cni", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    begin = time.perf_counter()
    done = subprocess.run([plugin], input=conf, capture_output=True, text=True, env=env, check=False)
    took_ms = (time.perf_counter() - begin) * 1000
    if done.returncode != 0:
        raise SystemExit(f"{command} of {name}: {done.stdout}{done.stderr}")
    return took_ms


def main():
    plugin, netconf, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    keep, remove = "--keep" in sys.argv, "--remove" in sys.argv
    with open(netconf) as text:
        conf = text.read()
    added, deleted = [], []
    for index in range(count):
        name = f"bench{index}"
        if not remove:
            subprocess.run(["ip", "netns", "add", name], check=True)
            added.append(call(plugin, conf, "ADD", name))
        if not keep:
            deleted.append(call(plugin, conf, "DEL", name))
            subprocess.run(["ip", "netns", "del", name], check=True)
    json.dump({"add_ms": added, "del_ms": deleted}, sys.stdout)


if __name__ == "__main__":
    os.environ["LC_ALL"] = "C"
    main()
