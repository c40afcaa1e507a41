# SPDX-License-Identifier: Apache-2.0
"""What makes a lab's node one of Kubernetes: containerd and kubelet with default paths, images, kube-proxy if asked."""
import contextlib
import json
import os
import select
import shutil
import signal

import build
import images
from machine import start_time, wait_for

CNI_PLUGINS = "/usr/lib/cni"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
CONTAINERD = f"""version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{images.PAUSE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
"""
# What kubelet wants these to be, and would set for the whole machine: it is shown files that say so already.
TUNABLES = {"vm/overcommit_memory": 1, "vm/panic_on_oom": 0, "kernel/panic": 10, "kernel/panic_on_oops": 1,
            "kernel/keys/root_maxkeys": 1000000, "kernel/keys/root_maxbytes": 25000000}
PROXY_MODES = ("nftables", "iptables")


class KubeNode:
    """node: of the lab (its machine, addresses, and the standalone agent of Sluice)."""

    def __init__(self, plane, node, taints=()):
        self.plane, self.node, self.name = plane, node, node.name
        self.families, self.taints = plane.families, list(taints)
        self.logs = os.path.join(plane.lab.dir, f"{self.name}-logs")
        os.makedirs(self.logs, exist_ok=True)  # a node may come back by the same name
        self.running = {}  # program -> (process of nsenter, pid, start time)
        self.proxy_mode = None

    # --- settings ---

    def addresses(self):
        return self.families.addresses_of(self.node)

    def write_settings(self):
        """Certificates for the addresses of now, and every file that containerd and kubelet read."""
        self.plane.ca.issue(f"kubelet-{self.name}", f"system:node:{self.name}", groups=["system:nodes"],
                            names=[self.name, self.node.ipv4, self.node.ipv6])
        self.kubeconfig = self.plane.kubeconfig(f"kubelet-{self.name}")
        with open(f"{self.node.root}/containerd.toml", "w") as out:
            out.write(CONTAINERD)
        with open(f"{self.node.root}/resolv.conf", "w") as out:
            out.write(f"nameserver {self.plane.address}\n")
        with open(f"{self.node.root}/kubelet.json", "w") as out:
            json.dump(self._kubelet_settings(), out, indent=1)
        os.makedirs(self.node.fs + "/opt/cni/bin", exist_ok=True)
        # The runtime itself calls `loopback`; a node has it before any network is installed.
        self.install_plugins("loopback")

    def install_plugins(self, *names):
        for name in names:
            source = os.path.join(CNI_PLUGINS, name)
            if not os.path.exists(source):
                raise build.BuildFailed(f"{source} is missing: install containernetworking-plugins")
            shutil.copy(source, self.node.fs + f"/opt/cni/bin/{name}")

    def _kubelet_settings(self):
        pki = self.plane.ca
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}", "cgroupDriver": "cgroupfs",
            "failCgroupV1": False, "failSwapOn": False, "enforceNodeAllocatable": [],
            "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True},
                               "x509": {"clientCAFile": pki.certificate}},
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": pki.path(f"kubelet-{self.name}", "crt"),
            "tlsPrivateKeyFile": pki.path(f"kubelet-{self.name}", "key"),
            "clusterDomain": "cluster.local", "clusterDNS": self.families.service_addresses(10)[:1],
            "resolvConf": f"{self.node.root}/resolv.conf", "staticPodPath": "/etc/kubernetes/manifests",
            "nodeStatusUpdateFrequency": "2s", "nodeLeaseDurationSeconds": 20,
            # The disk is the test machine's: how full it is says nothing about the node.
            "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
            "evictionHard": {"memory.available": "1Mi", "nodefs.available": "0%", "imagefs.available": "0%",
                             "nodefs.inodesFree": "0%"},
            "registerWithTaints": self.taints,
        }

    def _show_tunables(self):
        folder = f"{self.node.root}/tunables"
        os.makedirs(folder, exist_ok=True)
        lines = []
        for name, value in TUNABLES.items():
            path = os.path.join(folder, name.replace("/", "."))
            with open(path, "w") as out:
                out.write(f"{value}\n")
            lines.append(f"mount --bind {path} /proc/sys/{name}")
        self.node.exec("set -e; " + "; ".join(lines))

    # --- programs ---

    def prepare(self, archives=()):
        """Up to the runtime with its images; needs no API server."""
        os.makedirs(self.node.fs + "/etc/kubernetes/manifests", exist_ok=True)
        os.makedirs(self.node.fs + "/etc/cni/net.d", exist_ok=True)
        self.write_settings()
        self._show_tunables()
        self.start_containerd()
        for archive in archives:
            self.load_image(archive)

    def join(self):
        """After it kubelet registers the node by itself."""
        self.start_kubelet()
        if self.proxy_mode:
            self.start_proxy(self.proxy_mode)

    def start(self, program, argv):
        process, pid = self.node.daemon(argv, self.log_of(program))
        self.running[program] = (process, pid, start_time(pid))

    def log_of(self, program):
        return os.path.join(self.logs, f"{program}.log")

    def stop(self, program, number=signal.SIGTERM, timeout=20):
        process, pid, started = self.running.pop(program)
        if start_time(pid) == started:
            fd = os.pidfd_open(pid)
            try:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(fd, number)
                if not select.select([fd], [], [], timeout)[0]:
                    raise TimeoutError(f"{self.name}: {program} still runs {timeout} s after signal {number}")
            finally:
                os.close(fd)
        process.wait(5)

    def check_alive(self):
        for program, (process, _, _) in self.running.items():
            if process.poll() is not None:
                raise RuntimeError(f"{self.name}: {program} ended with {process.returncode}: {self.log_of(program)}")

    def start_containerd(self):
        self.start("containerd", ["containerd", "--config", f"{self.node.root}/containerd.toml"])

        def ready():
            self.check_alive()
            return self.ctr("version", check=False).returncode == 0
        wait_for(ready, 30, f"{self.name}: containerd ({self.log_of('containerd')})", every=0.05)

    def start_kubelet(self):
        self.start("kubelet", [
            os.path.join(build.BIN, "kubelet"), f"--config={self.node.root}/kubelet.json",
            f"--kubeconfig={self.kubeconfig}", f"--node-ip={','.join(self.addresses())}", "--v=2"])

    def start_proxy(self, mode):
        """kube-proxy as the reference for services."""
        if mode not in PROXY_MODES:
            raise ValueError(f"kube-proxy mode {mode!r}: must be one of {', '.join(PROXY_MODES)}")
        self.proxy_mode = mode
        self.plane.ca.issue("kube-proxy", "system:kube-proxy")
        settings = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": mode,
            "clientConnection": {"kubeconfig": self.plane.kubeconfig("kube-proxy")},
            "clusterCIDR": self.families.ranges("pods"),
            # Limits of the whole machine, not of the node's network namespace: left as they are.
            "conntrack": {"maxPerCore": 0, "min": 0},
        }
        with open(f"{self.node.root}/kube-proxy.json", "w") as out:
            json.dump(settings, out, indent=1)
        self.start("kube-proxy", [os.path.join(build.BIN, "kube-proxy"), f"--config={self.node.root}/kube-proxy.json"])

    # --- images ---

    def ctr(self, *words, check=True, timeout=120):
        return self.node.exec(["ctr", "-n", "k8s.io", *words], check=check, timeout=timeout)

    def load_image(self, archive):
        """archive: as images.archive_of or `docker save` write it. It stays over a reboot."""
        self.ctr("images", "import", archive)

    # --- the machine ---

    def power_off(self):
        """All its processes end at once, as if the cable were pulled."""
        self.node.power_off()
        for process, _, _ in self.running.values():
            process.wait(5)
        self.running.clear()

    def reboot(self):
        self.power_off()
        self.plane.lab.reboot(self.node)
        self.prepare()
        self.join()

    def readdress(self, host):
        """Other addresses, as from another DHCP lease: kubelet is started anew and reports them."""
        self.stop("kubelet")
        self.plane.lab.readdress(self.node, host)
        self.write_settings()
        self.start_kubelet()
