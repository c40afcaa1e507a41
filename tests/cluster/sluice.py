# SPDX-License-Identifier: Apache-2.0
"""Sluice on the nodes of a cluster before there is an operator: standalone agents over objects copied from the API."""
import json
import os
import threading

from kubernetes import watch

KINDS = {"nodes": "Node", "namespaces": "Namespace", "pods": "Pod"}


class Exporter:
    """Keeps the lab's manifest folder like the API server's nodes, namespaces and pods, one file a kind."""

    def __init__(self, cluster):
        self.cluster, self.ending = cluster, threading.Event()
        self.threads = [threading.Thread(target=self._follow, args=(kind,), daemon=True) for kind in KINDS]

    def start(self):
        export_once(self.cluster)
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(5)

    def _follow(self, kind):
        while not self.ending.is_set():
            try:
                for _ in watch.Watch().stream(list_call(self.cluster, kind), timeout_seconds=2):
                    if self.ending.is_set():
                        return
                    export_kind(self.cluster, kind)
            except Exception as error:  # of any layer below: the API server may be away for a while
                if not self.ending.wait(0.5):
                    print(f"exporter of {kind}: {error}", flush=True)


def list_call(cluster, kind):
    core = cluster.api.core
    return {"nodes": core.list_node, "namespaces": core.list_namespace, "pods": core.list_pod_for_all_namespaces}[kind]


def trimmed(kind, item):
    """What the agent reads of it: the rest changes with every heartbeat, and each change of a file is work for it."""
    meta, spec, status = item["metadata"], item.get("spec", {}), item.get("status", {})
    pick = lambda source, *names: {name: source[name] for name in names if name in source}
    return {"apiVersion": "v1", "kind": kind,
            "metadata": pick(meta, "name", "namespace", "uid", "labels", "ownerReferences"),
            "spec": pick(spec, "nodeName", "hostNetwork", "podCIDR", "podCIDRs"),
            "status": pick(status, "addresses", "podIP", "podIPs", "phase")}


def export_kind(cluster, kind):
    items = [trimmed(KINDS[kind], item) for item in cluster.api.get(f"/api/v1/{kind}")["items"]]
    path = os.path.join(cluster.lab.manifests, f"{kind}.yaml")
    text = "\n---\n".join(json.dumps(item, indent=1) for item in items) + "\n"
    if not os.path.exists(path) or read_text(path) != text:
        cluster.lab.write_text(f"{kind}.yaml", text)


def read_text(path):
    with open(path) as text:
        return text.read()


def export_once(cluster):
    for kind in KINDS:
        export_kind(cluster, kind)


def start(cluster):
    """An agent on every node that has none. A node is ready once its agent has installed the CNI configuration."""
    started = [node.node for node in cluster.nodes if node.node.agent is None or node.node.agent.poll() is not None]
    for node in started:
        node.agent = None
        node.start_agent(wait=False)
    for node in started:
        node.wait_ready()
