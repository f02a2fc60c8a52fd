"""One client's way through the changes of its scope, without I/O: what to connect to, and what an answer means.

Owns the view that has been applied, the token, and what is known of the service. A shell connects, reads, applies and
waits as it is told, and tells what came of it:

    WAITING --next--> CONNECTING --opened--> STREAMING --ended--> WAITING
                          |                      |
                          +--refused, ended------+--received--> an Update: to be applied before anything else

A call that does not fit raises OutOfOrder and changes nothing. Time is an argument: seconds of one monotonic clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from config_client.core.answers import Refusal, refusal_of
from config_client.core.backoff import Addresses, BackoffOptions
from config_client.core.model import Fresh, Lost, Stale, State, View
from config_client.core.replica import MOST_BYTES, Replica, TooMuch, Update, merged
from config_client.core.sse import Parser, TooLong
from config_client.core.wire import Delete, Goodbye, NotProven, NotUnderstood, Put, Reset, Told, Word, understand


class OutOfOrder(RuntimeError):
    """A shell's mistake: this can't be told now."""


class Phase(Enum):
    """Where a feed stands."""

    WAITING = auto()
    CONNECTING = auto()
    STREAMING = auto()
    OVER = auto()  # the connection has to be closed, and its end be told


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """fresh_for: seconds since the last proof up to which what is held is called fresh.

    A service proves every 10 s that it is, and a proof may be a second old: 12 leaves a second for the way.
    """

    fresh_for: float = 12.0
    most_bytes: int = MOST_BYTES
    backoff: BackoffOptions = field(default_factory=BackoffOptions)


@dataclass(frozen=True, slots=True)
class Certainty:
    """When what is held was the newest, and whether an instance has since said that it can't prove it any more."""

    proven_at: float
    doubted: bool = False


