"""Where log lines go and what they look like. Owns the root logger's only handler, on stderr.

JSON, one object a line, unless stderr is a terminal: then coloured text. The standard library's loggers (Granian's,
Flask's, grpc's) end in the same place. Refuses to show secrets: no password, token or credential leaves through here,
and tracebacks come without the values of variables.

The lines on requests have a handler of their own, without the standard library's and structlog's usual ways: those take
70 µs a line, a third of what a write takes; this one 15.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from service.http.requests import LOGGER
from service.process.log_writer import LogWriter

GRANIAN: dict[str, Any] = {
    "formatters": {},
    "handlers": {},
    "loggers": {name: {"handlers": [], "propagate": True} for name in ("_granian", "granian.access")},
}
"""For Granian's `log_dictconfig`: takes away its own handlers, so that its lines arrive here."""

TALKATIVE = ("httpx", "httpcore")
"""Libraries with a line for each request, or for each step of one: more than anybody wants to read, at any level."""

_SECRET_NAME = re.compile(r"password|token|secret|authorization|cookie", re.IGNORECASE)
_SECRET_TEXT = re.compile(r"(?<=://)[^/@\s]+(?=@)|(?<=\bbearer )\S+|(?<=\bbasic )\S+", re.IGNORECASE)
HIDDEN = "***"

WRITTEN_WITHIN = 1.0
"""Seconds that a stopping process gives to lines that nobody has read yet."""


def configure(level: str, *, terminal: bool | None = None, worker: int = 0) -> None:
    """Sends everything from `level` ("DEBUG" … "CRITICAL") up to stderr; may be called again.

    `terminal` chooses between coloured text and JSON; None asks stderr. worker: which one this
    process is, which each line tells; 0 if it is none. Raises ValueError for an unknown level.
    """
    # gRPC's core writes to stderr past every handler, and repeats what its errors say; it asks when it is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    coloured = sys.stderr.isatty() if terminal is None else terminal
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_shared(worker), ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[*_shared(worker), structlog.stdlib.ExtraAdder()],
            processors=[
                ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                hide_secrets,
                _renderer(coloured),
            ],
        )
    )
    # Nobody is told of these, and to find them out is a part of what a line takes.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    requests = logging.getLogger(LOGGER)
    requests.handlers, requests.propagate = [logging.StreamHandler(sys.stderr)], False
    requests.handlers[0].setFormatter(RequestLines(_renderer(coloured), worker))


@contextlib.contextmanager
def in_background() -> Iterator[None]:
    """Within the block nobody who logs waits for stderr. To be entered when no process is forked any more."""
    writer = LogWriter(sys.stderr, _tell_dropped)
    writer.start()
    _write_to(writer)
    try:
        yield
    finally:
        if writer.close(WRITTEN_WITHIN):  # else whoever writes to stderr directly would wait as well
            _write_to(sys.stderr)


def _write_to(stream: Any) -> None:
    for handler in logging.getLogger().handlers + logging.getLogger(LOGGER).handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(stream)


def _tell_dropped(lines: int) -> None:
    structlog.stdlib.get_logger("config.logs").warning("log lines were dropped, nobody read them in time", lines=lines)


class RequestLines(logging.Formatter):
    """Renders records whose message is a dictionary."""

    def __init__(self, render: Processor, worker: int = 0) -> None:
        super().__init__()
        self._render = render
        self._whose = {"worker": worker} if worker else {}

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = {**record.msg, "level": record.levelname.lower(), "logger": record.name, **self._whose}  # type: ignore[dict-item]
        if "detail" in line:  # all else are names and numbers
            line["detail"] = _without_credentials(line["detail"])
        return str(self._render(None, "", _TIME(None, "", line)))


_TIME = structlog.processors.TimeStamper(fmt="iso", utc=True, key="time")


def _shared(worker: int) -> list[Processor]:
    def tell_whose(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        line.setdefault("worker", worker)  # of the supervisor's lines some are about one
        return line

    return [
        *([tell_whose] if worker else []),
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        _TIME,
    ]


def _renderer(coloured: bool) -> Processor:
    if coloured:
        # The richer formatters print the variables of every frame, passwords among them.
        return structlog.dev.ConsoleRenderer(timestamp_key="time", exception_formatter=structlog.dev.plain_traceback)
    return structlog.processors.JSONRenderer(serializer=_json)


def _json(line: EventDict, default: Callable[[Any], Any]) -> str:
    """As `json.dumps` does it, which makes an encoder for each line."""
    return _encoder(default).encode(line)


@lru_cache(maxsize=1)
def _encoder(default: Callable[[Any], Any]) -> json.JSONEncoder:
    return json.JSONEncoder(default=default)


def hide_secrets(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Hides the values of fields with a secret's name, and credentials in URLs and headers wherever they stand."""
    return {name: HIDDEN if _SECRET_NAME.search(name) else _without_credentials(value) for name, value in line.items()}


def _without_credentials(value: Any) -> Any:
    return _SECRET_TEXT.sub(HIDDEN, value) if isinstance(value, str) else value
