# SPDX-License-Identifier: Apache-2.0
"""Objects that tests create, as plain values: agnhost pods and services, CoreDNS."""
import images


def agnhost(name, *args, node=None, labels=None, **spec):
    """A pod that serves HTTP on 8080 (/hostname, /clientip, /dial) unless args say otherwise."""
    container = {"name": "main", "image": images.AGNHOST, "imagePullPolicy": "Never",
                 "args": list(args) or ["netexec", "--http-port=8080", "--udp-port=8081"]}
    container.update(spec.pop("container", {}))
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels or {"app": name}},
           "spec": {"containers": [container], "terminationGracePeriodSeconds": 0, **spec}}
    if node:
        pod["spec"]["nodeName"] = node
    return pod


def service(name, selector, port=80, target=8080, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": selector, "ipFamilyPolicy": "PreferDualStack",
                     "ports": [{"port": port, "targetPort": target}], **spec}}


COREFILE = """.:53 {
    errors
    health
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods verified
    }
    hosts {
        %s outside.test
        fallthrough
    }
    cache 5
}
"""


def coredns(service_addresses, outside, replicas=2):
    """outside: the address that the name outside.test has. The API server is found by its service."""
    meta = {"name": "coredns", "namespace": "kube-system"}
    role, label = "system:coredns", {"k8s-app": "kube-dns"}
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    container = {
        "name": "coredns", "image": images.COREDNS, "imagePullPolicy": "Never",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
        "ports": [{"name": port["name"], "containerPort": 53, "protocol": port["protocol"]} for port in ports],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1}}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": role}, "rules": [
            {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": role},
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
         "subjects": [{"kind": "ServiceAccount", **meta}]},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"Corefile": COREFILE % outside}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {**meta, "labels": label}, "spec": {
            "replicas": replicas, "selector": {"matchLabels": label}, "template": {
                "metadata": {"labels": label}, "spec": {
                    "serviceAccountName": "coredns", "dnsPolicy": "Default", "containers": [container],
                    "terminationGracePeriodSeconds": 1,
                    "volumes": [{"name": "config", "configMap": {"name": "coredns"}}]}}}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "kube-dns", "namespace": "kube-system",
                                                             "labels": {**label, "kubernetes.io/name": "CoreDNS"}},
         "spec": {"selector": label, "clusterIP": service_addresses[0], "clusterIPs": service_addresses,
                  "ipFamilyPolicy": "PreferDualStack", "ports": ports}},
    ]
