"""What reaches stderr: one JSON object a line or readable text, from every logger, and never a secret."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from granian.log import LogLevels, configure_logging

from service.http.requests import LOGGER
from service.process import logs

Capture = pytest.CaptureFixture[str]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


@pytest.fixture(autouse=True)
def _logging_restored() -> Iterator[None]:
    root, requests = logging.getLogger(), logging.getLogger(LOGGER)
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    root.handlers, root.level = handlers, level
    requests.handlers, requests.propagate = [], True
    structlog.reset_defaults()


def lines(capsys: Capture) -> list[dict[str, Any]]:
    """The objects written to stderr, which is no terminal here, since the last call."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_line_is_one_json_object_with_utc_time_level_and_logger(capsys: Capture) -> None:
    """JSON where no human looks on; the time says that it is UTC."""
    logs.configure("INFO")
    structlog.stdlib.get_logger("config.events").info("joined the fleet", slot=3)
    (line,) = lines(capsys)
    time = line.pop("time")
    assert time.endswith("Z")
    assert abs((datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()) < 60
    assert line == {"event": "joined the fleet", "slot": 3, "level": "info", "logger": "config.events"}


@pytest.mark.parametrize("name", ["flask.app", "grpc._channel", "_granian", "granian.access", "urllib3"])
def test_standard_loggers_end_in_the_same_place(capsys: Capture, name: str) -> None:
    """Granian's own handlers are taken away by the dictionary it is given, so each line comes once, as JSON."""
    logs.configure("INFO")
    configure_logging(LogLevels.info, logs.GRANIAN)
    logging.getLogger(name).warning("took %d s", 7)
    (line,) = lines(capsys)
    assert (line["event"], line["level"], line["logger"]) == ("took 7 s", "warning", name)


def test_terminal_gets_text_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """stderr is asked whether it is a terminal; colours only there."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    logs.configure("INFO")
    structlog.stdlib.get_logger("x").info("watch is up", revision=12)
    assert "watch is up" in terminal.getvalue()
    assert "\x1b[" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")


def test_choice_of_the_caller_beats_the_stream(capsys: Capture) -> None:
    """`terminal=True` forces text where there is no terminal."""
    logs.configure("INFO", terminal=True)
    logging.getLogger("x").info("hello")
    assert "\x1b[" in capsys.readouterr().err


def test_lines_below_the_level_are_dropped(capsys: Capture) -> None:
    """LOG_LEVEL holds for both kinds of loggers, in either case of letters."""
    logs.configure("warning")
    structlog.stdlib.get_logger("x").info("quiet")
    logging.getLogger("x").info("quiet")
    logging.getLogger("x").warning("loud")
    assert [line["event"] for line in lines(capsys)] == ["loud"]


def test_unknown_level_is_refused() -> None:
    """A misspelt level must not pass as the default."""
    with pytest.raises(ValueError, match="CHATTY"):
        logs.configure("CHATTY")


def test_configuring_twice_does_not_double_the_lines(capsys: Capture) -> None:
    """Master and worker of the server may both configure."""
    logs.configure("INFO")
    logs.configure("INFO")
    logging.getLogger("x").info("once")
    assert len(lines(capsys)) == 1


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ("connecting to https://root:hunter2@etcd:2379", {}),
        ("sent Authorization: Bearer hunter2", {}),
        ("sent Authorization: Basic hunter2", {}),
        ("signed in", {"password": "hunter2"}),
        ("signed in", {"etcd_password": "hunter2", "api_tokens": ["hunter2"]}),
        ("called", {"authorization": "hunter2", "cookie": "a=hunter2"}),
    ],
)
def test_secrets_are_hidden(capsys: Capture, terminal: bool, event: str, fields: dict[str, Any]) -> None:
    """By the field's name, and by what credentials look like within text; through both kinds of loggers."""
    logs.configure("INFO", terminal=terminal)
    structlog.stdlib.get_logger("x").info(event, **fields)
    logging.getLogger("x").info(event, extra=fields)
    written = capsys.readouterr().err
    assert "hunter2" not in written
    assert written.count(logs.HIDDEN) >= 2


@pytest.mark.parametrize("terminal", [True, False])
def test_traceback_tells_where_and_not_with_which_values(capsys: Capture, terminal: bool) -> None:
    """The richer formatters of the library print every frame's variables: passwords among them."""
    logs.configure("INFO", terminal=terminal)
    password = "hunter" + str(2)
    try:
        raise RuntimeError(f"refused {len(password)} letters")
    except RuntimeError:
        structlog.stdlib.get_logger("x").exception("signing in failed")
        logging.getLogger("x").exception("signing in failed")
    written = capsys.readouterr().err
    assert written.count("refused 7 letters") == 2
    assert written.count("test_traceback_tells_where") == 2
    assert "hunter2" not in written


@pytest.mark.parametrize(("terminal", "expected"), [(False, '"key": "a"'), (True, "key")])
def test_lines_on_requests_end_in_the_same_place(capsys: Capture, terminal: bool, expected: str) -> None:
    """Once, and in the same form."""
    logs.configure("INFO", terminal=terminal)
    logging.getLogger(LOGGER).info({"event": "write", "key": "a", "detail": "at https://root:hunter2@etcd"})
    written = capsys.readouterr().err
    assert written.count("write") == 1
    assert expected in written
    assert "hunter2" not in written
    assert ("\x1b[" in written) == terminal


def test_nobody_waits_within_the_block_and_every_line_is_there_after_it(capsys: Capture) -> None:
    """In the order in which they were logged, from both kinds of handlers."""
    logs.configure("INFO")
    with logs.in_background():
        for number in range(100):
            logging.getLogger("x").info("line %d", number)
            logging.getLogger(LOGGER).info({"event": f"line {number}"})
    logging.getLogger("x").info("afterwards")
    found = [line["event"] for line in lines(capsys)]
    assert found == [f"line {number}" for number in range(100) for _ in range(2)] + ["afterwards"]
