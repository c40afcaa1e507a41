#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How long a plugin takes to start, say its versions and end: what every CNI call pays before any work.

    exec_time.py COUNT PROGRAM...    prints {PROGRAM: [milliseconds, ...]}; the programs take turns
"""
import json
import os
import sys
import time

ENV = {"CNI_COMMAND": "VERSION", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
NETCONF = b'{"cniVersion": "1.0.0"}'


def run(program, sink):
    reader, writer = os.pipe()
    os.write(writer, NETCONF)
    os.close(writer)
    actions = [(os.POSIX_SPAWN_DUP2, reader, 0), (os.POSIX_SPAWN_DUP2, sink, 1)]
    begin = time.perf_counter()
    pid = os.posix_spawn(program, [program], ENV, file_actions=actions)
    status = os.waitpid(pid, 0)[1]
    took_ms = (time.perf_counter() - begin) * 1000
    os.close(reader)
    if status != 0:
        raise SystemExit(f"{program}: status {status}")
    return took_ms


def main():
    count, programs = int(sys.argv[1]), sys.argv[2:]
    sink = os.open("/dev/null", os.O_WRONLY)
    taken = {program: [] for program in programs}
    for _ in range(count):
        for program in programs:
            taken[program].append(run(program, sink))
    json.dump(taken, sys.stdout)


if __name__ == "__main__":
    main()
