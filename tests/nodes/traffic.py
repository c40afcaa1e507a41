# SPDX-License-Identifier: Apache-2.0
"""Real traffic between network namespaces: echo servers, numbered streams, pings. Sockets live in the test's process.

`ns` is anything with .socket() and .exec(): a node, a pod, `outside`. Addresses are text; the family follows from them.
"""
import contextlib
import json
import re
import select
import socket
import struct
import subprocess
import threading
import time

from netns import Netns


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Server:
    """A listening socket and the thread that serves it. `peers` are the source addresses that it saw."""

    def __init__(self, ns, address, kind, port=0):
        self.peers, self.address = [], address
        self._socket = ns.socket(family_of(address), kind)
        if kind == socket.SOCK_STREAM:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((address, port))
        if kind == socket.SOCK_STREAM:
            self._socket.listen(128)
        self.port = self._socket.getsockname()[1]
        self._wake_r, self._wake_w = socket.socketpair()
        self._threads = [threading.Thread(target=self._guarded, daemon=True)]
        self._threads[0].start()

    def _guarded(self):
        with contextlib.suppress(OSError):
            self._serve()

    def _readable(self, sock):
        ready, _, _ = select.select([sock, self._wake_r], [], [])
        return self._wake_r not in ready

    def close(self):
        self._wake_w.send(b"x")
        for thread in self._threads:
            thread.join(5)
        for sock in (self._socket, self._wake_r, self._wake_w):
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class TcpEcho(Server):
    def __init__(self, ns, address, port=0):
        super().__init__(ns, address, socket.SOCK_STREAM, port)

    def _serve(self):
        while self._readable(self._socket):
            connection, peer = self._socket.accept()
            self.peers.append(peer[:2])
            thread = threading.Thread(target=self._echo, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _echo(self, connection):
        with connection, contextlib.suppress(OSError):
            while self._readable(connection):
                data = connection.recv(65536)
                if not data:
                    return
                connection.sendall(data)


class UdpEcho(Server):
    def __init__(self, ns, address, port=0):
        super().__init__(ns, address, socket.SOCK_DGRAM, port)

    def _serve(self):
        while self._readable(self._socket):
            data, peer = self._socket.recvfrom(65536)
            self.peers.append(peer[:2])
            self._socket.sendto(data, peer)


def tcp_once(ns, address, port, data=b"hello", timeout=3, source=None):
    """One connection, one echo. Returns the local (address, port)."""
    with ns.socket(family_of(address), socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        if source:
            sock.bind(source)
        sock.connect((address, port))
        sock.sendall(data)
        got = b""
        while len(got) < len(data):
            part = sock.recv(65536)
            assert part, f"{ns} -> {address}:{port}: closed after {len(got)} of {len(data)} bytes"
            got += part
        assert got == data, f"{ns} -> {address}:{port}: other bytes came back"
        return sock.getsockname()[:2]


def udp_once(ns, address, port, data=b"hello", timeout=3, source=None):
    with ns.socket(family_of(address), socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout)
        if source:
            sock.bind(source)
        sock.connect((address, port))
        sock.send(data)
        assert sock.recv(65536) == data, f"{ns} -> {address}:{port}: other bytes came back"
        return sock.getsockname()[:2]


def ping(ns, address, count=3, size=None, options=(), timeout=2):
    """Returns (sent, received, text) of the system's ping."""
    argv = ["ping", "-n", "-c", str(count), "-i", "0.02", "-W", str(timeout), *options]
    if size is not None:
        argv += ["-s", str(size)]
    done = ns.exec(argv + [address], check=False, timeout=count + timeout + 10)
    found = re.search(r"(\d+) packets transmitted, (\d+) received", done.stdout)
    assert found, f"{ns}: ping {address}: {done.stdout}{done.stderr}"
    return int(found[1]), int(found[2]), done.stdout


class Background:
    """Traffic that runs until `stop()`, which returns its figures. The counters may be read meanwhile."""

    def __init__(self):
        self.failure = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._guarded, daemon=True)

    def start(self):
        self._thread.start()
        return self

    def _guarded(self):
        try:
            self._run()
        except Exception as error:  # told by stop(), in the test's own thread
            self.failure = error

    def stop(self):
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), f"{self}: does not end"
        if self.failure:
            raise AssertionError(f"{self}: {self.failure!r}")
        return self.done


