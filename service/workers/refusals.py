"""What the port of all workers refuses, since each worker has one of its own (`service.workers.shared_port`)."""

from __future__ import annotations

from http import HTTPStatus

from service.http.answers import Answer
from service.http.problems import refused
from service.http.requests import Environ


def refuse_metrics(_: Environ) -> Answer:
    """Say where to scrape. Raises Refused."""
    raise refused(
        HTTPStatus.MISDIRECTED_REQUEST,
        "one-of-several-workers",
        "Several workers share this port, and each has metrics of its own. Scrape each at its own address: "
        "GET /members/targets lists them, for Prometheus's http_sd_configs, too.",
    )