@dataclass(frozen=True, slots=True)
class Connect:
    """Ask this address, for what has changed after the token; "" for all there is."""

    url: str
    after: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait that many seconds."""

    seconds: float


class Feed:
    """See the module's opening. Not safe for several threads: one shell owns it."""

    def __init__(
        self,
        urls: Sequence[str],
        options: FeedOptions,
        chance: Callable[[], float],
        *,
        view: View | None = None,
        proven_at: float = -math.inf,
        doubted: bool = False,
    ) -> None:
        """Raises ValueError for no address. view: what is held already, which was the newest at `proven_at`; doubted:
        that is by another clock, so it is not fresh before an instance has proven it.
        """
        self._addresses = Addresses(urls, options.backoff, chance)
        self._options = options
        self._replica = Replica(view or View(), options.most_bytes)
        self._applied = self._replica.view
        self._owed: Update | None = None
        self._parser = Parser()
        self._retry: float | None = None  # seconds that the stream asks for before it is opened anew
        self._known = self._heard = Certainty(proven_at, doubted)  # of what is applied; of what has been received
        self._before_restore = False  # 410: an earlier revision is not a contradiction
        self._url = ""
        self._refused: dict[str, str] = {}  # by address: why it will not do, if it has said so
        self.failures: dict[str, str] = {}  # by address: why it failed last
        self._why = "no instance has been asked yet"
        self.phase = Phase.WAITING

    @property
    def view(self) -> View:
        """What has been applied."""
        return self._applied

    @property
    def proven_at(self) -> float:
        """When what has been received was the newest; it may still have to be applied."""
        return self._heard.proven_at

    @property
    def known_at(self) -> float:
        """When what has been applied was the newest."""
        return self._known.proven_at

    @property
    def is_refused(self) -> bool:
        """Whether each address has refused for good: asking again won't help until somebody changes something."""
        return self._refused.keys() >= set(self._addresses.urls)

    def state(self, now: float) -> State:
        """Return how sure it is that the view is the newest. Any thread may ask."""
        known = self._known
        age = max(0.0, now - known.proven_at)
        if not known.doubted and age <= self._options.fresh_for:
            return Fresh(age)
        return Stale(age) if self.phase is Phase.STREAMING else Lost(age, self._why)

    # What the shell tells

    def next(self, now: float) -> Connect | Pause:
        """Return what to do now."""
        self._expect(Phase.WAITING)
        found = self._addresses.next(now)
        if not isinstance(found, str):
            return Pause(found)
        self._url, self.phase, self._retry = found, Phase.CONNECTING, None
        return Connect(found, self._replica.resume)

    def opened(self) -> None:
        """The address answers with a stream of events."""
        self._expect(Phase.CONNECTING)
        self.phase, self._parser, self._retry = Phase.STREAMING, Parser(), None
        self._refused.pop(self._url, None)
        if not self._replica.resume:
            self._replica.reset()

    def refused(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> None:
        """The address answers with something else. headers: names in lower case. body: its beginning will do."""
        self._expect(Phase.CONNECTING)
        refusal = refusal_of(status, headers, body)
        if refusal.refuses_token and self._replica.resume:
            self._replica.forget()
            self._before_restore = True
            self._known = self._heard = replace(self._heard, doubted=True)
            self._end(refusal.why)
            self._addresses.worked()
            self._addresses.left(now, None)
            return
        self._fail(refusal, now)

    def received(self, chunk: bytes, now: float) -> Update | None:
        """Something has come. Return how the view changes, which has to be applied; or None.

        Look at `is_over` afterwards.
        """
        self._expect(Phase.STREAMING)
        update: Update | None = None
        try:
            for event in self._parser.feed(chunk):
                if event.retry is not None:
                    self._retry = event.retry / 1000
                word = understand(event)
                told = self._take(word, now) if word is not None else None
                if told is not None:
                    update = merged(update, told) if update else told
                if self.is_over:
                    break
        except (TooLong, TooMuch, NotUnderstood) as error:
            self._break_off(str(error), now)
        self._owed = update
        if update is None:
            self._known = self._heard
        return update

    @property
    def is_over(self) -> bool:
        """Whether the connection has to be closed."""
        return self.phase is Phase.OVER

    def applied(self, update: Update) -> None:
        """The update has been applied: from now on its token counts."""
        if update is not self._owed:
            raise OutOfOrder("this is not the update that is to be applied")
        self._applied, self._owed, self._known = update.after, None, self._heard

    def ended(self, why: str, now: float) -> None:
        """The connection has ended, or never came to be."""
        self._expect(Phase.CONNECTING, Phase.STREAMING, Phase.OVER)
        over = self.phase is Phase.OVER
        self._replica.interrupt()
        if over:
            self.phase = Phase.WAITING
            return
        self._fail(Refusal(why, retry_after=self._retry), now)

    def abandon(self, why: str, now: float) -> None:
        """Something went wrong here, anywhere: begin again from what has been applied."""
        self._replica, self._owed = Replica(self._applied, self._options.most_bytes), None
        self._heard = self._known
        if self.phase is not Phase.WAITING:
            self._fail(Refusal(why), now)

    # What it means

    def _take(self, word: Word, now: float) -> Update | None:
        match word:
            case Reset():
                self._replica.reset()
                self._before_restore = self._before_restore or word.of_another_history
            case Put():
                self._replica.put(word)
            case Delete():
                self._replica.delete(word)
            case Told():
                return self._tell(word, now)
            case NotProven():
                self._heard = replace(self._heard, doubted=True)
            case Goodbye():
                self._why = f"{self._url} said goodbye"
                self.phase = Phase.OVER
                self._addresses.left(now, word.retry)
        return None

    def _tell(self, told: Told, now: float) -> Update | None:
        if told.revision < self._replica.view.revision and not self._before_restore:
            raise NotUnderstood(f"revision {told.revision} is told, and {self._replica.view.revision} is held")
        update = self._replica.tell(told)
        if update is None:
            return None
        self._addresses.worked()
        self._before_restore = False
        self._refused.clear()
        if told.age is not None and not told.more:
            proven_at = now - told.age
            self._heard = Certainty(proven_at if self._heard.doubted else max(self._heard.proven_at, proven_at))
        return update

    def _fail(self, refusal: Refusal, now: float) -> None:
        if refusal.is_final:
            self._refused[self._url] = refusal.why
        else:
            self._refused.pop(self._url, None)
        self._end(refusal.why)
        self._addresses.failed(now, refusal.retry_after)

    def _break_off(self, why: str, now: float) -> None:
        self._fail(Refusal(why), now)
        self.phase = Phase.OVER

    def _end(self, why: str) -> None:
        self._replica.interrupt()
        self.failures[self._url] = why
        self._why = f"{self._url}: {why}"
        self.phase = Phase.WAITING

    def _expect(self, *phases: Phase) -> None:
        if self._owed is not None:
            raise OutOfOrder("an update is to be applied first")
        if self.phase not in phases:
            raise OutOfOrder(f"this can't be told while {self.phase.name.lower()}")
