#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Two nodes, real containers, the network of Sluice: what it does, shown on traffic.

    run               the whole demonstration; ends clean. KEEP=1 leaves the nodes up to play with
    run shell NODE    a shell in a node that was kept (n1, n2, outside, fabric)
    run clean         removes what was kept

Needs root, containerd, runc, busybox-static and the built binaries (SLUICE_BIN, else build/*/bin).
"""
import os
import signal
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "nodes"))
import frames  # noqa: E402
import nodes  # noqa: E402
import objects  # noqa: E402
from containers import Containerd, make_tools_image  # noqa: E402
from machine import wait_for  # noqa: E402
from node import bin_dir  # noqa: E402
from traffic import PingStream, TcpEcho, TcpStream, UdpEcho, UdpStream  # noqa: E402

MARK = "demo"  # a file in the lab's folder: this lab is the demonstration's
PODS = {"web1": "n1", "client": "n1", "web2": "n2"}
colour = sys.stdout.isatty()


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if colour else text


def say(text=""):
    print(text, flush=True)


class Demo:
    def __init__(self):
        self.began, self.number, self.failed = time.monotonic(), 0, []
        self.keep = os.environ.get("KEEP", "") not in ("", "0")

    # --- telling ---

    def step(self, title):
        self.number += 1
        say(f"\n{paint('1', f'{self.number}. {title}')}  {paint('2', f'[{time.monotonic() - self.began:.1f} s]')}")

    def check(self, text, ok, detail=""):
        mark = paint("32", "✓") if ok else paint("31", "✗")
        say(f"   {mark} {text}" + (f"  {detail}" if detail else ""))
        if not ok:
            self.failed.append(text)

    def show(self, node, *words):
        say("   " + paint("36", f"{node.name}$ sluice {' '.join(words)}"))
        done = node.cli(*words, check=False)
        for line in (done.stdout + done.stderr).rstrip().splitlines():
            say("     " + line)
        return done

    # --- parts ---

    def build(self):
        self.step("Two nodes on one machine: namespaces, a link between them, a host outside")
        self.lab = nodes.Lab("aa", tied=not self.keep)
        with open(os.path.join(self.lab.dir, MARK), "w"):
            pass
        self.n1, self.n2 = self.lab.nodes
        self.outside = self.lab.outside
        for machine in (self.n1, self.n2, self.outside):
            say(f"     {machine.name:8} {machine.ipv4:15} {machine.ipv6:18} "
                + (f"pods {' '.join(machine.pod_cidrs)}" if machine in self.lab.nodes else "knows no pod range"))
        self.lab.write_manifest("nodes.yaml", *[node.manifest() for node in self.lab.nodes])
        self.lab.write_manifest("pods.yaml", objects.namespace("demo"),
                                *[objects.pod(name, node=node, labels={"app": name}) for name, node in PODS.items()])
        say(f"     manifests (Node, Namespace, Pod) for both: {self.lab.manifests}")
        self.engines = {node.name: Containerd(node) for node in self.lab.nodes}

    def start_agents(self, routing):
        for node in self.lab.nodes:
            node.start_agent({"routing": routing}, wait=False)
        for node in self.lab.nodes:
            node.wait_ready()
            rss = node.agent_rss() / 1048576
            say(f"     {node.name}: sluice-agent ready, routing {node.status()['routing']}, {rss:.0f} MiB resident")

    def start_containers(self):
        self.step("Containers by containerd: ctr run --cni, image made from files")
        image = make_tools_image(self.lab.dir)
        for engine in self.engines.values():
            engine.load(image)
        self.pods = {}
        for name, node in PODS.items():
            began = time.monotonic()
            pod = self.pods[name] = self.engines[node].run(name)
            say(f"     {node}: {name:7} {pod.ipv4 or '-':12} {pod.ipv6 or '-':20} {time.monotonic() - began:.2f} s")
        self.check("every container has IPv4 and IPv6", all(p.ipv4 and p.ipv6 for p in self.pods.values()))
        # What kubelet would report: from it each node learns the names of the other's pods.
        self.lab.write_manifest("pods.yaml", objects.namespace("demo"),
                                *[objects.pod(name, node=PODS[name], labels={"app": name}, addresses=[p.ipv4, p.ipv6])
                                  for name, p in self.pods.items()])
        # The same page on the outside host, served from its own network namespace.
        www = os.path.join(self.lab.dir, "www", "cgi-bin")
        os.makedirs(www)
        os.link(os.path.join(self.lab.dir, "whoami"), os.path.join(www, "whoami"))
        self.outside.daemon(["busybox", "httpd", "-f", "-p", "80", "-h", os.path.dirname(www)],
                            os.path.join(self.lab.dir, "outside-httpd.log"))

    def visit(self, client, server, what, expect):
        """HTTP and ping of both families from inside the container; the page says whom the server saw."""
        for address, seen in ((server.ipv4, expect.ipv4), (server.ipv6, expect.ipv6)):
            host = f"[{address}]" if ":" in address else address
            # Not wget: the static one ends with a fault where there is no /etc/services.
            get = f"printf 'GET /cgi-bin/whoami HTTP/1.0\\r\\n\\r\\n' | nc -w 5 {address} 80 | tail -n 1"
            page = client.run("sh", "-c", get, check=False)
            got = page.stdout.strip().strip("[]").removeprefix("::ffff:")
            pinged = client.run("ping", "-c", "2", "-W", "2", "-i", "0.1", address, check=False)
            ok = got == seen and " 0% packet loss" in pinged.stdout
            detail = f"server saw {got or 'nobody'}" + ("" if ok else f", expected {seen}: {page.stderr.strip()}")
            self.check(f"{client.name} -> {what} {host}: HTTP and ping", ok, detail)

    def same_node(self):
        self.step("Same node: straight from one container into the other")
        self.visit(self.pods["client"], self.pods["web1"], "web1", self.pods["client"])

    def across(self, how):
        self.visit(self.pods["client"], self.pods["web2"], "web2", self.pods["client"])
        sent = self.overlay_packets()
        if how == "vxlan":
            self.check("packets went through the overlay device", sent > 0, f"{sent} packets on sluice_vxlan")
        else:
            self.check("no overlay device is in the way", sent == 0)

    def overlay_packets(self):
        done = self.n1.exec(["cat", "/sys/class/net/sluice_vxlan/statistics/tx_packets"], check=False)
        return int(done.stdout or 0)

    def to_outside(self):
        self.step("To the outside: it knows no pod, so it sees the node's address")
        self.visit(self.pods["client"], self.outside, "outside", self.n1)

    def streams(self):
        """Running traffic from web1 to web2 (native or overlay) and to the outside, both families."""
        made = []
        for end in (self.pods["web2"], self.outside):
            for address in (end.ipv4, end.ipv6):
                tcp, udp = TcpEcho(end, address), UdpEcho(end, address)
                made.append((tcp, TcpStream(self.pods["web1"], address, tcp.port).start()))
                made.append((udp, UdpStream(self.pods["web1"], address, udp.port).start()))
                made.append((None, PingStream(self.pods["web1"], address).start()))
        return made

    def finish(self, made, what):
        counts = {"TCP": [0, 0], "UDP": [0, 0], "ping": [0, 0]}
        for server, stream in made:
            kind = {TcpStream: "TCP", UdpStream: "UDP", PingStream: "ping"}[type(stream)]
            try:
                counts[kind][0] += stream.stop()
                counts[kind][1] += getattr(stream, "lost", 0)
            except AssertionError as error:
                self.check(f"{what}: {error}", False)
            if server:
                server.close()
        done = ", ".join(f"{kind} {count} answered, {lost} lost" for kind, (count, lost) in counts.items())
        self.check(what, all(count and not lost for count, lost in counts.values()), done)

    def become_vxlan(self):
        self.step("Across nodes by VXLAN: agents restart with routing: vxlan; pods and connections stay")
        pod = self.pods["web2"]
        with TcpEcho(pod, pod.ipv4) as server:
            stream = TcpStream(self.pods["web1"], pod.ipv4, server.port).start()
            for node in self.lab.nodes:
                node.kill_agent(signal.SIGTERM)
            self.start_agents("vxlan")
            before = stream.done
            wait_for(lambda: stream.failure or stream.done > before + 100, 20, "the open connection")
            self.check("a TCP connection opened before the change goes on", not stream.failure,
                       f"{stream.stop()} numbers, in order")
        self.across("vxlan")

    def kill_agents(self):
        self.step("SIGKILL for both agents in the middle of traffic, then a new start")
        made = self.streams()
        time.sleep(0.5)
        for node in self.lab.nodes:
            node.kill_agent(signal.SIGKILL)
        say("     both agents are dead; traffic goes on for a second")
        time.sleep(1)
        self.start_agents("vxlan")
        time.sleep(0.5)
        self.finish(made, "nothing was lost")

    def spoof(self):
        self.step("A container that lies about its address")
        liar, target = self.pods["web1"], self.pods["web2"]
        gateway = next(e["host_mac"] for e in self.n1.cli_json("endpoint", "list")["endpoints"]
                       if e["ipv4"] == liar.ipv4)
        with frames.packet_socket(liar) as sock:
            for _ in range(3):
                sock.send(bytes.fromhex(gateway.replace(":", "")) + frames.mac_of(liar) + b"\x08\x00"
                          + frames.udp("10.1.2.3", target.ipv4, 5000, 53))
        dropped = wait_for(lambda: sum(int(d["packets"]) for d in self.n1.cli_json("drops").get("drops", [])
                                       if d["reason"] == "SPOOFED_SOURCE"), 3, "the drops")
        self.check("3 packets with source 10.1.2.3 are dropped and counted", dropped == 3, f"{dropped} counted")
        self.show(self.n1, "drops")

    def look(self):
        self.step("What the node knows")
        self.check("sluice status says healthy", self.show(self.n1, "status").returncode == 0)
        self.show(self.n1, "endpoint", "list")
        out = self.show(self.n1, "observe", "--last", "12").stdout
        self.check("flows carry the pods' names", "demo/client" in out or "demo/web1" in out)
        for node in self.lab.nodes:
            hooks = [{k: int(v) if k != "hook" else v for k, v in h.items()} for h in node.status()["hooks"]]
            ok = all(h["seen"] == h["forwarded"] + h["redirected"] + h["dropped"] for h in hooks)
            self.check(f"{node.name}: packets seen = forwarded + redirected + dropped", ok,
                       f"{sum(h['seen'] for h in hooks)} seen")

    def run(self):
        say(f"Sluice, a demonstration. Binaries: {bin_dir()}")
        self.build()
        self.step("One agent per node, standalone: the folder of manifests is its cluster")
        self.start_agents("native")
        self.start_containers()
        self.same_node()
        self.step("Across nodes, native routing")
        self.across("native")
        self.to_outside()
        self.become_vxlan()
        self.kill_agents()
        self.spoof()
        self.look()

    def end(self):
        if self.keep and hasattr(self, "lab"):
            say(f"\nThe nodes stay (KEEP=1), in {self.lab.dir}:\n"
                "     make demo-shell NODE=n1     a shell in a node: sluice, ctr -n demo task ls, ip, tcpdump\n"
                "     make demo-clean             removes everything")
        elif hasattr(self, "lab"):
            self.lab.destroy()
        seconds = time.monotonic() - self.began
        if self.failed:
            say(paint("31", f"\n✗ {len(self.failed)} failed in {seconds:.1f} s: ") + "; ".join(self.failed))
            return 1
        say(paint("32", f"\n✓ everything worked, {seconds:.1f} s"))
        return 0


def kept():
    base = nodes.base_dir()
    return [os.path.join(base, name) for name in sorted(os.listdir(base))
            if name.startswith(nodes.PREFIX) and os.path.exists(os.path.join(base, name, MARK))]


def shell(name):
    labs = kept()
    if not labs:
        raise SystemExit("demo: no nodes are up; start them with: make demo KEEP=1")
    os.environ["PATH"] = f"{bin_dir()}:{os.environ['PATH']}"
    argv = nodes.enter_argv(nodes.machine_of(labs[-1], name), ["bash"])
    os.execvp(argv[0], argv)


def main():
    if os.geteuid() != 0:
        raise SystemExit("demo: makes network namespaces and loads eBPF: run as root")
    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    if verb == "shell":
        shell(sys.argv[2] if len(sys.argv) > 2 else "n1")
    if verb == "clean":
        for path in kept():
            nodes.remove_lab(path)
            say(f"removed {path}")
        return 0
    if verb:
        raise SystemExit(__doc__)
    nodes.clean()  # leftovers of runs that were killed
    demo = Demo()
    try:
        demo.run()
    except KeyboardInterrupt:
        demo.failed.append("interrupted")
    except Exception as error:  # told as a failure, and the nodes are removed all the same
        demo.check(f"{type(error).__name__}: {error}", False)
        for node in getattr(getattr(demo, "lab", None), "nodes", []):
            say(f"--- {node.name}: the end of the agent's log\n{node.log_tail(15)}")
    return demo.end()


if __name__ == "__main__":
    sys.exit(main())
