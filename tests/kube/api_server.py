# SPDX-License-Identifier: Apache-2.0
"""A real etcd and kube-apiserver on the loopback, with certificates, tokens and a small client of the tests' own."""
import base64
import contextlib
import ctypes
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
sys.path[:0] = [HERE, os.path.join(TESTS, "cluster"), os.path.join(TESTS, "nodes")]
import build  # noqa: E402
import pki  # noqa: E402
from control_plane import ISSUER, etcd_flags, server_flags, tail  # noqa: E402
from machine import wait_for  # noqa: E402


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def replace(path, text):
    """Whole or not at all, as kubelet replaces what it projects."""
    with open(path + ".new", "w") as out:
        out.write(text)
    os.rename(path + ".new", path)


class ApiServer:
    def __init__(self):
        build.build(build.KUBERNETES)
        self.binary = os.path.join(build.KUBERNETES.entry(), build.KUBERNETES.name)
        self.dir = tempfile.mkdtemp(prefix="sluice-kube-")
        self.etcd_port, self.peer_port, self.port = free_port(), free_port(), free_port()
        self.processes = {}
        self.ca = pki.Authority(self.dir, "ca")
        self.ca.issue("apiserver", "kube-apiserver", names=["127.0.0.1", "localhost", "kubernetes"])
        self.ca.issue("admin", "admin", groups=["system:masters"])
        pki.write_service_account_keys(self.dir)
        try:
            self.start_etcd()
            self.start_server()
        except BaseException:
            self.close()
            raise

    def path(self, name):
        return os.path.join(self.dir, name)

    @property
    def server(self):
        return f"https://127.0.0.1:{self.port}"

    def start(self, program, *flags):
        with open(self.path(f"{program}.log"), "ab") as log:
            self.processes[program] = subprocess.Popen(
                [program, *flags], executable=self.binary, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=self._tie)

    @staticmethod
    def _tie():
        """It ends with the tests, however they end."""
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        os.nice(2)

    def kill(self, program):
        process = self.processes.pop(program, None)
        if process:
            process.send_signal(signal.SIGKILL)
            process.wait()

    @property
    def etcd(self):
        return f"http://127.0.0.1:{self.etcd_port}"

    def start_etcd(self):
        self.start("etcd", *etcd_flags(self.path("etcd"), self.etcd, f"http://127.0.0.1:{self.peer_port}"))

    def start_server(self):
        self.start("kube-apiserver", *server_flags(self.dir, self.etcd, self.port), "--bind-address=127.0.0.1",
                   "--advertise-address=127.0.0.1", "--service-cluster-ip-range=10.96.0.0/16",
                   f"--cert-dir={self.path('certs')}", "--authorization-mode=RBAC", "--endpoint-reconciler-type=none",
                   "--etcd-compaction-interval=0", "--disable-admission-plugins=ServiceAccount")
        wait_for(self.is_ready, 90, "the API server", every=0.1)

    def is_ready(self):
        if self.processes["kube-apiserver"].poll() is not None:
            raise RuntimeError(f"kube-apiserver ended; end of its log:\n{tail(self.path('kube-apiserver.log'))}")
        try:
            return self.call("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def restart_server(self):
        self.kill("kube-apiserver")
        self.start_server()

    def connect(self, timeout=30):
        """A connection as administrator."""
        context = ssl.create_default_context(cafile=self.ca.certificate)
        context.load_cert_chain(self.ca.path("admin", "crt"), self.ca.path("admin", "key"))
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=timeout)

    def call(self, method, path, body=None, content_type="application/json", accept="application/json"):
        """(status, body) of one request as administrator."""
        connection = self.connect()
        with contextlib.closing(connection):
            headers = {"Accept": accept, **({"Content-Type": content_type} if body is not None else {})}
            data = json.dumps(body) if isinstance(body, (dict, list)) else body
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def must(self, method, path, body=None, content_type="application/json"):
        status, text = self.call(method, path, body, content_type)
        if not 200 <= status < 300:
            raise RuntimeError(f"{method} {path}: {status} {text.decode(errors='replace')}")
        return json.loads(text)

    def patch(self, path, body):
        return self.must("PATCH", path, body, "application/merge-patch+json")

    def etcdctl(self, method, body):
        """One call of etcd's gRPC gateway."""
        connection = http.client.HTTPConnection("127.0.0.1", self.etcd_port, timeout=30)
        with contextlib.closing(connection):
            connection.request("POST", f"/v3/{method}", json.dumps(body))
            return json.loads(connection.getresponse().read())

    def compact(self):
        revision = self.etcdctl("kv/range", {"key": base64.b64encode(b"/").decode()})["header"]["revision"]
        self.etcdctl("kv/compaction", {"revision": revision, "physical": True})

    def token(self, account, seconds, namespace):
        """A token of a service account, signed with the cluster's key, that ends after `seconds`."""
        uid = self.must("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}")["metadata"]["uid"]
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": [ISSUER], "sub": f"system:serviceaccount:{namespace}:{account}", "iat": now - 5,
                  "nbf": now - 5, "exp": now + seconds,
                  "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": account, "uid": uid}}}
        parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
                 for part in ({"alg": "RS256", "typ": "JWT"}, claims)]
        with open(self.path("sa.key"), "rb") as key:
            signer = serialization.load_pem_private_key(key.read(), None)
        signature = signer.sign(b".".join(parts), padding.PKCS1v15(), hashes.SHA256())
        return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()

    def kubeconfig(self, name, user=None, **cluster):
        """user, cluster: fields beside or in place of the administrator's and this server's; paths are relative to `dir`."""
        return pki.write_kubeconfig(self.path(name), {"server": self.server, "certificate-authority": "ca.crt", **cluster},
                                    user or self.ca.user("admin"))

    def close(self):
        for program in ("kube-apiserver", "etcd"):
            self.kill(program)
        shutil.rmtree(self.dir, ignore_errors=True)
