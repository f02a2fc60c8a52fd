"""Exit codes, and which error has which. They are a contract: docs/configctl.md has the table."""

from __future__ import annotations

from config_client.errors import (
    ConfigError,
    Denied,
    Gone,
    InvalidValue,
    NoSuchKey,
    OutcomeUnknown,
    PolicyViolation,
    PreconditionFailed,
    ReasonRequired,
    StartFailed,
    TimedOut,
    Unavailable,
)

DONE = 0
FAILED = 1
DIFFERENT = 2
NO_SUCH_KEY = 3
CHANGED_MEANWHILE = 4
DENIED = 5
UNAVAILABLE = 6
UNKNOWN = 7
TIMED_OUT = 8
AGAINST_POLICY = 9
USAGE = 64
INTERRUPTED = 130

_CODES: tuple[tuple[type[ConfigError], int], ...] = (
    (NoSuchKey, NO_SUCH_KEY),
    (PreconditionFailed, CHANGED_MEANWHILE),
    (Denied, DENIED),
    (Gone, NO_SUCH_KEY),
    (Unavailable, UNAVAILABLE),
    (StartFailed, UNAVAILABLE),
    (OutcomeUnknown, UNKNOWN),
    (TimedOut, TIMED_OUT),
    (PolicyViolation, AGAINST_POLICY),
    (ReasonRequired, AGAINST_POLICY),
    (InvalidValue, FAILED),
)


def code_of(error: ConfigError) -> int:
    """Return the exit code of an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)
