"""What this library raises. Each says what was tried; those of a write say whether it happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class ConfigError(Exception):
    """Any error of this library."""


class StartFailed(ConfigError):
    """Neither the service nor the file had anything. `tried`: what was tried, and why it failed, one by one."""

    def __init__(self, tried: Sequence[str]) -> None:
        self.tried = tuple(tried)
        super().__init__("there is no configuration to start with; tried:\n" + "\n".join(f"- {each}" for each in tried))


class NoSuchKey(ConfigError, KeyError):
    """There is no such key at the revision that is held."""

    def __str__(self) -> str:
        return str(self.args[0])


class InvalidValue(ConfigError, ValueError):
    """A document is not what was asked for, and no earlier one was. `key`, and `why` as its type says it."""

    def __init__(self, key: str, why: str) -> None:
        self.key = key
        self.why = why
        super().__init__(f"{key}: {why}")


class BadFallback(ConfigError):
    """The file of the last known good is refused: torn, of another client, or too old."""


class Closed(ConfigError):
    """The client was closed, or never started."""


class Forked(ConfigError):
    """This process was forked from the one that started the client; on a loop nothing can be begun anew."""


class TimedOut(ConfigError, TimeoutError):
    """What was waited for has not come in time."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One place that the policy refuses.

    pointer: a JSON pointer into the document; "": all of it. expected: what should be there. key: the document; "": it
    is the policy itself that is refused. prefix: the one whose schema counts for the key.
    """

    pointer: str
    expected: str
    key: str = ""
    prefix: str = ""

    def __str__(self) -> str:
        return f"{self.key or 'policy'} {self.pointer or '(all of it)'}: expected {self.expected}"


class CallFailed(ConfigError):
    """A call to the service failed.

    status: of the answer, 0 if there was none. kind: the last part of the problem's type, as `no-such-key`; else "".
    index: which operation of a batch is to blame, if it is one. faults: what is wrong with what was sent, place by
    place, where the service tells.
    """

    def __init__(
        self, message: str, *, status: int = 0, kind: str = "", index: int | None = None, faults: Sequence[Fault] = ()
    ) -> None:
        self.status = status
        self.kind = kind
        self.index = index
        self.faults = tuple(faults)
        super().__init__(message)


class Rejected(CallFailed):
    """The request was refused, and will be again; nothing was done."""


class Denied(Rejected):
    """The token is missing, or is not for this; nothing was done."""


class PreconditionFailed(Rejected):
    """Somebody else has changed the document meanwhile; nothing was done."""


class PolicyViolation(Rejected):
    """A document is not as the policy's schema for it wants it, or a policy is none: `faults`. Nothing was done."""


class ReasonRequired(Rejected):
    """The policy wants to be told why this is changed; nothing was done."""


class Gone(Rejected):
    """The revision is compacted, not reached yet, or of a history that was lost."""


class Unavailable(CallFailed):
    """No instance could be asked, or none could do it; nothing was done. It may be tried again."""


class OutcomeUnknown(CallFailed):
    """The write was sent and not answered: it may have happened. It is never sent again by itself."""
