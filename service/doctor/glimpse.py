"""What an endpoint shows to anybody who asks over HTTP: its certificate, its clock, its quota.

Trusts nobody and sends no secret: what it sees is for a report. Our client certificate is shown where one is demanded.
What does not show is None, and no error: whether the endpoint works is found out over gRPC.
"""

from __future__ import annotations

import contextlib
import datetime
import http.client
import re
import ssl
import tempfile
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from consistency.etcd_config import EtcdConfig

LONGEST_ANSWER = 4 * 1024 * 1024
_QUOTA = re.compile(rb"^etcd_server_quota_backend_bytes (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Glimpse:
    """certificate: the one shown, trusted or not. ahead: seconds by which its wall clock is ahead of ours. quota_bytes:
    what its file may grow to."""

    certificate: x509.Certificate | None = None
    ahead: float | None = None
    quota_bytes: int | None = None


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
    certificate = None
    try:
        connection.connect()
        certificate = _shown(connection.sock)
        connection.request("GET", "/metrics")
        with connection.getresponse() as answer:
            ahead, body = _ahead(answer.headers.get("Date", "")), _read(answer, time.monotonic() + within)
    except (OSError, http.client.HTTPException, ValueError):
        return Glimpse(certificate)
    quota = _QUOTA.search(body)
    return Glimpse(certificate, ahead, int(float(quota[1])) if quota else None)


def _trusting_anybody(config: EtcdConfig) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if config.cert and config.key:
        with contextlib.suppress(ssl.SSLError):  # gRPC tells what is wrong with them
            _present(context, config.cert, config.key)
    return context


def _present(context: ssl.SSLContext, cert: bytes, key: bytes) -> None:
    """OpenSSL wants files: they are there for this moment, in a directory that nobody else may read."""
    with tempfile.TemporaryDirectory() as directory:
        files = Path(directory, "cert"), Path(directory, "key")
        for file, pem in zip(files, (cert, key), strict=True):
            file.write_bytes(pem)
        context.load_cert_chain(*files, password="")  # or OpenSSL would ask the terminal for one


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
