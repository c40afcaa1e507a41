# SPDX-License-Identifier: Apache-2.0
"""The kernels at the ends of what we support: every program loads under their verifier, attaches and counts.

SLUICE_BUILD names the build folder (default build/debug). UPDATE=1 records the figures of these kernels anew.
"""
import functools
import os
import pathlib

import guest as vm
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("SLUICE_BUILD", "build/debug")
FIGURES = ROOT / "tests" / "verifier" / "instructions.txt"
UPDATE = os.environ.get("UPDATE") == "1"
# Kernel series and the ways in which it attaches programs: 6.1 is the floor, TCX came with 6.6.
KERNELS = {"6.1": ["clsact"], "6.12": ["clsact", "tcx"]}
FIGURES_MARK = "@@figures\n"


def steps(ways):
    found = {
        "verify": f"export SLUICE_CORNERS=few SLUICE_FIGURES=/figures UPDATE={int(UPDATE)}\n"
                  "/bin/verifier_test --gtest_brief=1 --gtest_color=no; status=$?\n"
                  f"echo '{FIGURES_MARK.strip()}'; /bin/busybox cat /figures\nexit $status\n",
    }
    for way in ways:
        found[way] = (f"/bin/ip link add sl{way} type veth peer name sl{way}p || exit 90\n"
                      f"/bin/ip link set sl{way} up && /bin/ip link set sl{way}p up || exit 91\n"
                      f"/bin/attach_probe sl{way} {way}\n")
    return found


@functools.cache  # one boot a kernel, whichever test comes first
def booted(series):
    for binary in ("verifier_test", "attach_probe"):
        assert (BUILD / "bin" / binary).exists(), f"{binary} is not built in {BUILD}"
    contents = vm.Contents(
        programs={BUILD / "bin" / "verifier_test": "/bin/verifier_test",
                  BUILD / "bin" / "attach_probe": "/bin/attach_probe", "/sbin/ip": "/bin/ip"},
        files={"/figures": FIGURES.read_text() if FIGURES.exists() else ""},
        steps=steps(KERNELS[series]), modules=["veth", "sch_ingress", "cls_bpf"])
    try:
        kernel = vm.kernel(series, ROOT / "build" / "vm" / "kernels")
        results, log = vm.boot(kernel, contents, ROOT / "build" / "vm" / series, timeout_s=400)
    except vm.Unavailable as reason:
        return {}, "", str(reason)
    return results, log, ""


def step(series, name):
    results, log, unavailable = booted(series)
    if unavailable:
        pytest.skip(unavailable)
    assert f"@@kernel {series}." in log, f"the guest did not come up:\n{log[-3000:]}"
    assert name in results, f"step {name} did not end:\n{log[-3000:]}"
    return results[name]


@pytest.mark.parametrize("series", KERNELS)
def test_every_program_loads_within_its_recorded_cost(series):
    result = step(series, "verify")
    assert result.status == 0, result.output[-6000:]
    if UPDATE:
        FIGURES.write_text(result.output.partition(FIGURES_MARK)[2])


@pytest.mark.parametrize(("series", "way"), [(series, way) for series, ways in KERNELS.items() for way in ways])
def test_programs_attach_and_count(series, way):
    result = step(series, way)
    assert result.status == 0, result.output
