"""How an instance proves that an address is its own, before a client's token is sent there. Pure.

Addresses of members are in etcd, and anybody who may write there can put any address. But such a writer does not know
the fleet's tokens, or even their hashes: no etcd holds those. So:

1. The instance that is about to send a token asks first, with a fresh nonce, the token's name, the address it asks at,
   and a proof that it knows the token: HMAC(SHA-256(token), "ask", nonce, address).
2. The instance that is asked checks its own list, and whether the address is the one that it tells the fleet. If not,
   it proves nothing: it gives no proof to a program that passes on another's question, or to strangers, who could use
   it to guess offline.
3. It answers HMAC(SHA-256(token), "answer", nonce, address). Only then is the token sent, over the same connection.

Somebody who may write to etcd and knows a token's hash can have that token sent to himself. So keep lists of hashes
secret.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from typing import Self

from service.auth.keyring import Keyring
from service.auth.tokens import Token

PROOF = "/members/proof"
"""Where each instance proves its address."""

_NOBODY = secrets.token_bytes(32)
"""Stands in for an unknown token: the comparison then takes as long as for a known one."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """What is sent along: the header, and the token that it bears."""

    header: str
    token: Token


@dataclass(frozen=True, slots=True)
class Ask:
    """What `GET /members/proof` is asked. `token` is a name; `nonce` and `mac` are hexadecimal."""

    token: str
    nonce: str
    address: str
    mac: str


@dataclass(frozen=True, slots=True)
class Challenge:
    """One question, and what answers it. `Challenge.to` makes one."""

    ask: Ask
    expected: str

    @classmethod
    def to(cls, address: str, token: Token) -> Self:
        """To whoever listens at `address` ("host:port"), before `token` is sent there."""
        nonce = secrets.token_hex(16)
        return cls(
            Ask(token.name, nonce, address, _mac(token.digest, "ask", nonce, address)),
            _mac(token.digest, "answer", nonce, address),
        )

    def is_met_by(self, proof: object) -> bool:
        """Whether it proves that an instance listens there. `proof`: what was answered, whatever that is."""
        return isinstance(proof, str) and hmac.compare_digest(proof.encode(errors="replace"), self.expected.encode())


class Witness:
    """Answers for one instance. `address`: the one that it tells the fleet; without a keyring it proves nothing."""

    def __init__(self, keyring: Keyring | None, address: str) -> None:
        self._keyring = keyring
        self._address = address

    def prove(self, ask: Ask) -> str | None:
        """The proof; None to who has not proven that it knows the token, or asks at another address."""
        token = self._keyring.bearers.named(ask.token) if self._keyring else None
        digest = token.digest if token else _NOBODY
        known = hmac.compare_digest(_mac(digest, "ask", ask.nonce, ask.address), ask.mac)
        proof = _mac(digest, "answer", ask.nonce, ask.address)
        return proof if known and ask.address == self._address else None


def _mac(digest: bytes, role: str, nonce: str, address: str) -> str:
    """No part can hold the line's end that parts them."""
    return hmac.new(digest, f"config-service\n{role}\n{nonce}\n{address}".encode(), "sha256").hexdigest()
