"""What clients are shown, as a value. Pure; whoever has to know only what it is loads nothing with it."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Material:
    """Checked, and in PEM. expires: Unix time, of the certificate in the chain that ends first. ca: who vouches for the
    other instances; None: whom this machine trusts."""

    cert: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None
    ca: bytes | None
    expires: float
    names: tuple[str, ...]

    def describe(self) -> str:
        """For whom it is, and until when."""
        until = datetime.datetime.fromtimestamp(self.expires, datetime.UTC)
        return f"{', '.join(self.names) or 'no name at all'}, until {until:%Y-%m-%d %H:%M} UTC"
