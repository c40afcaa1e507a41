# SPDX-License-Identifier: Apache-2.0
"""One sluice-operator against the test's API server: started, asked, killed."""
import http.client
import os
import subprocess

from api_server import free_port
from machine import wait_for
from watcher import TOP


def program():
    return os.path.join(os.environ.get("SLUICE_BIN", os.path.join(TOP, "build", "debug", "bin")), "sluice-operator")


class Operator:
    def __init__(self, plane, space, name):
        self.plane, self.space, self.name = plane, space, name
        self.port, self.metrics_port = free_port(), free_port()
        self.log_path = plane.path(f"{space}-{name}.log")
        self.process = None

    def argv(self):
        config = self.plane.kubeconfig(f"{self.space}-{self.name}.conf")
        return [program(), "--kubeconfig", config, "--namespace", self.space, "--identity", self.name,
                "--listen", f"127.0.0.1:{self.port}", "--metrics-address", f"127.0.0.1:{self.metrics_port}",
                "--tls-dir", self.plane.path(f"{self.space}-{self.name}-tls")]

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def get(self, path):
        """(status, body)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def is_healthy(self):
        return self.wait_for_answer("/healthz")[0] == 200

    def wait_for_answer(self, path):
        if self.process.poll() is not None:
            raise RuntimeError(f"the operator ended with {self.process.returncode}:\n{self.log()}")
        try:
            return self.get(path)
        except OSError:
            return 0, ""

    def wait_healthy(self, timeout=30):
        try:
            wait_for(self.is_healthy, timeout, f"{self.name} healthy", every=0.05)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; {self.wait_for_answer('/healthz')}\n{self.log()}") from None
        return self

    def metric(self, series):
        """series: a name with its labels, as it is printed."""
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(series + " "):
                return float(line.rsplit(" ", 1)[1])
        return None

    def leads(self):
        return self.metric("sluice_operator_leader") == 1

    def log(self):
        with open(self.log_path) as text:
            return text.read()[-3000:]

    def stop(self, kill=False, timeout=10):
        """Its exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.kill() if kill else self.process.terminate()
        code = self.process.wait(timeout)
        self.process = None
        return code
