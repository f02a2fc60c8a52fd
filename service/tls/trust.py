"""How this instance asks the others over TLS: whom it trusts, under which name, and what it shows them itself."""

from __future__ import annotations

import ssl

from service.tls.files import written
from service.tls.renewal import Renewal
from service.tls.shown import Material


class Trust:
    """Whom one instance trusts. Belongs to one loop."""

    def __init__(self, ca: bytes | None = None, name: str | None = None, renewal: Renewal | None = None) -> None:
        """ca: who vouches for the others, in PEM; None: whom this machine trusts. name: for which their certificates
        are, if not for their addresses. renewal: of an instance that speaks HTTPS itself, whose authorities count."""
        self._ca = ca
        self._name = name
        self._renewal = renewal
        self._made_of: Material | None = None
        self._context: ssl.SSLContext | None = None

    @property
    def demands_https(self) -> bool:
        """Whether no token may be sent over plain HTTP: of an instance that speaks HTTPS, clients expect no less."""
        return self._renewal is not None

    def name_of(self, host: str) -> str:
        """The name that the certificate of who listens there has to be for."""
        return self._name or host

    def context(self) -> ssl.SSLContext:
        """For connections to the others. Loads files when it is asked for the first time, and after a renewal.

        Raises OSError (ssl.SSLError is one).
        """
        material = self._renewal.material if self._renewal else None
        if self._context is None or material is not self._made_of:
            self._context, self._made_of = _context(material, material.ca if material else self._ca), material
        return self._context


def _context(material: Material | None, ca: bytes | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ca.decode("ascii") if ca else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if material and material.client_ca:  # the others ask for one, too
        with written(material.cert, material.key) as (cert, key):
            context.load_cert_chain(cert, key)
    return context
