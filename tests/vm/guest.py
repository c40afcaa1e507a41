# SPDX-License-Identifier: Apache-2.0
"""Boots a Debian kernel in QEMU with an initramfs that runs steps and prints what became of each.

Nothing is installed: the kernel's package is downloaded and unpacked under build/vm/. A guest has
two CPUs, no network and no disk; it ends by itself or at the deadline.
"""
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess

INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /dev /proc /sys /tmp /run
/bin/busybox mount -t proc p /proc
/bin/busybox mount -t sysfs s /sys
/bin/busybox mount -t devtmpfs d /dev 2>/dev/null
/bin/busybox mount -t tmpfs t /tmp
/bin/busybox mount -t bpf b /sys/fs/bpf
while read module; do /bin/busybox insmod /modules/$module; done < /modules/order
echo "@@kernel $(/bin/busybox uname -r)"
for step in /steps/*; do
  echo "@@begin ${step##*/}"
  /bin/busybox sh $step 2>&1
  echo "@@end ${step##*/} $?"
done
/bin/busybox poweroff -f
"""
STEP = re.compile(r"^@@begin (\S+)\n(.*?)^@@end \1 (\d+)$", re.M | re.S)


class Unavailable(Exception):
    """The machine cannot run this guest; the text says what it lacks."""


@dataclasses.dataclass
class Step:
    status: int
    output: str


def _run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def packages(series):
    """Names of Debian's signed cloud kernels of a series like "6.12" that apt knows, newest first."""
    pattern = rf"^linux-image-{re.escape(series)}\.[0-9][^ ]*-cloud-amd64$"
    if shutil.which("apt-cache") is None:
        raise Unavailable("apt-cache is not there: kernels come as Debian packages")
    names = [line.split()[0] for line in _run("apt-cache", "search", "--names-only", pattern).stdout.splitlines()]
    return sorted(names, key=lambda name: [int(n) for n in re.findall(r"\d+", name)], reverse=True)


def kernel(series, cache):
    """Folder that holds boot/vmlinuz-* and lib/modules/* of the newest kernel of the series; downloaded once."""
    known = sorted(cache.glob(f"linux-image-{series}.*/boot/vmlinuz-*"))
    if known:
        return known[-1].parent.parent
    tried = packages(series)[:3]
    cache.mkdir(parents=True, exist_ok=True)
    for name in tried:
        if _run("apt-get", "download", "-q", name, cwd=cache).returncode != 0:
            continue  # a list older than the mirror names versions that are gone: the one before may be there
        package = next(cache.glob(f"{name}_*.deb"))
        unpacked = _run("dpkg", "-x", str(package), str(cache / name))
        package.unlink()
        if unpacked.returncode == 0:
            return cache / name
    raise Unavailable(f"no kernel {series} from apt (tried {', '.join(tried) or 'nothing: apt lists none'})")


def _copy(root, path, to=None):
    target = root / (to or str(path)).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, target)  # follows links
    target.chmod(0o755)


def _copy_program(root, path, to=None):
    _copy(root, path, to)
    for library in re.findall(r"(/\S+) \(0x", _run("ldd", str(path)).stdout):
        if not (root / library.lstrip("/")).exists():
            _copy(root, library)


def _add_modules(root, kernel_dir, names):
    version = next((kernel_dir / "lib" / "modules").iterdir()).name
    if not (kernel_dir / "lib" / "modules" / version / "modules.dep.bin").exists():
        _run("depmod", "-b", str(kernel_dir), version)
    order = []
    for name in names:
        shown = _run("modprobe", "-S", version, "-d", str(kernel_dir), "--show-depends", name)
        order += [line.split()[1] for line in shown.stdout.splitlines() if line.startswith("insmod ")]
    (root / "modules").mkdir()
    listed = []
    for path in dict.fromkeys(map(pathlib.Path, order)):
        name = path.name.removesuffix(".xz")
        content = _run_bytes("xz", "-dc", str(path)) if path.suffix == ".xz" else path.read_bytes()
        (root / "modules" / name).write_bytes(content)
        listed.append(name)
    (root / "modules" / "order").write_text("".join(f"{name}\n" for name in listed))


def _run_bytes(*command):
    return subprocess.run(command, capture_output=True, check=True).stdout


def _pack(root, image):
    files = "\0".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    with open(image, "wb") as out:
        subprocess.run(["cpio", "-o", "-0", "-H", "newc", "--quiet"], input=files.encode(), cwd=root, stdout=out, check=True)


@dataclasses.dataclass
class Contents:
    """What a guest runs: `programs` by path here -> path there, text `files` by path there, shell `steps` in order."""

    programs: dict
    files: dict
    steps: dict
    modules: list


def boot(kernel_dir, contents, work, timeout_s):
    """Runs the steps; {name: Step} of those that ended, and the whole serial log. Raises Unavailable without QEMU."""
    for tool in ("qemu-system-x86_64", "cpio", "busybox", "modprobe", "depmod", "xz"):
        if shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None:
            raise Unavailable(f"{tool} is not installed")
    root = work / "root"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    _copy_program(root, shutil.which("busybox"), "/bin/busybox")
    for source, target in contents.programs.items():
        _copy_program(root, source, target)
    for target, text in contents.files.items():
        path = root / target.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "steps").mkdir()
    for number, (name, script) in enumerate(contents.steps.items()):
        (root / "steps" / f"{number:02}-{name}").write_text(script)
    _add_modules(root, kernel_dir, contents.modules)
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)
    image = work / "initramfs"
    _pack(root, image)

    vmlinuz = next((kernel_dir / "boot").glob("vmlinuz-*"))
    # Always emulated: the same everywhere, whether or not the machine may virtualise. Emulated cmpxchg16b makes kernels
    # die at random in their allocator, so the CPU does not offer it.
    command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max,-cx16", "-smp", "2", "-m", "1536", "-nographic", "-no-reboot", "-nodefaults",
               "-serial", "stdio", "-kernel", str(vmlinuz), "-initrd", str(image),
               "-append", "console=ttyS0 quiet panic=-1"]
    try:
        ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False)
        log = ran.stdout + ran.stderr
    except subprocess.TimeoutExpired as late:
        log = (late.stdout or b"") + b"\n@@timeout\n"
    text = log.decode(errors="replace").replace("\r", "")
    (work / "serial.log").write_text(text)
    return {name[3:]: Step(int(status), output) for name, output, status in STEP.findall(text)}, text
