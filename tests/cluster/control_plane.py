# SPDX-License-Identifier: Apache-2.0
"""The real control plane in a machine of its own: etcd, API server, controllers, scheduler, each startable alone."""
import os
import select
import signal

import build
import pki
from families import in_url
from machine import kill_and_wait, start_time, wait_for

SUBNET, HOST = 201, 10  # of the lab: 172.30.201.10 and fd30:0:0:c9::a
PORT = 6443
ETCD = "http://127.0.0.1:2379"
ISSUER = "https://kubernetes.default.svc.cluster.local"  # of the tokens of service accounts
NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


class ControlPlane:
    def __init__(self, lab, families):
        self.lab, self.families = lab, families
        self.machine = lab.add_machine("control", SUBNET, HOST)
        self.address = families.addresses_of(self.machine)[0]
        self.server = f"https://{in_url(self.address)}:{PORT}"
        self.dir = os.path.join(lab.dir, "control-plane")
        self.pki = os.path.join(self.dir, "pki")
        os.makedirs(self.pki)
        self.running = {}  # name -> (process of nsenter, pid, start time)
        self._certificates()

    def _certificates(self):
        self.ca = pki.Authority(self.pki, "ca")
        self.front_ca = pki.Authority(self.pki, "front-proxy-ca")
        pki.write_service_account_keys(self.pki)
        names = ["localhost", "127.0.0.1", "::1", self.machine.ipv4, self.machine.ipv6,
                 *self.families.service_addresses(1)]
        names += [f"kubernetes{tail}" for tail in ("", ".default", ".default.svc", ".default.svc.cluster.local")]
        self.ca.issue("apiserver", "kube-apiserver", names=names)
        self.ca.issue("admin", "admin", groups=["system:masters"])
        self.ca.issue("kubelet-client", "kube-apiserver-kubelet-client", groups=["system:masters"])
        self.front_ca.issue("front-proxy", "front-proxy")
        self.admin = self.kubeconfig("admin")
        for user in ("kube-controller-manager", "kube-scheduler"):
            self.ca.issue(user, f"system:{user}")
            self.kubeconfig(user)

    def kubeconfig(self, user):
        cluster = {"server": self.server, "certificate-authority": self.ca.certificate}
        return pki.write_kubeconfig(os.path.join(self.dir, f"{user}.conf"), cluster, self.ca.user(user))

    def log_of(self, name):
        return os.path.join(self.dir, f"{name}.log")

    # --- one program ---

    def start(self, name):
        argv = [os.path.join(build.BIN, name)] + getattr(self, "_" + name.rpartition("kube-")[2].replace("-", "_"))()
        process, pid = self.machine.daemon(argv, self.log_of(name))
        self.running[name] = (process, pid, start_time(pid))

    def stop(self, name, number=signal.SIGTERM, timeout=20):
        """Sends the signal to one program and waits for its end."""
        process, pid, started = self.running.pop(name)
        if number == signal.SIGKILL:
            kill_and_wait(pid, started)
        elif start_time(pid) == started:
            fd = os.pidfd_open(pid)
            try:
                signal.pidfd_send_signal(fd, number)
                if not select.select([fd], [], [], timeout)[0]:
                    raise TimeoutError(f"{name}: still runs {timeout} s after signal {number}")
            finally:
                os.close(fd)
        process.wait(5)

    def check_alive(self):
        for name, (process, _, _) in self.running.items():
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended with {process.returncode}; end of its log:\n"
                                   f"{tail(self.log_of(name))}")

    # --- all of it ---

    def up(self):
        self.start("etcd")
        self.start("kube-apiserver")
        self.wait_ready()
        self.start("kube-controller-manager")
        self.start("kube-scheduler")

    def wait_ready(self, timeout=60):
        def ready():
            self.check_alive()
            return self.kubectl("get", "--raw", "/readyz", check=False).returncode == 0
        wait_for(ready, timeout, f"API server ready ({self.log_of('kube-apiserver')})", every=0.1)

    def client_argv(self, argv):
        """A client (kubectl, helm, hubble) as the cluster's admin; to be run in this machine."""
        path = os.path.join(build.BIN, argv[0])
        program = path if os.path.exists(path) else argv[0]
        return ["env", f"KUBECONFIG={self.admin}", f"HOME={self.dir}", program, *argv[1:]]

    def exec(self, argv, check=True, timeout=60, input=None):
        return self.machine.exec(self.client_argv(argv), check, timeout, input)

    def kubectl(self, *words, **options):
        return self.exec(["kubectl", *words], **options)

    # --- command lines ---

    def _pki(self, name):
        return os.path.join(self.pki, name)

    def _etcd(self):
        return etcd_flags(f"{self.dir}/etcd", ETCD, "http://127.0.0.1:2380")

    def _apiserver(self):
        return [
            *server_flags(self.pki, ETCD, PORT),
            f"--bind-address={'::' if ':' in self.address else '0.0.0.0'}",
            f"--advertise-address={self.address}", f"--service-cluster-ip-range={self.families.ranges('services')}",
            "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
            # Webhooks and aggregated APIs are called at their endpoints: this machine has no service translation.
            "--enable-aggregator-routing=true",
            "--kubelet-preferred-address-types=InternalIP", f"--kubelet-certificate-authority={self.ca.certificate}",
            f"--kubelet-client-certificate={self._pki('kubelet-client.crt')}",
            f"--kubelet-client-key={self._pki('kubelet-client.key')}",
            f"--requestheader-client-ca-file={self.front_ca.certificate}", "--requestheader-allowed-names=front-proxy",
            "--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={self._pki('front-proxy.crt')}",
            f"--proxy-client-key-file={self._pki('front-proxy.key')}",
        ]

    def _client_flags(self, user):
        path = os.path.join(self.dir, f"{user}.conf")
        return [f"--kubeconfig={path}", f"--authentication-kubeconfig={path}", f"--authorization-kubeconfig={path}",
                "--leader-elect=false", "--bind-address=127.0.0.1"]

    def _controller_manager(self):
        return self._client_flags("kube-controller-manager") + [
            "--controllers=*", "--use-service-account-credentials=true", f"--root-ca-file={self.ca.certificate}",
            f"--service-account-private-key-file={self._pki('sa.key')}",
            f"--cluster-signing-cert-file={self.ca.certificate}", f"--cluster-signing-key-file={self._pki('ca.key')}",
            "--allocate-node-cidrs=true", f"--cluster-cidr={self.families.ranges('pods')}",
            f"--service-cluster-ip-range={self.families.ranges('services')}", *self.families.mask_flags(),
            # A node that is away is seen sooner than by default (kube_node.py renews its lease to match).
            "--node-monitor-period=1s", "--node-monitor-grace-period=20s",
        ]

    def _scheduler(self):
        return self._client_flags("kube-scheduler")


def etcd_flags(data, client, peer):
    """data: its folder. client, peer: where it listens."""
    return [f"--data-dir={data}", f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}", "--unsafe-no-fsync"]  # the data lives as long as the test


def server_flags(folder, etcd, port):
    """Of the API server. folder: what pki made for it, by the names ca, apiserver and sa."""
    return [f"--etcd-servers={etcd}", f"--secure-port={port}", f"--client-ca-file={folder}/ca.crt",
            f"--tls-cert-file={folder}/apiserver.crt", f"--tls-private-key-file={folder}/apiserver.key",
            f"--service-account-issuer={ISSUER}", f"--service-account-signing-key-file={folder}/sa.key",
            f"--service-account-key-file={folder}/sa.pub"]


def tail(path, lines=20):
    try:
        with open(path, errors="replace") as log:
            return "".join(log.readlines()[-lines:])
    except OSError as error:
        return f"({error})"
