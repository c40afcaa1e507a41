# SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes cluster on one machine: control plane, nodes with kubelet and containerd, clients.

Nothing of it is in the machine's own network or process namespace, so several run side by side, and when the process
that made it dies, however it dies, the kernel takes all processes, devices and mounts away with it (tests/nodes).
"""
import concurrent.futures
import contextlib
import json
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "nodes")]
import bridge  # noqa: E402
import build  # noqa: E402
import images  # noqa: E402
import workloads  # noqa: E402
from api import Api  # noqa: E402
from control_plane import ControlPlane  # noqa: E402
from families import Families  # noqa: E402
from kube_node import KubeNode  # noqa: E402
from machine import wait_for  # noqa: E402
from nodes import Lab, clean  # noqa: E402

MARK = "cluster.json"  # in the lab's folder: this lab is a cluster, and what a shell needs to know of it
IMAGES = (images.PAUSE, images.AGNHOST)


def condition(thing, kind):
    found = [c for c in thing.get("status", {}).get("conditions", []) if c["type"] == kind]
    return found[0] if found else {"status": "Unknown", "reason": "", "message": "no such condition yet"}


def is_ready(thing):
    return condition(thing, "Ready")["status"] == "True"


class Cluster:
    """kube_proxy: None (the pods reach no service unless Sluice serves it), or one of kube_node.PROXY_MODES."""

    def __init__(self, tied=True, kube_proxy=None, taints=(), image_names=IMAGES):
        self.tied, self.kube_proxy, self.taints, self.image_names = tied, kube_proxy, taints, image_names
        self.nodes, self.archives, self.lab = [], [], None
        self.network = None  # a function of this cluster that installs one; run again when nodes change

    # --- up and down ---

    def up(self, nodes=2, families="dual", subnets=None):
        """subnets: one letter a node, "ab" puts two nodes on different subnets. Returns with every node registered."""
        subnets = subnets or "a" * nodes
        self.families = Families(families)
        build.build_all()
        self.archives = [images.archive_of(name) for name in self.image_names]
        clean()  # whatever an interrupted run left
        self.lab = Lab(subnets, tied=self.tied)
        self._write_mark()
        try:
            self._start()
        except BaseException:
            self._tell_of_failed_start()
            self.down()
            raise
        return self

    def _start(self):
        self.plane = ControlPlane(self.lab, self.families)
        self.nodes = [self._kube_node(node) for node in self.lab.nodes]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            prepared = [pool.submit(node.prepare, self.archives) for node in self.nodes]
            self.plane.up()
            self.api = Api(self.plane)
            for future in prepared:
                future.result()
        for node in self.nodes:
            node.join()
        self.wait_registered()
        if self.kube_proxy:
            self._let_proxies_read()

    def _tell_of_failed_start(self):
        import collect
        print("kept:", collect.collect(self, "up"), file=sys.stderr)

    def down(self):
        if self.lab:
            self.lab.destroy()
        self.nodes, self.lab = [], None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.down()

    def _write_mark(self):
        with open(os.path.join(self.lab.dir, MARK), "w") as out:
            json.dump({"families": self.families.name, "kubeconfig": f"{self.lab.dir}/control-plane/admin.conf"}, out)

    def _kube_node(self, node):
        made = KubeNode(self.plane, node, self.taints)
        made.proxy_mode = self.kube_proxy
        return made

    def _let_proxies_read(self):
        """What a kube-proxy on a node may do in the API (its own role binding is part of no default)."""
        self.apply({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
                    "metadata": {"name": "test-kube-proxy"},
                    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                                "name": "system:node-proxier"},
                    "subjects": [{"kind": "User", "name": "system:kube-proxy"}]})

    def start_proxies(self, mode):
        """On the nodes of now and of later; for a cluster that was made without."""
        self.kube_proxy = mode
        self._let_proxies_read()
        for node in self.nodes:
            node.start_proxy(mode)

    # --- nodes ---

    def node(self, name):
        return next(node for node in self.nodes if node.name == name)

    def node_object(self, name):
        return next(n for n in self.node_objects() if n["metadata"]["name"] == name)

    def node_pids(self, name):
        return pids_of(self.node(name).node)

    def control_pids(self):
        return pids_of(self.plane.machine)

    def node_objects(self):
        return self.api.get("/api/v1/nodes")["items"]

    def pod_cidrs(self, name):
        return self.node_object(name)["spec"]["podCIDRs"]

    def wait_registered(self, timeout=60):
        """Every node has registered and the controller gave it its pod ranges."""
        def lacking():
            for node in self.nodes:
                node.check_alive()
            have = {n["metadata"]["name"] for n in self.node_objects() if n["spec"].get("podCIDRs")}
            return [node.name for node in self.nodes if node.name not in have]
        wait_for(lambda: not lacking(), timeout, f"registered nodes (logs: {self.lab.dir}/*-logs)", every=0.1)

    def wait_nodes(self, ready=True, names=None, timeout=90):
        """Waits until the named nodes, or all, are ready (or are not)."""
        wanted = names or [node.name for node in self.nodes]

        def reached():
            objects = {n["metadata"]["name"]: n for n in self.node_objects()}
            return all(name in objects and is_ready(objects[name]) == ready for name in wanted)
        try:
            wait_for(reached, timeout, f"nodes {'ready' if ready else 'not ready'}", every=0.2)
        except TimeoutError as error:
            told = {n["metadata"]["name"]: condition(n, "Ready")["message"] for n in self.node_objects()}
            raise TimeoutError(f"{error}; conditions: {told}") from None

    def add_node(self, subnet=0, name=None, host=None):
        node = self._kube_node(self.lab.add_node(subnet, name, host))
        self.nodes.append(node)
        node.prepare(self.archives)
        node.join()
        self.wait_registered()
        self._install_network()
        return node

    def remove_node(self, name):
        """The machine goes away and the operator of the cluster deletes its object."""
        node = self.node(name)
        node.power_off()
        self.lab.remove(node.node)
        self.nodes.remove(node)
        self.kubectl("delete", "node", name, "--wait=false")
        self._install_network()

    def reboot_node(self, name):
        """Returns when the node's kubelet reports again from the new boot; its pods may still be starting."""
        before = time.time()
        self.node(name).reboot()
        self._install_network()

        def reported():
            beat = condition(self.node_object(name), "Ready").get("lastHeartbeatTime", "")
            return is_ready(self.node_object(name)) and parse_time(beat) > before
        wait_for(reported, 90, f"{name} ready after its reboot", every=0.2)

    def readdress_node(self, name, host):
        node = self.node(name)
        node.readdress(host)

        def reported():
            return self.node_addresses(name) == node.addresses()
        wait_for(reported, 60, f"{name} with its new addresses", every=0.2)
        self._install_network()

    def node_addresses(self, name):
        return [a["address"] for a in self.node_object(name)["status"]["addresses"] if a["type"] == "InternalIP"]

    # --- network ---

    def use_network(self, install):
        """install: a function of the cluster, such as bridge.install."""
        self.network = install
        install(self)

    def _install_network(self):
        if self.network:
            self.network(self)

    def use_bridge(self):
        self.use_network(bridge.install)
        self.wait_nodes()

    # --- objects ---

    def kubectl(self, *words, **options):
        return self.plane.kubectl(*words, **options)

    def apply(self, *objects, namespace="default"):
        everything = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        return self.kubectl("apply", "--server-side", "-n", namespace, "-f", "-", input=json.dumps(everything))

    def delete(self, *objects, namespace="default"):
        everything = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        return self.kubectl("delete", "--now", "-n", namespace, "-f", "-", input=json.dumps(everything))

    def pod(self, name, namespace="default"):
        return self.api.get(f"/api/v1/namespaces/{namespace}/pods/{name}")

    def pods(self, selector="", namespace="default"):
        return self.api.get(f"/api/v1/namespaces/{namespace}/pods", labelSelector=selector)["items"]

    def run_pods(self, *pods, namespace="default", timeout=60):
        """Creates them and waits until all are ready. Returns their addresses by name."""
        self.wait_service_account(namespace)
        self.apply(*pods, namespace=namespace)
        return {name: self.addresses_of(name, namespace)
                for name in self.wait_pods([pod["metadata"]["name"] for pod in pods], namespace, timeout)}

    def wait_service_account(self, namespace):
        """A pod is refused until the controllers gave its namespace an account."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        wait_for(lambda: any(a["metadata"]["name"] == "default" for a in self.api.get(path)["items"]), 30,
                 f"service account of namespace {namespace}", every=0.1)

    def wait_pods(self, names, namespace="default", timeout=60):
        def unready():
            have = {pod["metadata"]["name"]: pod for pod in self.pods(namespace=namespace)}
            return [name for name in names if name not in have or not is_ready(have[name])]
        try:
            wait_for(lambda: not unready(), timeout, "ready pods", every=0.1)
        except TimeoutError as error:
            events = self.kubectl("get", "events", "-n", namespace, check=False).stdout
            raise TimeoutError(f"{error}; not ready: {unready()}\n{events}") from None
        return names

    def addresses_of(self, name, namespace="default"):
        return [entry["ip"] for entry in self.pod(name, namespace)["status"].get("podIPs", [])]

    def restarts_of(self, name, namespace="default"):
        return sum(c["restartCount"] for c in self.pod(name, namespace)["status"].get("containerStatuses", []))

    def exec(self, pod, *command, namespace="default", check=True, timeout=60):
        return self.kubectl("exec", "-n", namespace, pod, "--", *command, check=check, timeout=timeout)

    @staticmethod
    def hubble_argv(*words):
        return [os.path.join(build.BIN, "hubble"), *words]

    def load_image(self, archive):
        """Into every node, also those that come later."""
        self.archives.append(archive)
        for node in self.nodes:
            node.load_image(archive)

    def install_coredns(self, replicas=2):
        """Its pods need a way to the API server's service: kube-proxy, or Sluice."""
        self.load_image(images.archive_of(images.COREDNS))
        self.apply(*workloads.coredns(self.families.service_addresses(10),
                                      self.families.addresses_of(self.lab.outside)[0], replicas),
                   namespace="kube-system")
        self.kubectl("rollout", "status", "-n", "kube-system", "deployment/coredns", "--timeout=60s", timeout=70)


def pids_of(machine):
    """Every process of a machine, containers too, by the host's own numbers."""
    def spaces(pid):
        return os.readlink(f"/proc/{pid}/ns/mnt"), os.readlink(f"/proc/{pid}/ns/pid")
    mount, numbers = spaces(machine.pid)
    found, parents = [], {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            parents[pid] = spaces(pid)
    for pid, (own_mount, own_numbers) in parents.items():
        if own_mount == mount or own_numbers == numbers:
            found.append(int(pid))
    return found


def parse_time(text):
    """Kubernetes' time of whole seconds, rounded up: never earlier than the moment it tells."""
    import calendar
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")) + 1 if text else 0.0
