# SPDX-License-Identifier: Apache-2.0
"""One kube_watch and what it has printed."""
import json
import os
import queue
import subprocess
import threading

from machine import wait_for

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def program():
    return os.path.join(os.environ.get("SLUICE_BIN", os.path.join(TOP, "build", "debug", "bin")), "kube_watch")


class Watcher:
    def __init__(self, *flags, log):
        self.log_path = log
        with open(log, "wb") as err:
            self.process = subprocess.Popen([program(), *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err,
                                            text=True)
        self.changes, self.synced = [], False
        self.state = {}  # (kind, namespace, name) -> object, as the changes say
        self._answers = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for text in self.process.stdout:
            line = json.loads(text)
            if "answer" in line:
                self._answers.put(line)
            elif line["change"] == "synced":
                self.synced = True
            else:
                change = line.pop("change")
                key = (line["kind"], line.get("namespace", ""), line["name"])
                self.changes.append((change, *key))
                if change == "upsert":
                    self.state[key] = line
                else:
                    self.state.pop(key, None)

    def send(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def answer(self, timeout=60):
        return self._answers.get(timeout=timeout)

    def ask(self, command):
        self.send(command)
        return self.answer()

    def metrics(self, kind):
        return self.ask("metrics")[kind]

    def objects(self):
        return {(one["kind"], one.get("namespace", ""), one["name"]): one for one in self.ask("objects")["objects"]}

    def request(self, method, target, content_type="-", body=None):
        text = json.dumps(body) if body is not None else ""
        return self.ask(f"request {method} {target} {content_type} {text}")

    def wait(self, probe, what, timeout=30):
        def probe_alive():
            value = probe()
            if not value and self.process.poll() is not None:
                raise RuntimeError(f"kube_watch ended with {self.process.returncode}")
            return value
        try:
            return wait_for(probe_alive, timeout, what)
        except (TimeoutError, RuntimeError) as error:
            raise type(error)(f"{error}; its log:\n{self.log()}") from None

    def wait_synced(self):
        self.wait(lambda: self.synced, "first list")
        return self

    def wait_change(self, *change):
        self.wait(lambda: change in self.changes, f"change {change}")

    def wait_restart(self, reason, kind="Pod", timeout=30):
        self.wait(lambda: self.metrics(kind)["restarts"].get(reason), f"restart {reason}", timeout)

    def log(self):
        with open(self.log_path) as text:
            return text.read()[-2000:]

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def connections(self):
        done = subprocess.run(["ss", "-tnpH", "state", "established"], capture_output=True, text=True, check=True)
        return sum(1 for line in done.stdout.splitlines() if f"pid={self.process.pid}," in line)

    def close(self):
        """It ends with its input, and in peace."""
        self.process.stdin.close()
        try:
            code = self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        if code != 0:
            raise RuntimeError(f"kube_watch ended with {code}; its log:\n{self.log()}")
