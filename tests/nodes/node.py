# SPDX-License-Identifier: Apache-2.0
"""A node of a lab: a machine with an agent, and pods that are made by the CNI binary as a runtime makes them."""
import json
import os
import select
import signal
import socket

import cni
from machine import Machine, start_time, wait_for
from netns import Netns

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def bin_dir():
    """SLUICE_BIN, else the newest of the build presets that has an agent."""
    if os.environ.get("SLUICE_BIN"):
        return os.path.abspath(os.environ["SLUICE_BIN"])
    found = [f"{TOP}/build/{preset}/bin" for preset in ("release", "debug")]
    found = [path for path in found if os.path.exists(f"{path}/sluice-agent")]
    if not found:
        raise SystemExit("no sluice-agent in build/release/bin or build/debug/bin: build first, or set SLUICE_BIN")
    return max(found, key=lambda path: os.path.getmtime(f"{path}/sluice-agent"))


class PodNetns(Netns, cni.Pod):
    """Both sides of a pod: its CNI identity and running things inside it."""

    def __init__(self, node, name, namespace, netns, container):
        cni.Pod.__init__(self, node, name, namespace, netns, container)
        Netns.__init__(self, node.fs + netns, name)

    def __repr__(self):
        return f"{self.namespace}/{self.name}@{self.node.name}"


class Node(Machine):
    def __init__(self, lab, name, index, **options):
        super().__init__(lab, name, full=True, **options)
        self.index = index
        self.pod_cidrs = [f"10.244.{index}.0/24", f"fd44:0:0:{index}::/64"]
        self.pods, self.agent, self.agent_pid = [], None, 0
        self.log = os.path.join(lab.dir, f"{name}-agent.log")
        self.source = ["--standalone", lab.manifests]  # flags that say where intent comes from

    # --- manifests ---

    def manifest(self):
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name},
                "spec": {"podCIDR": self.pod_cidrs[0], "podCIDRs": self.pod_cidrs},
                "status": {"addresses": [{"type": "InternalIP", "address": self.ipv4},
                                         {"type": "InternalIP", "address": self.ipv6}]}}

    # --- the agent ---

    def write_config(self, config=None):
        """config: fields of agent.yaml (JSON is YAML, so no YAML writer is needed), or a path. Returns the path."""
        if isinstance(config, str):
            return config
        path = f"{self.root}/agent.yaml"
        with open(path, "w") as out:
            json.dump(dict({"nodeName": self.name}, **(config or {})), out, indent=1)
        return path

    def agent_argv(self, config=None, flags=()):
        return [f"{bin_dir()}/sluice-agent", "--config", self.write_config(config)] + self.source + list(flags)

    def start_agent(self, config=None, flags=(), wait=True, prefix=(), timeout=20):
        """prefix: a command that runs the agent, such as setpriv. With `wait`, returns once it says it is ready."""
        assert self.agent is None or self.agent.poll() is not None, f"{self.name}: an agent runs already"
        self.agent, self.agent_pid = self.daemon(self.agent_argv(config, flags), self.log, prefix=prefix)
        if wait:
            self.wait_ready(timeout)

    def wait_ready(self, timeout=20):
        def ready():
            if self.agent.poll() is not None:
                raise AssertionError(f"{self.name}: the agent ended with {self.agent.returncode}:\n{self.log_tail()}")
            done = self.cli("status", "-o", "json", check=False)
            try:
                return json.loads(done.stdout).get("ready", False)
            except ValueError:
                return False
        try:
            wait_for(ready, timeout, f"{self.name}: agent ready")
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self.cli('status', check=False).stdout}\n{self.log_tail()}") from None

    def kill_agent(self, number=signal.SIGTERM, timeout=20):
        """Sends the signal, returns the agent's exit code (negative: the signal that ended it)."""
        if self.agent is None or self.agent.poll() is not None:
            return None
        fd = os.pidfd_open(self.agent_pid)
        try:
            signal.pidfd_send_signal(fd, number)
            assert select.select([fd], [], [], timeout)[0], f"{self.name}: agent still runs {timeout} s after {number}"
        finally:
            os.close(fd)
        code = self.agent.wait(5)
        self.agent = None
        return code

    def restart_agent(self, number=signal.SIGTERM, config=None, flags=()):
        self.kill_agent(number)
        self.start_agent(config, flags)

    def log_tail(self, lines=40):
        try:
            with open(self.log, errors="replace") as log:
                return "".join(log.readlines()[-lines:])
        except OSError:
            return "(no log)"

    def agent_rss(self):
        with open(f"/proc/{self.agent_pid}/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))

    # --- the CLI ---

    def cli(self, *words, check=True, timeout=20):
        return self.exec([f"{bin_dir()}/sluice", *words], check=check, timeout=timeout)

    def cli_json(self, *words):
        return json.loads(self.cli(*words, "-o", "json").stdout)

    def status(self):
        """Also of an agent that is not well: the command then ends with 1 and says why."""
        return json.loads(self.cli("status", "-o", "json", check=False).stdout)

    def http_get(self, path, family=socket.AF_INET):
        """The whole answer of metricsAddress, head included."""
        with self.socket(family, socket.SOCK_STREAM) as sock:
            sock.settimeout(5)
            sock.connect(("127.0.0.1" if family == socket.AF_INET else "::1", 9962))
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            data = b""
            while part := sock.recv(65536):
                data += part
            return data.decode()

    # --- pods without a container runtime ---

    def make_netns(self, name):
        self.exec(["ip", "netns", "add", name])
        return f"/run/netns/{name}"

    def add_pod(self, name, namespace="demo", version="1.0.0", **conf):
        netns = self.make_netns(name)
        pod = PodNetns(self, name, namespace, netns, f"{namespace}-{name}")
        pod.exec("ip link set lo up")
        try:
            pod.result = cni.call(self, "ADD", cni.plugin_conf(self, version, **conf), pod.env())
        except BaseException:
            self.exec(["ip", "netns", "del", name], check=False)
            raise
        self.pods.append(pod)
        return pod

    def del_pod(self, pod):
        cni.call(self, "DEL", cni.plugin_conf(self, previous=pod.result), pod.env())
        self.exec(["ip", "netns", "del", pod.name])
        if pod in self.pods:
            self.pods.remove(pod)

    def cni(self, command, pod=None, conf=None, env=None, **options):
        """One plugin call about a pod (or with an environment of the caller's own)."""
        if env is None:
            env = pod.env() if pod is not None else {}
        return cni.call(self, command, cni.plugin_conf(self) if conf is None else conf, env, **options)

    def is_alive(self):
        return start_time(self.pid) == self.started

    def power_off(self):
        if self.agent is not None and self.agent.poll() is None:
            self.agent.kill()
        super().power_off()
        if self.agent is not None:
            self.agent.wait()
        self.agent = None
