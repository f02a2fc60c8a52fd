"""What an endpoint shows to anybody who asks over HTTP: its certificate, its clock, its release, its size.

Trusts nobody and sends no secret: what it sees is for a report. Our client certificate is shown where one is demanded.
What does not show is None, and no error: whether the endpoint works is found out over gRPC.
"""

from __future__ import annotations

import contextlib
import datetime
import http.client
import re
import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from cryptography import x509

from consistency.etcd.config import EtcdConfig
from service.tls.files import written

LONGEST_ANSWER = 4 * 1024 * 1024
_VERSION = re.compile(rb'"etcdserver": ?"([^"]+)"')
_BYTES = re.compile(
    rb"^etcd_(server_quota_backend|mvcc_db_total_size_in|mvcc_db_total_size_in_use_in)_bytes (\S+)$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Glimpse:
    """certificate: the one shown, trusted or not. ahead: seconds by which its wall clock is ahead of ours.

    version: "" if it isn't shown. quota_bytes: what its file may grow to; db_bytes: its size; in_use_bytes: of these,
    what a defragmentation would leave. Sizes are shown with the metrics, which may be elsewhere.
    """

    certificate: x509.Certificate | None = None
    ahead: float | None = None
    version: str = ""
    quota_bytes: int | None = None
    db_bytes: int | None = None
    in_use_bytes: int | None = None


def glimpse(endpoint: str, config: EtcdConfig, timeout: float) -> Glimpse:
    """Looks at `http(s)://host:port`, one of `config`, for at most about `timeout` seconds. Never raises."""
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(
            host, parts.port, timeout=timeout / 2, context=_trusting_anybody(config)
        )
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=timeout / 2)
    with contextlib.closing(connection):
        return _look(connection, timeout / 2)


def _look(connection: http.client.HTTPConnection, within: float) -> Glimpse:
    certificate, deadline = None, time.monotonic() + within
    try:
        connection.connect()
        certificate = _shown(connection.sock)
        _, told = _get(connection, "/version", deadline)
        date, metrics = _get(connection, "/metrics", deadline)
        ahead = _ahead(date)
    except (OSError, http.client.HTTPException, ValueError):
        return Glimpse(certificate)
    version = _VERSION.search(told)
    sizes = {name: int(float(value)) for name, value in _BYTES.findall(metrics)}
    return Glimpse(
        certificate,
        ahead,
        version=version[1].decode(errors="replace") if version else "",
        quota_bytes=sizes.get(b"server_quota_backend"),
        db_bytes=sizes.get(b"mvcc_db_total_size_in"),
        in_use_bytes=sizes.get(b"mvcc_db_total_size_in_use_in"),
    )


def _get(connection: http.client.HTTPConnection, path: str, deadline: float) -> tuple[str, bytes]:
    """The answer's date and body, whatever its status is."""
    connection.request("GET", path)
    with connection.getresponse() as answer:
        return answer.headers.get("Date", ""), _read(answer, deadline)


def _trusting_anybody(config: EtcdConfig) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if config.cert and config.key:
        with contextlib.suppress(ssl.SSLError):  # gRPC tells what is wrong with them
            _present(context, config.cert, config.key)
    return context


def _present(context: ssl.SSLContext, cert: bytes, key: bytes) -> None:
    """OpenSSL wants files: they are there for this moment."""
    with written(cert, key) as (chain, secret):
        context.load_cert_chain(chain, secret, password="")  # or OpenSSL would ask the terminal for one


def _shown(sock: object) -> x509.Certificate | None:
    der = sock.getpeercert(binary_form=True) if isinstance(sock, ssl.SSLSocket) else None
    return x509.load_der_x509_certificate(der) if der else None


def _ahead(date: str) -> float:
    """Of whole seconds, so it is right to one second or so. Raises ValueError."""
    there = parsedate_to_datetime(date).replace(tzinfo=datetime.UTC)  # HTTP has no other times (RFC 9110, 5.6.7)
    return (there - datetime.datetime.now(datetime.UTC)).total_seconds() + 0.5


def _read(answer: http.client.HTTPResponse, deadline: float) -> bytes:
    body = b""
    while len(body) < LONGEST_ANSWER and time.monotonic() < deadline and (piece := answer.read1(65536)):
        body += piece
    return body
