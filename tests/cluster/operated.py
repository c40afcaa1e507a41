# SPDX-License-Identifier: Apache-2.0
"""Sluice as a cluster has it: operators that read the API, agents that get their intent from them."""
import os
import socket

import images
import workloads
from families import in_url
from machine import kill_and_wait, start_time, wait_for
from node import bin_dir

NAMESPACE = "kube-system"
TAINT = "sluice.dev/agent-not-ready"
AUTHORITIES = "sluice-control-authorities"
PORT, METRICS_PORT = 4250, 9964


def access():
    """Accounts and what the operator may do: all of it is needed, and no more."""
    def rule(groups, resources, verbs, **more):
        return {"apiGroups": groups, "resources": resources, "verbs": verbs, **more}

    meta = {"name": "sluice-operator", "namespace": NAMESPACE}
    subjects = [{"kind": "ServiceAccount", **meta}]
    group = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sluice-agent", "namespace": NAMESPACE}},
        {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": "sluice-operator"}, "rules": [
            rule([""], ["nodes", "namespaces", "pods"], ["list", "watch"]),
            rule([""], ["nodes"], ["get", "patch"]),
            rule([""], ["nodes/status"], ["patch"]),
            rule(["authentication.k8s.io"], ["tokenreviews"], ["create"])]},
        {"apiVersion": f"{group}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "sluice-operator"},
         "subjects": subjects, "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "sluice-operator"}},
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": [
            # A name cannot be asked of what is yet to be made.
            rule(["coordination.k8s.io"], ["leases"], ["create"]),
            rule([""], ["secrets", "configmaps"], ["create"]),
            rule(["coordination.k8s.io"], ["leases"], ["get", "update"], resourceNames=["sluice-operator"]),
            rule([""], ["secrets", "configmaps"], ["get", "update"], resourceNames=[AUTHORITIES])]},
        {"apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": meta, "subjects": subjects,
         "roleRef": {"apiGroup": group, "kind": "Role", "name": "sluice-operator"}}]


class Operator:
    """One replica in the control plane's machine, by a service account as in a pod."""

    def __init__(self, cluster, name, index):
        self.cluster, self.name, self.machine = cluster, name, cluster.plane.machine
        self.port, self.metrics_port = PORT + index, METRICS_PORT + index
        self.dir = os.path.join(cluster.plane.dir, name)
        self.log = cluster.plane.log_of(name)
        os.makedirs(self.dir)
        self.process = self.pid = self.started = None

    @property
    def address(self):
        return f"{in_url(self.cluster.plane.address)}:{self.port}"

    def start(self):
        token = self.cluster.kubectl("create", "token", "sluice-operator", "-n", NAMESPACE, "--duration=1h").stdout
        self._write("token", token.strip())
        with open(self.cluster.plane.ca.certificate) as authority:
            self._write("ca.crt", authority.read())
        self.process, self.pid = self.machine.daemon([
            f"{bin_dir()}/sluice-operator", "--service-account-dir", self.dir, "--api-server", self.cluster.plane.server,
            "--identity", self.name, "--listen", f"[::]:{self.port}", "--metrics-address", f"[::]:{self.metrics_port}",
            "--tls-dir", f"{self.dir}/tls"], self.log)
        self.started = start_time(self.pid)
        return self

    def _write(self, name, text):
        with open(os.path.join(self.dir, name), "w") as out:
            out.write(text)

    def get(self, path):
        """(status, body)"""
        with self.machine.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.settimeout(5)
            sock.connect(("127.0.0.1", self.metrics_port))
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            data = b""
            while part := sock.recv(65536):
                data += part
        head, _, body = data.decode().partition("\r\n\r\n")
        return int(head.split()[1]), body

    def is_healthy(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}: {self.log}")
        try:
            return self.get("/healthz")[0] == 200
        except OSError:
            return False

    def wait_healthy(self, timeout=30):
        wait_for(self.is_healthy, timeout, f"{self.name} healthy ({self.log})", every=0.05)
        return self

    def metric(self, series):
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(series + " "):
                return float(line.rsplit(" ", 1)[1])
        return None

    def leads(self):
        return self.metric("sluice_operator_leader") == 1

    def kill(self):
        kill_and_wait(self.pid, self.started)
        self.process.wait(5)


def agent_pod(node):
    """What a token of the node's agent is bound to. Its container does nothing: the agent runs beside it."""
    return workloads.agnhost(f"sluice-agent-{node}", "pause", node=node, hostNetwork=True,
                             serviceAccountName="sluice-agent", container={"image": images.AGNHOST},
                             tolerations=[{"operator": "Exists"}])


def write_agent_files(cluster, node, token_of=None):
    """What the projected volume of an agent's pod has. token_of: of another node's agent. Returns the folder."""
    token = cluster.kubectl("create", "token", "sluice-agent", "-n", NAMESPACE, "--duration=1h",
                            "--audience=sluice-operator", "--bound-object-kind=Pod",
                            f"--bound-object-name=sluice-agent-{token_of or node.name}").stdout.strip()
    trusted = cluster.api.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/{AUTHORITIES}")["data"]["authorities.crt"]
    folder = f"{node.root}/operator"
    os.makedirs(folder, exist_ok=True)
    for name, text in (("token", token), ("authorities.crt", trusted)):
        with open(f"{folder}/{name}", "w") as out:
            out.write(text)
    return folder


def use_operators(cluster, name, operators, token_of=None):
    """The node's next agent gets its intent from these."""
    node = cluster.node(name).node
    folder = write_agent_files(cluster, node, token_of)
    node.source = ["--operator", ",".join(operator.address for operator in operators),
                   "--operator-authorities-file", f"{folder}/authorities.crt",
                   "--operator-token-file", f"{folder}/token"]
    return node
