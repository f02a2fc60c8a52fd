"""Asks the instance on this machine whether it is alive: what the health check of a container does."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping

from service.process.listener import reached_at, url
from service.settings.model import Settings
from service.tls.files import written

WITHIN = 4.0
"""Seconds for the answer."""


def trouble(environ: Mapping[str, str]) -> str:
    """Return what is wrong with the instance that these settings are for; empty if it is alive.

    Asks `/healthz`, which needs no token and never asks etcd. Raises StartupError for settings that can't be used.
    """
    settings = Settings.load(environ)
    address = url(reached_at(settings.host), settings.port, "https" if settings.speaks_https else "http")
    try:
        handlers = [urllib.request.ProxyHandler({}), *_https(settings)]
        with urllib.request.build_opener(*handlers).open(f"{address}/healthz", timeout=WITHIN):
            return ""
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return f"{address}/healthz: {reason}"


def _https(settings: Settings) -> list[urllib.request.HTTPSHandler]:
    """The server there is this instance, whatever name its certificate has."""
    if settings.tls_cert is None or settings.tls_key is None:
        return []
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if settings.tls_client_ca is not None:
        with written(settings.tls_cert.read(), settings.tls_key.read()) as (cert, key):
            context.load_cert_chain(cert, key)
    return [urllib.request.HTTPSHandler(context=context)]
