#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Process 1 of a node: makes the namespaces and mounts of one "machine", then only reaps children.

Started by nodes.py with one JSON argument. Prints the host's pid of process 1 and a line `ready`. When process 1 ends,
the kernel ends every process of the node with it and takes its namespaces and mounts away: that is the whole clean-up.
With "tied" it ends as soon as its standard input closes, so a harness that was killed leaves no process behind.
"""
import ctypes
import json
import os
import select
import signal
import sys

NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWPID, NEWNET = 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x20000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE, MS_SHARED = 4096, 16384, 1 << 18, 1 << 20
libc = ctypes.CDLL(None, use_errno=True)


def check(result, doing):
    if result != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{doing}: {os.strerror(errno)}")


def mount(source, target, fstype=None, flags=0, data=None):
    enc = lambda text: text.encode() if text else None
    check(libc.mount(enc(source), enc(target), enc(fstype), flags, enc(data)), f"mount {source} on {target}")


def bind(source, target):
    os.makedirs(source, exist_ok=True)
    os.makedirs(target, exist_ok=True)
    mount(source, target, None, MS_BIND | MS_REC)


def overlay(root, path):
    """Everything that the node writes below `path` stays in the node's folder; the host's files show through."""
    name = path.strip("/").replace("/", "-")
    upper, work = f"{root}/{name}", f"{root}/.work-{name}"
    os.makedirs(upper, exist_ok=True)
    os.makedirs(work, exist_ok=True)
    mount("overlay", path, "overlay", 0, f"lowerdir={path},upperdir={upper},workdir={work}")


def cgroup_mounts():
    """(mount point, type, controllers) of every cgroup hierarchy, read before /sys is mounted over."""
    found = []
    with open("/proc/self/mountinfo") as lines:
        for line in lines:
            left, right = line.split(" - ")
            fstype, _, options = right.split(None, 2)
            if fstype in ("cgroup", "cgroup2"):
                keep = [o for o in options.strip().split(",") if o not in ("rw", "ro")] if fstype == "cgroup" else []
                if any(o.startswith("name=") for o in keep):
                    keep = ["none"] + keep
                found.append((left.split()[4], fstype, ",".join(keep)))
    return found


def join_cgroups(name):
    """A cgroup of the node's own in each hierarchy, with this process in it: the root of its cgroup namespace."""
    for point, _, options in cgroup_mounts():
        path = f"{point}/{name}"
        os.makedirs(path, exist_ok=True)
        if "cpuset" in options:
            for knob in ("cpuset.cpus", "cpuset.mems"):
                with open(f"{point}/{knob}") as source, open(f"{path}/{knob}", "w") as target:
                    target.write(source.read())
        with open(f"{path}/cgroup.procs", "w") as procs:
            procs.write("0")


def mount_sys(hierarchies, bpffs):
    mount("sysfs", "/sys", "sysfs")  # of this network namespace: /sys/class/net is the node's
    if [point for point, _, _ in hierarchies] != ["/sys/fs/cgroup"]:
        mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, "mode=755")
    for point, fstype, options in hierarchies:
        os.makedirs(point, exist_ok=True)
        mount(fstype, point, fstype, 0, options or None)
        if fstype == "cgroup2":
            # A cgroup2 with processes cannot give controllers to children: the node's own processes sit in a leaf.
            os.makedirs(f"{point}/init", exist_ok=True)
            with open(f"{point}/init/cgroup.procs", "w") as procs:
                procs.write("0")
    if bpffs:
        mount("bpf", "/sys/fs/bpf", "bpf")


def set_up(spec):
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    hierarchies = cgroup_mounts()
    mount("proc", "/proc", "proc")
    mount_sys(hierarchies, spec["bpffs"])
    libc.sethostname(spec["name"].encode(), len(spec["name"]))
    root = spec["root"]
    for path in ("/etc", "/opt", "/var/lib"):
        overlay(root, path)
    bind(f"{root}/run", "/run")
    for path in ("/var/lib/sluice", "/var/lib/containerd", "/var/lib/cni", "/var/lib/kubelet", "/var/log"):
        bind(root + "/" + path.strip("/").replace("/", "-") + ".d", path)
    for path in ("/etc/sluice", "/opt/cni/bin", "/run/sluice", "/run/netns", "/run/containerd"):
        os.makedirs(path, exist_ok=True)
    if os.path.isdir("/etc/cni"):  # the host's own plugin configuration is not the node's
        bind(f"{root}/etc-cni.d", "/etc/cni")
    os.makedirs("/etc/cni/net.d", exist_ok=True)
    mount("run-netns", "/run/netns", "tmpfs")
    mount(None, "/", None, MS_REC | MS_SHARED)  # mounts of containers propagate as on a real machine


def reap_forever(tied):
    wake_r, wake_w = os.pipe()
    os.set_blocking(wake_w, False)
    signal.set_wakeup_fd(wake_w)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    watched = [wake_r] + ([0] if tied else [])
    while True:
        ready, _, _ = select.select(watched, [], [])
        if 0 in ready and not os.read(0, 1):
            return
        if wake_r in ready:
            os.read(wake_r, 64)
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            pass


def tell(line):
    os.write(1, (line + "\n").encode())  # one write: both sides of the fork tell, in either order of time


def main():
    spec = json.loads(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.setsid()
    flags = NEWNET | NEWNS | NEWPID
    if spec["machine"]:
        join_cgroups(spec["cgroup"])
        flags |= NEWCGROUP | NEWUTS | NEWIPC
    check(libc.unshare(flags), "unshare")
    pid = os.fork()
    if pid:
        tell(str(pid))
        os._exit(0)
    try:
        if spec["machine"]:
            set_up(spec)
        else:
            mount(None, "/", None, MS_REC | MS_PRIVATE)
            mount("proc", "/proc", "proc")
        tell("ready")
    except OSError as error:
        tell(f"failed: {error}")
        os._exit(1)
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    reap_forever(spec["tied"])


if __name__ == "__main__":
    main()
