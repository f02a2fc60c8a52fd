"""The one error of a start that can't succeed. It is written for whoever started the service, without a traceback."""

from __future__ import annotations


class StartupError(Exception):
    """The service can't start. The message: which setting or file, what was found, what was expected, an example."""
