"""One call over several addresses: which to ask, and when another may be asked instead. Pure.

A call is a generator: it gives out attempts, and is sent what came of each. A read may be asked again anywhere. A write
goes elsewhere only if it is certain that nothing was done: it was not sent, or the answer says so.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

from config_client.core.requests import Answer, Request
from config_client.errors import OutcomeUnknown, Unavailable


@dataclass(frozen=True, slots=True)
class Attempt:
    """Ask this address. token: "" for none."""

    url: str
    request: Request
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """No answer came. sent: whether the request may have arrived."""

    why: str
    sent: bool


Call = Generator[Attempt, Answer | Failure, Answer]


def call(request: Request, urls: Sequence[str], token: Callable[[], str]) -> Call:
    """Return the answer, of whatever status. token: reads it, anew for each attempt: it may have been rotated.

    Raises Unavailable and OutcomeUnknown.
    """
    tried: list[str] = []
    busy: Answer | None = None
    for url in urls:
        came = yield from _ask(url, request, token)
        if isinstance(came, Failure):
            tried.append(f"{url}: {came.why}")
            if came.sent and request.writes:
                raise OutcomeUnknown(f"{request.what}: sent to {url}, and not answered: {came.why}")
        elif came.status in (429, 502, 503) and not _is_unknown(came, request):
            busy = came
        else:
            return came
    if busy is not None:
        return busy
    raise Unavailable(f"{request.what}: no instance answers; tried " + "; ".join(tried))


def _ask(
    url: str, request: Request, token: Callable[[], str]
) -> Generator[Attempt, Answer | Failure, Answer | Failure]:
    sent = token()
    came = yield Attempt(url, request, sent)
    if isinstance(came, Answer) and came.status == 401 and (newer := token()) != sent:
        came = yield Attempt(url, request, newer)
    return came


def _is_unknown(answer: Answer, request: Request) -> bool:
    """Whether a write may have been done all the same: a stranger between us and the service answers."""
    return request.writes and not answer.headers.get("content-type", "").startswith("application/problem+json")
