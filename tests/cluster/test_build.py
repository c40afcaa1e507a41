# SPDX-License-Identifier: Apache-2.0
"""The builder of the cluster's programs: it builds once, and says which module does not build and why."""
import os
import subprocess
import sys

import build


def run_build(*words, **env):
    argv = [sys.executable, os.path.join(build.HERE, "build.py"), *words]
    return subprocess.run(argv, text=True, capture_output=True, env=dict(os.environ, **env), check=False)


def test_built_programs_are_the_pinned_versions():
    version = subprocess.run([f"{build.BIN}/kubelet", "--version"], capture_output=True, text=True, check=True).stdout

    assert version.split()[-1] == build.KUBERNETES.version()
    for program in ("etcd", "kube-apiserver", "kube-proxy", "agnhost", "coredns", "helm", "hubble"):
        assert os.access(os.path.join(build.BIN, program), os.X_OK), program


def test_second_build_does_nothing():
    done = run_build()

    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_failure_names_the_module(tmp_path):
    """An empty module cache and no proxy: go itself fails on its first download."""
    done = run_build(SLUICE_CLUSTER_CACHE=str(tmp_path / "cache"), GOMODCACHE=str(tmp_path / "mod"), GOPROXY="off",
                     GOFLAGS="-modcacherw")

    assert done.returncode == 1
    assert f"module kubernetes (. {build.KUBERNETES.version()}): go build ended with 1" in done.stderr
    assert "disabled by GOPROXY=off" in done.stderr
    assert run_build("--missing", SLUICE_CLUSTER_CACHE=str(tmp_path / "cache")).stdout.split()[0] == "kubernetes"


def test_machine_without_go_is_told_what_to_install(tmp_path):
    done = run_build("--go", PATH=str(tmp_path))

    if os.path.exists("/usr/local/go/bin/go") or os.path.exists("/usr/lib/go/bin/go"):
        assert done.returncode == 0
    else:
        assert done.returncode == 1 and "install golang-go" in done.stderr


def test_program_under_an_unknown_name_lists_the_known(tmp_path):
    os.symlink(f"{build.KUBERNETES.entry()}/kubernetes", tmp_path / "kubelte")

    done = subprocess.run([tmp_path / "kubelte"], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert '"kubelte" is no program of this binary' in done.stderr and "kubelet" in done.stderr
