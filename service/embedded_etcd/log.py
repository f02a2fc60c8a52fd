"""The log of the embedded etcd: bounded to this run and the last, and read for the reason when it ends.

A run is one of its owner: an etcd that is started again within it writes on, or the reason why it ended would be gone.
"""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

from service.process.startup import StartupError

LOG_TAIL_BYTES = 16 * 1024

LARGEST = 1024 * 1024
"""Bytes from which on a log is not written on, but set aside."""

NO_SPACE = "no space left on device"
"""How every system, and etcd after it, words a full disk."""


class PortTaken(Exception):
    """Somebody took the port between our look and etcd's."""


_FATAL = re.compile(r'"level":"(fatal|panic)"|^panic: |^fatal error: ')


NO_SPACE_LEFT = "there is no space left on the disk"
"""How we word it."""


def keep_last(log: Path, *, larger_than: int = -1) -> None:
    """Makes room for a new log, if the present one is larger: of the earlier ones only the last stays."""
    if log.exists() and log.stat().st_size > larger_than:
        log.replace(log.with_name(log.name + ".1"))


def explain_exit(code: int, data: Path, log: Path, earlier: int = 0) -> Exception:
    """Why an etcd that ended by itself did so: StartupError, or PortTaken. `earlier`: bytes that are not its own."""
    end = tail(log, earlier)
    if "address already in use" in end:
        return PortTaken()
    if "downgrade" in end:
        return StartupError(
            f"{data} was written by a newer etcd than the one found here. Use the etcd it was written with "
            "(the first one on PATH is taken), or move the directory away to start with an empty one.\n"
            f"The log of etcd, {log}, ends with:\n{end}"
        )
    if NO_SPACE in _last(log, earlier):
        return StartupError(f"{NO_SPACE_LEFT} of {data}: make room there\n{end}")
    return StartupError(f"the embedded etcd ended at once (exit code {code}). Its log, {log}, ends with:\n{end}")


def why_it_ended(code: int, log: Path, earlier: int) -> str:
    """Tell an operator in a few words why an etcd ended that had been running."""
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    said = _last(log, earlier)
    if NO_SPACE in said:
        return f"{NO_SPACE_LEFT} of its data ({how})"
    fatal = [_brief(line) for line in said.splitlines() if _FATAL.search(line)]
    return f"{how}, {fatal[-1]}" if fatal else how


def tail(log: Path, earlier: int = 0) -> str:
    """Its last lines, for people, without so many bytes at its beginning."""
    return "\n".join(f"  {_brief(line)}" for line in _last(log, earlier).splitlines()[-5:]) or "  (nothing)"


def _last(log: Path, earlier: int) -> str:
    """The end of it; nothing if it can't be read."""
    try:
        with log.open("rb") as file:
            file.seek(max(earlier, log.stat().st_size - LOG_TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _brief(line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    if not isinstance(entry, dict):
        return line[:400]
    entry.pop("stacktrace", None)
    message = f"{entry.pop('level', '')}: {entry.pop('msg', '')}"
    details = ", ".join(f"{name}={value}" for name, value in entry.items() if name not in ("ts", "caller"))
    return f"{message} ({details})" if details else message