class TcpStream(Background):
    """One connection to an echo server; each 8-byte number must come back in order, as fast as it goes."""

    def __init__(self, ns, address, port, connected=None):
        super().__init__()
        self.ns, self.target, self.done, self.stalls = ns, (address, port), 0, 0.0
        self._socket = ns.socket(family_of(address), socket.SOCK_STREAM)
        self._socket.settimeout(10)
        self._socket.connect(self.target)

    def _run(self):
        with self._socket as sock:
            while not self._stop.is_set():
                block = b"".join(struct.pack("!Q", self.done + i) for i in range(64))
                began = time.monotonic()
                sock.sendall(block)
                got = b""
                while len(got) < len(block):
                    part = sock.recv(65536)
                    assert part, f"connection closed after {self.done} numbers"
                    got += part
                assert got == block, f"number {self.done}: sequence broken"
                self.stalls = max(self.stalls, time.monotonic() - began)
                self.done += 64

    def __repr__(self):
        return f"TCP stream {self.ns} -> {self.target}"


class UdpStream(Background):
    """Numbered datagrams at a fixed pace; `lost` is what did not come back within a second of the end."""

    def __init__(self, ns, address, port, interval=0.002):
        super().__init__()
        self.ns, self.target, self.interval = ns, (address, port), interval
        self.sent, self.lost, self.done = 0, 0, 0
        self._socket = ns.socket(family_of(address), socket.SOCK_DGRAM)
        self._socket.connect(self.target)

    def _run(self):
        seen = set()
        with self._socket as sock:
            while not self._stop.is_set():
                sock.send(struct.pack("!Q", self.sent))
                self.sent += 1
                self._collect(seen, self.interval)
                self.done = len(seen)
            deadline = time.monotonic() + 1
            while len(seen) < self.sent and time.monotonic() < deadline:
                self._collect(seen, 0.05)
        self.done, self.lost = len(seen), self.sent - len(seen)

    def _collect(self, seen, wait):
        deadline = time.monotonic() + wait
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._socket], [], [], left)[0]:
                return
            seen.add(struct.unpack("!Q", self._socket.recv(64))[0])

    def __repr__(self):
        return f"UDP stream {self.ns} -> {self.target}"


class PingStream:
    """The system's ping at a fixed pace until stop(); stop() fails where an answer is missing."""

    def __init__(self, ns, address, interval=0.01):
        self.ns, self.address, self.lost, self.done = ns, address, 0, 0
        # Only the network namespace is entered: the signal of stop() must reach ping itself.
        argv = Netns.argv(ns, ["ping", "-n", "-i", str(interval), "-W", "2", address])
        self._process = subprocess.Popen(argv, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                         stderr=subprocess.STDOUT)

    def start(self):
        return self

    def stop(self):
        self._process.send_signal(2)
        text = self._process.communicate(timeout=20)[0]
        found = re.search(r"(\d+) packets transmitted, (\d+) received", text)
        assert found, f"ping {self.address}: {text[-400:]}"
        # The answer to the very last request may be under way when ping is told to stop.
        last = max([int(n) for n in re.findall(r"icmp_seq=(\d+)", text)], default=0)
        self.done, self.lost = int(found[2]), max(last, int(found[1]) - 1) - int(found[2])
        return self.done


def iperf3(server_ns, client_ns, address, seconds=2, options=()):
    """One TCP run. Returns bits per second at the receiver."""
    server = server_ns.popen(["iperf3", "-s", "-1", "-B", address], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 5
        while True:
            done = client_ns.exec(["iperf3", "-J", "-t", str(seconds), "-c", address, *options], check=False,
                                  timeout=seconds + 20)
            answer = json.loads(done.stdout)
            if "error" not in answer or time.monotonic() > deadline:
                break
        assert "error" not in answer, f"iperf3 {client_ns} -> {address}: {answer['error']}"
        return answer["end"]["sum_received"]["bits_per_second"]
    finally:
        server.kill()
        server.communicate()
