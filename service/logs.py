"""Where log lines go and what they look like. Owns the root logger's only handler, on stderr.

JSON, one object a line, unless stderr is a terminal: then coloured text. The standard library's loggers (Granian's,
Flask's, grpc's) end in the same place. Refuses to show secrets: no password, token or credential leaves through here,
and tracebacks come without the values of variables.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from typing import Any

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

GRANIAN: dict[str, Any] = {
    "formatters": {},
    "handlers": {},
    "loggers": {name: {"handlers": [], "propagate": True} for name in ("_granian", "granian.access")},
}
"""For Granian's `log_dictconfig`: takes away its own handlers, so that its lines arrive here."""

_SECRET_NAME = re.compile(r"password|token|secret|authorization|cookie", re.IGNORECASE)
_SECRET_TEXT = re.compile(r"(?<=://)[^/@\s]+(?=@)|(?<=\bbearer )\S+|(?<=\bbasic )\S+", re.IGNORECASE)
HIDDEN = "***"


def configure(level: str, *, terminal: bool | None = None) -> None:
    """Sends everything from `level` ("DEBUG" … "CRITICAL") up to stderr; may be called again.

    `terminal` chooses between coloured text and JSON; None asks stderr. Raises ValueError for an unknown level.
    """
    # gRPC's core writes to stderr past every handler, and repeats what its errors say; it asks when it is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    coloured = sys.stderr.isatty() if terminal is None else terminal
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_shared(), ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[*_shared(), structlog.stdlib.ExtraAdder()],
            processors=[
                ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                hide_secrets,
                _renderer(coloured),
            ],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _shared() -> list[Processor]:
    return [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]


def _renderer(coloured: bool) -> Processor:
    if coloured:
        # The richer formatters print the variables of every frame, passwords among them.
        return structlog.dev.ConsoleRenderer(timestamp_key="time", exception_formatter=structlog.dev.plain_traceback)
    return structlog.processors.JSONRenderer()


def hide_secrets(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Hides the values of fields with a secret's name, and credentials in URLs and headers wherever they stand."""
    return {name: HIDDEN if _SECRET_NAME.search(name) else _without_credentials(value) for name, value in line.items()}


def _without_credentials(value: Any) -> Any:
    return _SECRET_TEXT.sub(HIDDEN, value) if isinstance(value, str) else value
