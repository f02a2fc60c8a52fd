"""A forward proxy as companies have them: it takes absolute addresses, and makes tunnels for HTTPS."""

from __future__ import annotations

import contextlib
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import urlsplit

PASSWORD = "hunter2"


class ForwardProxy:
    """asked: the first line of each request that it let pass; it lets pass who says who he is."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"http://me:{PASSWORD}@{self.address}"
        self.asked: list[str] = []
        self._open: list[socket.socket] = [self._listener]

    def accept(self) -> None:
        """Serves until it is closed."""
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(near)
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def close(self) -> None:
        """Ends all ways through it."""
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _serve(self, near: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = near.recv(65536)
            if not piece:
                return
            head += piece
        line, _, rest = head.partition(b"\r\n")
        known = b"basic " + b64encode(f"me:{PASSWORD}".encode()).lower()
        if known not in head.lower():
            near.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            near.close()
            return
        self.asked.append(line.decode())
        method, target, version = line.split(b" ")
        tunnel = method == b"CONNECT"
        parts = urlsplit(b"//" + target if tunnel else target)
        assert parts.hostname
        far = socket.create_connection((parts.hostname.decode(), parts.port))
        self._open.append(far)
        if tunnel:
            near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            path = parts.path + (b"?" + parts.query if parts.query else b"")
            far.sendall(b"%s %s %s\r\n%s" % (method, path, version, rest))
        threading.Thread(target=_pipe, args=(near, far), daemon=True).start()
        _pipe(far, near)


def _pipe(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def forward_proxy() -> Iterator[ForwardProxy]:
    """One that runs."""
    proxy = ForwardProxy()
    thread = threading.Thread(target=proxy.accept, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join(5.0)
