# SPDX-License-Identifier: Apache-2.0
"""The runtime's side of CNI: runs plugin binaries in a node with the environment that a runtime gives them."""
import json
import subprocess

NETWORK = "sluice"


class CniError(AssertionError):
    """A plugin said no. code, msg, details: of its error on standard output."""

    def __init__(self, command, code, msg, details, raw):
        super().__init__(f"CNI {command}: code {code}: {msg} {details}\n{raw}")
        self.code, self.msg, self.details = code, msg, details


def run_plugin(node, command, conf, env, plugin="/opt/cni/bin/sluice-cni", timeout=20):
    """conf: an object, or text to send as it is. Returns (exit code, standard output, standard error)."""
    words = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "CNI_PATH=/opt/cni/bin:/usr/lib/cni",
             f"CNI_COMMAND={command}"] + [f"{key}={value}" for key, value in env.items() if value is not None]
    done = subprocess.run(node.argv(words + [plugin]), capture_output=True, text=True, timeout=timeout,
                          input=conf if isinstance(conf, str) else json.dumps(conf), check=False)
    return done.returncode, done.stdout, done.stderr


def call(node, command, conf, env, **options):
    """Returns the result object, None where the plugin printed none. Raises CniError where it failed."""
    code, out, err = run_plugin(node, command, conf, env, **options)
    if code == 0:
        return json.loads(out) if out.strip() else None
    try:
        error = json.loads(out)
    except ValueError:
        raise CniError(command, None, f"exit {code} and no JSON on standard output", "", out + err) from None
    raise CniError(command, error.get("code"), error.get("msg", ""), error.get("details", ""), out + err)


def plugin_conf(node, version="1.0.0", previous=None, **more):
    """The configuration of our plugin as the node's own conflist has it, or a plain one where there is none."""
    conf = {"type": "sluice-cni", "name": NETWORK}
    try:
        with open(node.fs + "/etc/cni/net.d/05-sluice.conflist") as text:
            conflist = json.load(text)
        conf = dict(conflist["plugins"][0], name=conflist["name"])
    except OSError:
        pass
    conf["cniVersion"] = version
    if previous is not None:
        conf["prevResult"] = previous
    conf.update(more)
    return conf


def pod_env(container, netns, ifname="eth0", pod=None):
    """pod: (namespace, name, uid or None), given the way kubelet's runtimes give it."""
    env = {"CNI_CONTAINERID": container, "CNI_NETNS": netns, "CNI_IFNAME": ifname}
    if pod:
        args = ["IgnoreUnknown=1", f"K8S_POD_NAMESPACE={pod[0]}", f"K8S_POD_NAME={pod[1]}",
                f"K8S_POD_INFRA_CONTAINER_ID={container}"]
        if pod[2]:
            args.append(f"K8S_POD_UID={pod[2]}")
        env["CNI_ARGS"] = ";".join(args)
    return env


class Pod:
    """A network namespace in a node that plays one pod. `result` is what ADD answered."""

    def __init__(self, node, name, namespace, netns, container):
        self.node, self.name, self.namespace = node, name, namespace
        self.netns, self.container, self.result = netns, container, None

    def addresses(self):
        return [ip["address"].split("/")[0] for ip in self.result["ips"]]

    @property
    def ipv4(self):
        return next((a for a in self.addresses() if ":" not in a), None)

    @property
    def ipv6(self):
        return next((a for a in self.addresses() if ":" in a), None)

    def env(self):
        return pod_env(self.container, self.netns, pod=(self.namespace, self.name, None))
