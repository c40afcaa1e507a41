# SPDX-License-Identifier: Apache-2.0
"""What stands between the client and the API server and breaks things: bytes (TLS passes through) or answers."""
import contextlib
import http.server
import select
import socket
import socketserver
import ssl
import struct
import threading
import time


def reset(connection):
    """Closes with an RST, as a host that lost its state would."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        connection.close()


class TcpProxy:
    """Forwards bytes. mode: pass; swallow (connections stay, not a byte moves: a peer that is gone without a word)."""

    def __init__(self, port):
        self.target, self.mode, self.delay = port, "pass", 0.0
        self.accepted, self.budget = 0, None
        self._pairs = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            try:
                server = socket.create_connection(("127.0.0.1", self.target), timeout=5)
                server.settimeout(None)
            except OSError:
                reset(client)
                continue
            self._pairs.append((client, server))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink, sink is client), daemon=True).start()

    def _pump(self, source, sink, is_answer):
        while True:
            try:
                # Never blocked in a read: a socket that another thread reads is not closed by close().
                if not select.select([source], [], [], 0.05)[0]:
                    continue
                data = source.recv(65536)
                if self.mode == "swallow" and data:
                    continue
                if is_answer and self.delay:
                    time.sleep(self.delay)
                if is_answer and self.budget is not None:
                    data, self.budget = data[:self.budget], self.budget - len(data)
                    if self.budget <= 0:
                        sink.sendall(data)
                        self.budget = None
                        reset(sink)
                        reset(source)
                        return
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(data)
            except (OSError, ValueError):
                reset(sink)
                reset(source)
                return

    def cut(self):
        """Every connection of now is reset."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                reset(end)

    def cut_after(self, answer_bytes):
        """The connections are reset once so many more bytes of answers have passed."""
        self.budget = answer_bytes

    def close(self):
        self._listener.close()
        self.cut()


class HttpProxy:
    """Ends TLS and speaks HTTP/1.1. rule(method, path) gives (status, headers, body) in place of the server's answer,
    or None; "drop" does the request and then resets the connection, so that the client never sees the answer."""

    def __init__(self, plane, rule, certificate):
        self.rule, self.seen = rule, []
        handler = type("Handler", (_Handler,), {"proxy": self, "plane": plane})
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler, bind_and_activate=False)
        self._server.daemon_threads = self._server.allow_reuse_address = True
        self._server.server_bind()
        self._server.server_activate()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(plane.ca.path(certificate, "crt"), plane.ca.path(certificate, "key"))
        context.set_alpn_protocols(["http/1.1"])
        # The handshake belongs to the connection's thread, not to the one that accepts.
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.socket.getsockname()[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    def count(self, method, part):
        return sum(1 for one, path in self.seen if one == method and part in path)

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy = plane = None

    def log_message(self, *_):
        pass

    def _serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.proxy.seen.append((self.command, self.path))
        made = self.proxy.rule(self.command, self.path)
        if made and made != "drop":
            status, headers, text = made
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
            return
        upstream = self.plane.connect(timeout=None)
        with contextlib.closing(upstream), contextlib.suppress(OSError):
            headers = {name: self.headers[name] for name in ("Accept", "Content-Type") if self.headers[name]}
            upstream.request(self.command, self.path, body or None, headers)
            answer = upstream.getresponse()
            if made == "drop":
                answer.read()
                reset(self.connection)
                self.close_connection = True
                return
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.getheader("Content-Type", ""))
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while data := answer.read1(65536):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve
