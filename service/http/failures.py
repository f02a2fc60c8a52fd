"""What becomes of an exception that a request ends with: an answer, and a line in the log if nobody foresaw it."""

from __future__ import annotations

import logging

from service.http.answers import Answer, answer_error
from service.http.problems import INTERNAL, Refused, kind_of

logger = logging.getLogger(__name__)


def answer_failure(error: Exception, method: str, path: str) -> Answer:
    """The problem document for `error`."""
    if not isinstance(error, Refused) and kind_of(error) is INTERNAL:
        logger.error("unexpected error in %s %r", method, path, exc_info=error)
    return answer_error(error)
