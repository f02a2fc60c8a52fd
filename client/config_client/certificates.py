"""What is trusted and shown over TLS, from files that may be renewed while the program runs."""

from __future__ import annotations

import logging
import ssl
import threading
from pathlib import Path
from typing import Any

from config_client.errors import ConfigError

log = logging.getLogger("config_client")

_Stamp = tuple[tuple[int, int, int], ...]


class Certificates(ssl.SSLContext):
    """A context for clients whose files are looked at for each new connection.

    A context that has been used is never changed, since another thread may be connecting with it: a changed file makes
    a new one. Files that can't be used change nothing; the log says why, and the next connection tries again.
    """

    def __new__(cls, ca: Path | None, cert: Path | None, key: Path | None) -> Certificates:
        """ca: who is trusted; None: whom this machine trusts. cert, key: what is shown; key None: it is in cert.

        Raises ConfigError, which names the file.
        """
        made = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        made._files = (ca, cert, key)
        made._lock = threading.Lock()  # protects what follows
        made._alpn = None
        made._stamp, made._current = made._read()
        made._problem = ""
        return made

    _files: tuple[Path | None, Path | None, Path | None]
    _lock: threading.Lock
    _alpn: list[str] | None
    _stamp: _Stamp
    _current: ssl.SSLContext
    _problem: str

    def __init__(self, *_: object) -> None:
        """All is done when it is made."""

    def set_alpn_protocols(self, alpn_protocols: Any) -> None:
        """As of the context that there is, and of those to come."""
        with self._lock:
            self._alpn = list(alpn_protocols)
            self._current.set_alpn_protocols(self._alpn)

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        """Wrap it by a context with the files as they are now."""
        return self._newest().wrap_socket(*args, **kwargs)

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """Wrap it by a context with the files as they are now."""
        return self._newest().wrap_bio(*args, **kwargs)

    def _newest(self) -> ssl.SSLContext:
        with self._lock:
            try:
                if _stamp(self._files) != self._stamp:
                    self._stamp, self._current = self._read()
                self._problem = ""
            except ConfigError as error:
                if str(error) != self._problem:
                    self._problem = str(error)
                    log.warning("connections go on with the certificates that were there before: %s", error)
            return self._current

    def _read(self) -> tuple[_Stamp, ssl.SSLContext]:
        """Return a new context, and what the files were stamped before they were read. Raises ConfigError."""
        ca, cert, key = self._files
        stamp = _stamp(self._files)
        try:
            context = ssl.create_default_context(cafile=None if ca is None else str(ca))
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"ca_file {ca} can't be read: {said(error)}") from error
        if self._alpn:
            context.set_alpn_protocols(self._alpn)
        if cert is not None:
            try:
                context.load_cert_chain(cert, key, password="")  # or OpenSSL would ask the terminal for one
            except (OSError, ssl.SSLError, ValueError) as error:
                pair = f"cert_file {cert}" if key is None else f"cert_file {cert} with key_file {key}"
                raise ConfigError(f"{pair} can't be used: {said(error)}") from error
        return stamp, context


def said(error: Exception) -> str:
    """Return what an error of the system or of OpenSSL says, in a few words."""
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    return reason or getattr(error, "strerror", None) or type(error).__name__


def _stamp(files: tuple[Path | None, ...]) -> _Stamp:
    """Return what tells a file from the one before it. Raises ConfigError."""
    found: list[tuple[int, int, int]] = []
    for name, file in zip(("ca_file", "cert_file", "key_file"), files, strict=True):
        if file is None:
            continue
        try:
            stat = file.stat()
        except OSError as error:
            raise ConfigError(f"{name} {file} can't be read: {said(error)}") from error
        found.append((stat.st_ino, stat.st_mtime_ns, stat.st_size))
    return tuple(found)
