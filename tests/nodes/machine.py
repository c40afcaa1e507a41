# SPDX-License-Identifier: Apache-2.0
"""One machine of a lab: a holder process with its namespaces, and running commands in it."""
import json
import os
import select
import shutil
import signal
import subprocess
import time

from netns import Netns, run

HERE = os.path.dirname(os.path.abspath(__file__))


def wait_for(probe, timeout=10.0, what="the state", every=0.02):
    """Returns the first true value of `probe`; raises TimeoutError that tells the last value."""
    deadline = time.monotonic() + timeout
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not reached in {timeout:g} s, last seen: {value!r}")
        time.sleep(every)


def start_time(pid):
    """The process's start in clock ticks: with the pid it names one process for ever. None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def cgroup_roots():
    with open("/proc/self/mountinfo") as lines:
        return [line.split()[4] for line in lines if line.split(" - ")[1].split()[0] in ("cgroup", "cgroup2")]


def remove_cgroup(name):
    for root in cgroup_roots():
        for folder, _, _ in os.walk(f"{root}/{name}", topdown=False):
            for _ in range(50):  # the kernel lets go of a killed process's cgroup a moment after the process
                try:
                    os.rmdir(folder)
                except FileNotFoundError:
                    pass
                except OSError:
                    time.sleep(0.01)
                    continue
                break


def kill_and_wait(pid, started):
    """Ends one process if it is still the one that was started; returns when the kernel has it off the list."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if start_time(pid) == started:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
            select.select([fd], [], [], 10)
    except ProcessLookupError:
        pass
    finally:
        os.close(fd)


class Machine(Netns):
    """A network namespace that a process of ours holds; with `full`, also mounts, pids, cgroups and a host name."""

    def __init__(self, lab, name, full=False, bpffs=True):
        self.lab, self.full, self.name = lab, full, name
        self.mac = None  # of its eth0, once that is plugged in
        self.root = os.path.join(lab.dir, name)
        self.cgroup = f"{lab.name}-{name}"
        self._spec = {"name": name, "root": self.root, "cgroup": self.cgroup, "machine": full, "bpffs": bpffs,
                      "tied": lab.tied}
        os.makedirs(self.root)
        self._boot()

    def _boot(self):
        self._holder = subprocess.Popen(
            ["/usr/bin/python3", os.path.join(HERE, "holder.py"), json.dumps(self._spec)], text=True,
            stdin=subprocess.PIPE if self.lab.tied else subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        lines = sorted([self._holder.stdout.readline().strip(), self._holder.stdout.readline().strip()])
        if not lines[0].isdigit():
            raise RuntimeError(f"machine {self.name}: {' '.join(lines)}\n{self._holder.stdout.read()}")
        self.pid = int(lines[0])
        self.started = start_time(self.pid)
        self.lab.remember(self)
        self._holder.wait()
        if lines[1] != "ready":
            raise RuntimeError(f"machine {self.name}: {lines[1]}")
        super().__init__(f"/proc/{self.pid}/ns/net", self.name)

    def power_off(self):
        """Ends every process of the machine and with them its namespaces, devices and pins. Its files stay."""
        kill_and_wait(self.pid, self.started)
        if self.full:
            remove_cgroup(self.cgroup)

    def power_on(self):
        """Comes back without cables (Lab.reboot plugs them) and with an empty /run, as a machine does."""
        shutil.rmtree(f"{self.root}/run", ignore_errors=True)
        self._boot()

    @property
    def fs(self):
        """The machine's root directory, as the host can read it."""
        return f"/proc/{self.pid}/root"

    def argv(self, command):
        argv = ["sh", "-c", command] if isinstance(command, str) else [str(word) for word in command]
        if not self.full:
            return super().argv(argv)
        return ["nsenter", "-t", str(self.pid), "-n", "-m", "-p", "-u", "-i", "-C", "--"] + argv

    def daemon(self, command, log, env=None, prefix=()):
        """Starts a long-running program in the machine and its cgroups. Returns (Popen of nsenter, host pid of it)."""
        joins = "".join(f"echo 0 > {root}/{self.cgroup}{'/init' if os.path.isdir(f'{root}/{self.cgroup}/init') else ''}"
                        "/cgroup.procs; " for root in cgroup_roots()) if self.full else ""
        with open(log, "ab") as out:
            process = subprocess.Popen(
                ["sh", "-c", joins + 'exec "$@"', "sh"] + self.argv(list(prefix) + list(command)),
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, start_new_session=True)
        return process, self._child_of(process) if self.full else process.pid

    def _child_of(self, process):
        """nsenter forks to enter a pid namespace: the program is its only child."""
        path = f"/proc/{process.pid}/task/{process.pid}/children"

        def child():
            if process.poll() is not None:
                return -1
            with open(path) as children:
                pids = children.read().split()
            if not pids or not self._is_inside(int(pids[0])):
                return 0
            return int(pids[0])

        return wait_for(child, 5, f"{self.name}: start of a program", every=0.002)

    def _is_inside(self, pid):
        try:
            return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink(f"/proc/{self.pid}/ns/pid")
        except OSError:
            return False

    def destroy(self):
        self.power_off()
        shutil.rmtree(self.root, ignore_errors=True)
