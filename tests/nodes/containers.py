# SPDX-License-Identifier: Apache-2.0
"""containerd in a node, and containers that get their network by `ctr run --cni`."""
import json
import os
import shutil
import subprocess
import sys

from machine import wait_for
from netns import Netns

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "images"))
import mkimage  # noqa: E402

IMAGE = "sluice.dev/tools:1"
CONFIG = 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
WHOAMI = b'#!/bin/sh\nprintf "Content-Type: text/plain\\r\\n\\r\\n$REMOTE_ADDR\\n"\n'


def make_tools_image(folder):
    """busybox with its tools and a page that tells a client the address it was seen with."""
    busybox = shutil.which("busybox")
    if not busybox:
        raise SystemExit("busybox is missing: install busybox-static")
    script = os.path.join(folder, "whoami")
    with open(script, "wb") as out:
        out.write(WHOAMI)
    os.chmod(script, 0o755)
    names = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    path = os.path.join(folder, "tools.tar")
    mkimage.write_image(path, IMAGE, ["/bin/busybox", "httpd", "-f", "-p", "80", "-h", "/www"],
                        files=[(busybox, "/bin/busybox"), (script, "/www/cgi-bin/whoami")],
                        links=[("busybox", f"/bin/{name}") for name in names if name != "busybox"])
    return path


class Container(Netns):
    """A running container; as a Netns it is the network namespace that CNI filled."""

    def __init__(self, engine, name, pid):
        super().__init__(f"{engine.node.fs}/proc/{pid}/ns/net", name)
        self.engine = engine
        addresses = json.loads(self.exec(["ip", "-j", "addr", "show", "dev", "eth0"]).stdout)[0]["addr_info"]
        ours = {a["family"]: a["local"] for a in addresses if a["scope"] == "global"}
        self.ipv4, self.ipv6 = ours.get("inet"), ours.get("inet6")

    def run(self, *command, check=True, timeout=20):
        """Runs a command in the container itself (its root, its pids)."""
        self.engine.counter += 1
        return self.engine.ctr("task", "exec", "--exec-id", f"x{self.engine.counter}", self.name, *command,
                               check=check, timeout=timeout)


class Containerd:
    def __init__(self, node, namespace="demo"):
        self.node, self.namespace, self.counter = node, namespace, 0
        with open(f"{node.fs}/etc/containerd-sluice.toml", "w") as out:
            out.write(CONFIG)
        self.process, self.pid = node.daemon(["containerd", "--config", "/etc/containerd-sluice.toml"],
                                             os.path.join(node.lab.dir, f"{node.name}-containerd.log"))

    def ctr(self, *words, check=True, timeout=30):
        return self.node.exec(["ctr", "-n", self.namespace, *words], check=check, timeout=timeout)

    def load(self, image):
        wait_for(lambda: os.path.exists(f"{self.node.fs}/run/containerd/containerd.sock")
                 and self.ctr("version", check=False).returncode == 0, 20, f"{self.node.name}: containerd")
        self.ctr("images", "import", image)

    def run(self, name, image=IMAGE):
        """The container's id is what CNI hears as "<namespace>-<name>", by which the agent finds its pod."""
        self.ctr("run", "-d", "--cni", image, name)
        lines = self.ctr("task", "ls").stdout.splitlines()
        pid = next(line.split()[1] for line in lines if line.split()[0] == name)
        return Container(self, name, pid)

    def remove(self, container):
        self.ctr("task", "kill", "-s", "KILL", container.name)
        wait_for(lambda: "STOPPED" in self.ctr("task", "ls").stdout, 10, f"end of {container.name}")
        self.ctr("task", "rm", container.name, check=False)
        self.ctr("container", "rm", container.name)
