# SPDX-License-Identifier: Apache-2.0
"""Container images of the test cluster, made from local files: `ctr images import` reads them, no registry is asked."""
import hashlib
import inspect
import os
import shutil
import subprocess
import sys

import build

sys.path.insert(0, os.path.join(build.TOP, "tests", "images"))
import mkimage  # noqa: E402

PAUSE = "sluice.dev/test/pause:1"
AGNHOST = "sluice.dev/test/agnhost:2.63.0"
COREDNS = "sluice.dev/test/coredns:1.12.4"
# What tests call in a pod besides busybox's own; those that this machine has are taken, with the libraries they load.
TOOLS = ("curl", "dig", "nc", "ip", "ss", "ping", "getent", "bash")
SHELL_APPLETS = {"sh", "busybox"}


def libraries_of(program):
    """Paths that the loader opens for it, itself included; none for a static program."""
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return [word for line in told.splitlines() for word in line.split() if word.startswith("/")]


def with_libraries(program, target):
    return [(program, target)] + [(os.path.realpath(path), path) for path in libraries_of(program)]


def userland():
    """(files, links) of a small system: busybox, dash as its shell (busybox's prefers its own applets), tools."""
    busybox, dash = shutil.which("busybox"), shutil.which("dash")
    if not busybox or not dash:
        raise build.BuildFailed("busybox or dash is missing: install busybox-static and dash")
    found = {name: os.path.realpath(shutil.which(name)) for name in TOOLS if shutil.which(name)}
    files = dict.fromkeys([(busybox, "/bin/busybox")] + with_libraries(os.path.realpath(dash), "/bin/sh"))
    for name, path in found.items():
        files.update(dict.fromkeys(with_libraries(path, f"/usr/bin/{name}")))
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    links = [("busybox", f"/bin/{name}") for name in applets if name not in SHELL_APPLETS and name not in found]
    return list(files), links


def pause_binary():
    source = os.path.join(build.HERE, "pause.c")
    path = os.path.join(build.BIN, "pause")
    if not os.path.exists(path) or os.path.getmtime(path) < os.path.getmtime(source):
        done = subprocess.run(["cc", "-static", "-Os", "-o", path, source], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise build.BuildFailed(f"pause.c does not compile: {done.stderr}")
    return path


def pause_recipe():
    return dict(name=PAUSE, entrypoint=["/pause"], files=[(pause_binary(), "/pause")])


def agnhost_recipe():
    files, links = userland()
    folder = build.AGNHOST.entry()
    files += [(f"{folder}/agnhost", "/agnhost"), ("/etc/passwd", "/etc/passwd"), ("/etc/services", "/etc/services")]
    files += [(f"{folder}/{name}", f"/{name}") for name in ("localhost.crt", "localhost.key")]
    return dict(name=AGNHOST, entrypoint=["/agnhost"], files=[f for f in files if os.path.exists(f[0])],
                links=links + [("agnhost", "/agnhost-2")], dirs=("tmp", "proc", "sys", "dev", "etc", "uploads"))


def coredns_recipe():
    return dict(name=COREDNS, entrypoint=["/coredns"], files=[(f"{build.COREDNS.entry()}/coredns", "/coredns")])


RECIPES = {PAUSE: pause_recipe, AGNHOST: agnhost_recipe, COREDNS: coredns_recipe}


def key_of(recipe):
    digest = hashlib.sha256(repr({k: v for k, v in recipe.items() if k != "files"}).encode())
    digest.update(inspect.getsource(mkimage).encode())
    for source, target in recipe["files"]:
        state = os.stat(source)
        digest.update(f"{source}={target} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def archive_of(name):
    """Path of the image's archive; made where it is not there or what it is made of has changed."""
    recipe = RECIPES[name]()
    short = name.rpartition("/")[2].partition(":")[0]
    folder = os.path.join(build.TOP, "build", "cluster", "images")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"{short}-{key_of(recipe)}.tar")
    if not os.path.exists(path):
        for old in os.listdir(folder):
            if old.startswith(short + "-"):
                os.unlink(os.path.join(folder, old))
        unfinished = f"{path}.{os.getpid()}"
        mkimage.write_image(unfinished, **recipe)
        os.rename(unfinished, path)
    return path
