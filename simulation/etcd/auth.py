"""Users, what they may do, and their tokens. Tokens are etcd's simple ones: they end, and a restart forgets them.

Owns who is let in. Off until `enable`. Knows no time: its caller says when tokens end.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from simulation.etcd.errors import AUTH_FAILED, AUTH_NOT_ENABLED, INVALID_TOKEN, PERMISSION_DENIED, USER_EMPTY, Refused


@dataclass(frozen=True, slots=True)
class User:
    """Somebody, and the keys that he may use: those that begin with `prefix`, to write if `writes`."""

    name: str
    password: str
    prefix: bytes = b""
    writes: bool = True


@dataclass(slots=True)
class Auth:
    """Of one cluster."""

    enabled: bool = False
    users: dict[str, User] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    """By token: the user's name."""
    given: int = 0
    """How many tokens there have been."""

    def authenticate(self, name: str, password: str) -> str:
        """A new token. Raises Refused."""
        if not self.enabled:
            raise Refused(AUTH_NOT_ENABLED)
        user = self.users.get(name)
        if user is None or user.password != password:
            raise Refused(AUTH_FAILED)
        self.given += 1
        token = f"token.{self.given}"
        self.tokens[token] = name
        return token

    def user(self, token: str, forgotten: int = 0) -> User | None:
        """Whose token it is; None while authentication is off. The member that asks has forgotten so many of the first
        tokens.

        Raises Refused.
        """
        if not self.enabled:
            return None
        if not token:
            raise Refused(USER_EMPTY)
        found = self.users.get(self.tokens.get(token, ""))
        if found is None or int(token.rpartition(".")[2]) <= forgotten:
            raise Refused(INVALID_TOKEN)
        return found

    def permit(self, user: User | None, first: bytes, end: bytes, *, write: bool) -> None:
        """Raise Refused unless this user (None: authentication is off) may use the keys from `first` to `end`."""
        if user is None or not user.prefix:
            return
        inside = first.startswith(user.prefix) and (not end or end <= _after(user.prefix))
        if not inside or (write and not user.writes):
            raise Refused(PERMISSION_DENIED)


def _after(prefix: bytes) -> bytes:
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1])
