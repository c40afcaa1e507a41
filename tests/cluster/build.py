#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Builds the programs of the test cluster from their Go modules, once, into a cache that outlives the clone.

    build.py              builds what the cache lacks; about 10 minutes of two cores from nothing, else no time
    build.py --missing    prints what the cache lacks, builds nothing; status 1 if it is anything
    build.py --go         status 0 if there is a Go that can build; says why not

The cache is $SLUICE_CLUSTER_CACHE, else sluice/cluster in the user's cache folder. An entry is named by what went into
it, so a change of a version builds anew and two clones share what is the same. build/cluster/bin links into it.
"""
import contextlib
import dataclasses
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BIN = os.path.join(TOP, "build", "cluster", "bin")
GO_VERSION = "go1.26.8"  # an older go fetches this one as a module: what is built does not depend on the machine's
OLDEST_GO = (1, 21)  # the first that can do so


@dataclasses.dataclass(frozen=True)
class Module:
    """One binary. folder: our module below go/ that pins it; empty where `package` names its version itself."""
    name: str
    package: str
    folder: str
    programs: tuple

    def files(self):
        root = os.path.join(HERE, "go", self.folder)
        return [os.path.join(root, name) for name in sorted(os.listdir(root))] if self.folder else []

    def version(self):
        if not self.folder:
            return self.package.rpartition("@")[2]
        root = "github.com/cilium/cilium" if self.folder == "hubble" else "k8s.io/kubernetes"
        with open(os.path.join(HERE, "go", self.folder, "go.mod")) as text:
            return re.search(rf"^(?:require )?\s*{re.escape(root)} (v\S+)", text.read(), re.M).group(1)

    def ldflags(self):
        if self.name != "kubernetes":
            return "-s -w"
        version, package = self.version(), "k8s.io/component-base/version"
        major, minor = version.lstrip("v").split(".")[:2]
        values = {f"{package}.gitVersion": version, f"{package}.gitMajor": major, f"{package}.gitMinor": minor,
                  "k8s.io/client-go/pkg/version.gitVersion": version}
        return "-s -w " + " ".join(f"-X {name}={value}" for name, value in values.items())

    def key(self):
        digest = hashlib.sha256("\0".join([GO_VERSION, self.package, self.ldflags()]).encode())
        for path in self.files():
            with open(path, "rb") as data:
                digest.update(os.path.basename(path).encode() + b"\0" + data.read())
        return digest.hexdigest()[:16]

    def entry(self):
        return os.path.join(cache_dir(), f"{self.name}-{self.key()}")

    def is_built(self):
        return os.path.exists(os.path.join(self.entry(), self.name))


KUBERNETES = Module("kubernetes", ".", "kubernetes", (
    "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl"))
AGNHOST = Module("agnhost", "k8s.io/kubernetes/test/images/agnhost", "kubernetes", ("agnhost",))
COREDNS = Module("coredns", "github.com/coredns/coredns@v1.12.4", "", ("coredns",))
HELM = Module("helm", "helm.sh/helm/v3/cmd/helm@v3.22.0", "", ("helm",))
HUBBLE = Module("hubble", ".", "hubble", ("hubble",))
MODULES = (KUBERNETES, AGNHOST, COREDNS, HELM, HUBBLE)


class BuildFailed(Exception):
    pass


def cache_dir():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.environ.get("SLUICE_CLUSTER_CACHE") or os.path.join(base, "sluice", "cluster")


def go_command():
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if not go:
        raise BuildFailed("no go on the PATH: install golang-go from the backports suite (make packages does)")
    told = subprocess.run([go, "version"], capture_output=True, text=True, check=False,
                          env=dict(os.environ, GOTOOLCHAIN="local")).stdout
    found = re.search(r"go(\d+)\.(\d+)", told)
    if not found or tuple(map(int, found.groups())) < OLDEST_GO:
        raise BuildFailed(f"{go} is too old ({told.strip() or 'says no version'}): "
                          f"needs {OLDEST_GO[0]}.{OLDEST_GO[1]}, which can fetch {GO_VERSION} by itself")
    return go


def go_env(**more):
    return dict(os.environ, CGO_ENABLED="0", GOTOOLCHAIN=GO_VERSION, **more)


@contextlib.contextmanager
def locked(name):
    """One builder at a time for each module, whichever clone it comes from."""
    os.makedirs(cache_dir(), exist_ok=True)
    with open(os.path.join(cache_dir(), f"{name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def say(line):
    print(f"cluster: {line}", flush=True)


@contextlib.contextmanager
def progress(what):
    began, done = time.monotonic(), threading.Event()

    def tell():
        while not done.wait(30):
            say(f"{what}: {time.monotonic() - began:.0f} s so far")

    thread = threading.Thread(target=tell, daemon=True)
    say(what)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    say(f"{what}: done in {time.monotonic() - began:.0f} s")


def run_go(module, *words, **env):
    where = os.path.join(HERE, "go", module.folder)
    done = subprocess.run([go_command(), *words], cwd=where, env=go_env(**env), capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        tail = "\n".join(f"    {line}" for line in done.stderr.strip().splitlines()[-20:])
        raise BuildFailed(f"module {module.name} ({module.package} {module.version()}): "
                          f"go {words[0]} ended with {done.returncode}:\n{tail}")
    return done.stdout


def compile_into(module, folder):
    flags = ["-trimpath", "-buildvcs=false", "-ldflags", module.ldflags()]
    if module.folder:
        run_go(module, "build", *flags, "-o", os.path.join(folder, module.name), module.package)
    else:
        run_go(module, "install", *flags, module.package, GOBIN=folder)
    if module is AGNHOST:  # its server for TLS tests wants a certificate that lies beside its source
        source = run_go(module, "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes").strip()
        for name in ("localhost.crt", "localhost.key"):
            shutil.copyfile(f"{source}/test/images/agnhost/porter/{name}", os.path.join(folder, name))


def build(module):
    if module.is_built():
        return
    with locked(module.name):
        if module.is_built():
            return
        unfinished = module.entry() + ".new"
        shutil.rmtree(unfinished, ignore_errors=True)
        os.makedirs(unfinished)
        with progress(f"building {module.name} {module.version()}"):
            compile_into(module, unfinished)
        shutil.rmtree(module.entry(), ignore_errors=True)
        os.rename(unfinished, module.entry())


def link_programs():
    os.makedirs(BIN, exist_ok=True)
    for module in MODULES:
        for program in module.programs:
            path, target = os.path.join(BIN, program), os.path.join(module.entry(), module.name)
            if not os.path.islink(path) or os.readlink(path) != target:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
                os.symlink(target, path)


def missing():
    return [module.name for module in MODULES if not module.is_built()]


def build_all():
    for module in MODULES:
        build(module)
    link_programs()


def main():
    try:
        if sys.argv[1:] == ["--missing"]:
            print(*missing())
            sys.exit(1 if missing() else 0)
        if sys.argv[1:] == ["--go"]:
            go_command()
        elif not sys.argv[1:]:
            build_all()
        else:
            sys.exit(__doc__)
    except BuildFailed as error:
        sys.exit(f"cluster: {error}")


if __name__ == "__main__":
    main()
