"""What the HTTP server has to say arrives in the service's own log: its errors, and nothing of how it is embedded."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from granian.log import LogLevels, configure_logging, logger

from service.process.logs import GRANIAN
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess


@pytest.fixture
def granian() -> Iterator[logging.Logger]:
    """Its logger, as a start of the service leaves it."""
    before = logger.level, logger.handlers, logger.propagate
    configure_logging(LogLevels.error, GRANIAN)
    yield logger
    logger.level, logger.handlers, logger.propagate = before


def test_its_errors_are_told_by_the_handler_of_all_others(
    granian: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    granian.error("Unexpected exit from worker-1")
    granian.warning("Embedded server is experimental!")
    assert caplog.messages == ["Unexpected exit from worker-1"]
    assert granian.handlers == []


def test_an_instance_says_nothing_of_how_its_server_is_embedded(tmp_path: Path, etcd: EtcdServer) -> None:
    """At the level that tells most."""
    with InstanceProcess(tmp_path, ETCD_ENDPOINTS=etcd.endpoint, LOG_LEVEL="DEBUG") as instance:
        assert instance.stop() == 0
        loggers = {json.loads(line)["logger"] for line in instance.printed().splitlines()}
        assert "config.start" in loggers
        assert not {name for name in loggers if "granian" in name}
        assert "experimental" not in instance.printed()
