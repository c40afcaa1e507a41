#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A test cluster for people. It stays until it is taken down.

    manage.py up [--nodes 2] [--families dual|ipv4|ipv6] [--subnets ab] [--network bridge|sluice|none]
              [--kube-proxy nftables|iptables] [--dns]
    manage.py shell [NODE]        a shell in a node, `outside`, or `control`, where kubectl and helm work (the default)
    manage.py kubectl WORD...     one command of it
    manage.py down                removes it, and whatever interrupted runs left behind
"""
import argparse
import contextlib
import json
import os
import sys

import build
import cluster
import kube_node
import node
import nodes
import sluice


def kept():
    """Folders of the clusters that stay, the newest last."""
    found = [os.path.join(nodes.base_dir(), name) for name in os.listdir(nodes.base_dir())
             if name.startswith(nodes.PREFIX)]
    found = [path for path in found if os.path.exists(os.path.join(path, cluster.MARK)) and is_kept(path)]
    return sorted(found, key=os.path.getmtime)


def is_kept(path):
    """Not one that a test of another process runs in right now."""
    with open(os.path.join(path, "lab.json")) as text:
        return json.load(text)["owner"] == 0


def the_kept():
    found = kept()
    if not found:
        raise SystemExit("cluster: none is up: make cluster-up")
    return found[-1]


def up(args):
    if kept():
        raise SystemExit(f"cluster: one is up already ({the_kept()}): make cluster-down")
    made = cluster.Cluster(tied=False, kube_proxy=args.kube_proxy)
    made.up(args.nodes, args.families, args.subnets)
    try:
        if args.network == "bridge":
            made.use_bridge()
        elif args.network == "sluice":
            sluice.export_once(made)
            made.use_network(sluice.start)
            made.wait_nodes()
        if args.dns:
            made.install_coredns()
        print(made.kubectl("get", "nodes", "-o", "wide").stdout)
        print(f"logs, certificates, manifests: {made.lab.dir}\n"
              "make cluster-shell            kubectl, helm, hubble as the cluster's admin\n"
              "make cluster-shell NODE=n1    a shell in a node\n"
              "make cluster-down             removes it")
    except BaseException:
        made.down()
        raise


def environment(folder):
    with open(os.path.join(folder, cluster.MARK)) as text:
        mark = json.load(text)
    places = [build.BIN, os.environ.get("PATH", os.defpath)]
    with contextlib.suppress(SystemExit):  # nothing of Sluice is built: a cluster with the bridge does not need it
        places.insert(0, node.bin_dir())
    return dict(os.environ, KUBECONFIG=mark["kubeconfig"], PATH=os.pathsep.join(places))


def enter(name, command):
    folder = the_kept()
    argv = nodes.enter_argv(nodes.machine_of(folder, name), command)
    os.execvpe(argv[0], argv, environment(folder))


def shell(args):
    print(f"cluster: in {args.node}; leave with exit", flush=True)
    enter(args.node, ["env", f"PS1={args.node}:\\w# ", "bash", "--norc"])


def down(_):
    removed = kept()
    for path in removed:
        nodes.remove_lab(path)
    for path in removed + nodes.clean():
        print("removed", path)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("up")
    verb.add_argument("--nodes", type=int, default=2)
    verb.add_argument("--families", choices=("dual", "ipv4", "ipv6"), default="dual")
    verb.add_argument("--subnets", help='one letter a node instead of --nodes: "ab" is two nodes on two subnets')
    verb.add_argument("--network", choices=("bridge", "sluice", "none"), default="bridge")
    verb.add_argument("--kube-proxy", choices=kube_node.PROXY_MODES)
    verb.add_argument("--dns", action="store_true", help="CoreDNS too; it needs --kube-proxy until Sluice has services")
    verb.set_defaults(run=up)
    verb = verbs.add_parser("shell")
    verb.add_argument("node", nargs="?", default="control")
    verb.set_defaults(run=shell)
    verb = verbs.add_parser("kubectl")
    verb.add_argument("words", nargs=argparse.REMAINDER)
    verb.set_defaults(run=lambda args: enter("control", ["kubectl", *args.words]))
    verbs.add_parser("down").set_defaults(run=down)
    return parser.parse_args()


def main():
    args = arguments()
    if os.geteuid() != 0:
        sys.exit("cluster: nodes are namespaces and cgroups: run as root")
    try:
        args.run(args)
    except build.BuildFailed as error:
        sys.exit(f"cluster: {error}")


if __name__ == "__main__":
    main()
