"""How the service is reached: addresses, token, certificates, proxies. What both shells share of HTTP."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from config_client.certificates import Certificates, said
from config_client.core.calls import Attempt, Failure
from config_client.core.requests import Answer
from config_client.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the service is, and how it is reached.

    urls: of its instances, or of what stands before them. token, or token_file. ca_file: certificates to trust instead
    of the system's. cert_file: the certificate to show, with those between it and its authority; key_file: its key,
    without a passphrase, unless that is in cert_file, too. These files are looked at for each connection, so they may
    be renewed in place. ssl_context: anything beyond. proxy: an address; trust_env: whether HTTP_PROXY, HTTPS_PROXY,
    NO_PROXY count. Seconds: connect_within, for a connection; answer_within, for a part of an answer; silence, after
    which a stream counts as dead, more than two of the service's heartbeats of 10 s.

    Raises ConfigError, which says which one is wrong.
    """

    urls: Sequence[str]
    token: str = field(default="", repr=False)
    token_file: str | Path | None = None
    ca_file: str | Path | None = None
    cert_file: str | Path | None = None
    key_file: str | Path | None = None
    ssl_context: ssl.SSLContext | None = None
    proxy: str | None = field(default=None, repr=False)  # it may bear a password
    trust_env: bool = True
    connect_within: float = 3.0
    answer_within: float = 10.0
    silence: float = 25.0

    def __post_init__(self) -> None:
        urls = [self.urls] if isinstance(self.urls, str) else list(self.urls)
        object.__setattr__(self, "urls", tuple(dict.fromkeys(_checked(url) for url in urls)))
        if not urls:
            raise ConfigError("urls: at least one is expected, for example http://config.internal:8080, found none")
        if self.proxy is not None and not _is_address(self.proxy, ("http", "https", "socks5", "socks5h")):
            raise ConfigError("proxy: it is not an address, expected for example http://proxy.internal:3128")
        if self.token and self.token_file:
            raise ConfigError("token and token_file are both set; one is expected")
        if self.key_file and not self.cert_file:
            raise ConfigError("key_file is set, and cert_file is not; its certificate is expected")
        if self.cert_file and self.ssl_context is not None and not isinstance(self.ssl_context, Certificates):
            raise ConfigError("cert_file and ssl_context are both set; one is expected")

    def at(self, url: str) -> Connection:
        """Return the same, for one address alone."""
        return replace(self, urls=[url])

    def read_token(self) -> str:
        """Return the token as it is now; "" for none. Raises ConfigError where its file can't be read."""
        if self.token_file is None:
            return self.token
        try:
            token = Path(self.token_file).read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            raise ConfigError(f"token_file {self.token_file} can't be read: {said(error)}") from error
        if not token:
            raise ConfigError(f"token_file {self.token_file} is empty, or is being written")
        return token

    def http_options(self, *, read: float) -> dict[str, Any]:
        """Return what httpx's clients are made with."""
        timeout = httpx.Timeout(self.answer_within, connect=self.connect_within, read=read)
        return {
            "verify": self.secured().ssl_context,
            "proxy": self.proxy,
            "trust_env": self.trust_env,
            "timeout": timeout,
            "follow_redirects": False,
        }

    def secured(self) -> Connection:
        """Return the same with its certificates loaded, for all clients made of it. It takes a tenth of a second.

        Raises ConfigError where one of the files can't be used.
        """
        if self.ssl_context is not None:
            return self
        if self.ca_file or self.cert_file:
            files = (Path(file) if file else None for file in (self.ca_file, self.cert_file, self.key_file))
            return replace(self, ssl_context=Certificates(*files))
        try:
            made = httpx.create_ssl_context(trust_env=self.trust_env)
        except (OSError, ssl.SSLError) as error:  # SSL_CERT_FILE
            raise ConfigError(f"the certificates to trust can't be read: {said(error)}") from error
        return replace(self, ssl_context=made)


def _checked(url: str) -> str:
    if not _is_address(url, ("http", "https")) or urlsplit(url).username is not None:
        # It is not repeated: it could hold a password.
        raise ConfigError("urls: one is not an address, expected for example http://config.internal:8080")
    return url.rstrip("/")


def _is_address(url: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in schemes and parts.hostname and not parts.query and not parts.fragment
        return bool(fits) and parts.port != 0
    except ValueError:
        return False


def headers_of(attempt: Attempt) -> dict[str, str]:
    """Return the headers to send."""
    headers = {"user-agent": "config-service-client", **attempt.request.headers}
    return {**headers, "authorization": f"Bearer {attempt.token}"} if attempt.token else headers


def answer_of(response: httpx.Response) -> Answer:
    """Return an answer that has been read."""
    return Answer(response.status_code, lowered(response), response.content)


def lowered(response: httpx.Response) -> dict[str, str]:
    """Return the headers, names in lower case."""
    return {name.lower(): value for name, value in response.headers.items()}


def failure_of(error: httpx.HTTPError | httpx.InvalidURL) -> Failure:
    """Return what stands for an exception of httpx."""
    unsent = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)
    why = str(error) or type(error).__name__
    if isinstance(error, httpx.TimeoutException):
        why = f"no answer in time ({type(error).__name__})"
    return Failure(why, sent=not isinstance(error, unsent))
