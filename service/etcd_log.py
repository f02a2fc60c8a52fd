"""The log of the embedded etcd: bounded to this run and the last, and read for the reason when a start fails."""

from __future__ import annotations

import json
from pathlib import Path

from service.startup import StartupError

LOG_TAIL_BYTES = 16 * 1024


class PortTaken(Exception):
    """Somebody took the port between our look and etcd's."""


def keep_last(log: Path) -> None:
    """Makes room for a new log: of the earlier ones only the last stays."""
    if log.exists():
        log.replace(log.with_name(log.name + ".1"))


def explain_exit(code: int, data: Path, log: Path) -> Exception:
    """Why an etcd that ended by itself did so: StartupError, or PortTaken."""
    end = tail(log)
    if "address already in use" in end:
        return PortTaken()
    if "downgrade" in end:
        return StartupError(
            f"{data} was written by a newer etcd than the one found here. Use the etcd it was written with "
            "(the first one on PATH is taken), or move the directory away to start with an empty one.\n"
            f"The log of etcd, {log}, ends with:\n{end}"
        )
    return StartupError(f"the embedded etcd ended at once (exit code {code}). Its log, {log}, ends with:\n{end}")


def tail(log: Path) -> str:
    """Its last lines, for people."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(f"  {_brief(line)}" for line in lines[-5:]) or "  (nothing)"


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
