"""Secrets that are planted to be looked for, and the search. Each begins with the same mark, in whatever form."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

MARK = "c4n4ry"


@dataclass(frozen=True, slots=True)
class Canary:
    """One secret. `name` says where it was planted."""

    name: str
    text: str

    def forms(self) -> dict[str, str]:
        """How it might get out: as it is, hashed, or encoded."""
        raw = self.text.encode()
        return {
            "as it is": self.text,
            "hashed": hashlib.sha256(raw).hexdigest(),
            "in base64": base64.b64encode(raw).decode().rstrip("="),
            "in hexadecimal": raw.hex(),
        }


def canary(name: str) -> Canary:
    """A secret of that name, good as a token and as a password."""
    return Canary(name, f"{MARK}-{name}-0123456789")


def escaped(canaries: Collection[Canary], outputs: Mapping[str, str]) -> list[str]:
    """Which canaries are where, in words; nothing if all is well."""
    return [
        f"{each.name}, {form}, in {place}: …{text[max(0, text.find(secret) - 200) :][:300]}…"
        for each in canaries
        for form, secret in each.forms().items()
        for place, text in outputs.items()
        if secret in text
    ]
