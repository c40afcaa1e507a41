# SPDX-License-Identifier: Apache-2.0
"""Kubernetes objects for the manifest folder, as plain values."""


def namespace(name, labels=None):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels or {}}}


def pod(name, namespace="demo", node=None, labels=None, uid=None, addresses=()):
    thing = {"apiVersion": "v1", "kind": "Pod",
             "metadata": {"namespace": namespace, "name": name, "labels": labels or {}},
             "spec": {"nodeName": node} if node else {}}
    if uid:
        thing["metadata"]["uid"] = uid
    if addresses:
        thing["status"] = {"podIPs": [{"ip": address} for address in addresses]}
    return thing
