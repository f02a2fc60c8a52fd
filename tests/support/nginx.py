"""nginx as Debian ships it, in front of one address: its own nginx.conf, but for where it writes and what it serves.

Owns the process and its files. With the least that its users write: `proxy_pass`, and the Host as it came.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.etcd import dying_with_us, wait_for
from tests.support.unavailable import unavailable
from tools.processes import listens

SHIPPED = Path("/etc/nginx/nginx.conf")
PROGRAM = "/usr/sbin/nginx"
STOP_WITHIN = 5.0

_SERVER = """
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_set_header Host $http_host;
        }}
    }}
"""


@contextlib.contextmanager
def nginx(directory: Path, port: int, upstream: int) -> Iterator[None]:
    """Listens on a port of the loopback, and passes all of it on to another."""
    program = shutil.which("nginx") or shutil.which(PROGRAM)
    if program is None or not SHIPPED.exists():
        unavailable("nginx is not installed: apt-get install nginx")
    directory.mkdir()
    file, log = directory / "nginx.conf", directory / "error.log"
    file.write_text(_configuration(directory, port, upstream), encoding="utf-8")
    command = dying_with_us([program, "-e", str(log), "-p", str(directory), "-c", str(file), "-g", "daemon off;"])
    with (directory / "printed").open("wb") as printed:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed)
    try:
        wait_for(lambda: _answers(port) and listens(process.pid, port), what="nginx listens")
        yield
    finally:
        process.terminate()
        process.wait(STOP_WITHIN)


def _configuration(directory: Path, port: int, upstream: int) -> str:
    text = SHIPPED.read_text(encoding="utf-8")
    text = re.sub(r"^user .*;$|^include .*/modules-enabled/.*;$|^\s*include .*/conf\.d/.*;$", "", text, flags=re.M)
    text = text.replace("/run/nginx.pid", f"{directory}/nginx.pid").replace("/var/log/nginx/", f"{directory}/")
    server = _SERVER.format(directory=directory, port=port, upstream=upstream)
    text, count = re.subn(r"^\s*include .*/sites-enabled/.*;$", lambda _: server, text, flags=re.M)
    assert count == 1, text
    return text


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
        return True
    return False
