"""One client: its connections, its session, and each request with its answer as an `Operation`.

Owns the words of HTTP. Says "failed" of a write only if it was certainly not done: the connection was refused, or the
service says so; whatever else goes wrong after the first byte leaves the outcome unknown.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from itertools import count

from torture.history import Kind, Level, Operation, Outcome, Remembers

PATIENCE = 5.0
"""Seconds that a client waits: more than the service's own limit."""

SESSION_LENGTH = 100
"""Operations until a client forgets its session and begins another."""

_COOKIE = re.compile(r"(config_revision_[0-9a-f]{16})=(\d+)")
_numbers = count()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; status 0 and a note when nothing did. `sent`: whether the server may have received it."""

    status: int
    headers: dict[str, str]
    body: bytes
    sent: bool = True
    note: str = ""

    def number(self, name: str) -> int:
        """A header as a number, quotes dropped; 0 without it."""
        return int(self.headers.get(name, "0").strip('"') or 0)


class Connections:
    """One kept-alive connection to each instance. Used by one thread."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._to = [HTTPConnection("127.0.0.1", port, timeout=PATIENCE) for port in ports]

    def send(self, instance: int, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        """One request; never raises for what the network does, and never sends twice."""
        connection = self._to[instance]
        try:
            if connection.sock is None:
                connection.connect()
        except OSError as error:
            connection.close()
            return Answer(0, {}, b"", sent=False, note=type(error).__name__)
        try:
            connection.request(method, path, body, headers)
            return _answer(connection.getresponse())
        except (OSError, HTTPException) as error:
            connection.close()
            return Answer(0, {}, b"", note=type(error).__name__)

    def close(self) -> None:
        """Ends all of them."""
        for connection in self._to:
            connection.close()


class Client:
    """Used by one thread. `instance` is who is asked next; `known` the mod_revisions it has seen, by key."""

    def __init__(self, number: int, remembers: Remembers, connections: Connections) -> None:
        self.number = number
        self.instance = 0
        self.known: dict[str, int] = {}
        self._remembers = remembers
        self._connections = connections
        self._sessions = count()
        self._begin()

    def _begin(self) -> None:
        self._session = f"{self.number}.{next(self._sessions)}"
        self._left = SESSION_LENGTH
        self._cookie = 0
        self._cookie_name = ""
        self.seen = 0

    def read(self, key: str, level: Level, *, unless: int = 0, asked: int = 0) -> Operation:
        """GET; `unless`: If-None-Match. `asked`: see Operation."""
        parameters = {
            Level.UNCACHED: ["use_cache=false"],
            Level.LINEARIZABLE: ["consistency=linearizable"],
            Level.PAST: [f"revision={asked}"],
            Level.STALE: [f"stale_if_error={asked}"],
        }.get(level, [])
        headers = {"If-None-Match": f'"{unless}"'} if unless else {}
        return self._ask(Kind.READ, "GET", f"/config/{key}", level, parameters, headers, key=key, asked=asked)

    def write(self, kind: Kind, key: str, value: str | None, level: Level, condition: str = "") -> Operation:
        """PUT or DELETE."""
        headers = {_HEADERS[name]: tag for name, tag in _precondition(condition, '"{}"').items()}
        method = "PUT" if kind is Kind.PUT else "DELETE"
        body = None if value is None else value.encode()
        return self._ask(
            kind, method, f"/config/{key}", level, [], headers, body=body, key=key, value=value, condition=condition
        )

    def batch(
        self, batch: tuple[tuple[str, str | None], ...], level: Level, conditions: tuple[str, ...] = ()
    ) -> Operation:
        """POST /config/. A condition for each change, "" for none."""
        conditions = conditions or ("",) * len(batch)
        asked = zip(batch, conditions, strict=True)
        operations = [{**_operation(key, value), **_precondition(condition)} for (key, value), condition in asked]
        body = json.dumps({"operations": operations}).encode()
        return self._ask(Kind.BATCH, "POST", "/config/", level, [], {}, body=body, batch=batch, conditions=conditions)

    # --- how a request is made, and its answer understood

    def _ask(
        self,
        kind: Kind,
        method: str,
        path: str,
        level: Level,
        parameters: list[str],
        headers: dict[str, str],
        *,
        body: bytes | None = None,
        key: str = "",
        value: str | None = None,
        condition: str = "",
        asked: int = 0,
        batch: tuple[tuple[str, str | None], ...] = (),
        conditions: tuple[str, ...] = (),
    ) -> Operation:
        if not self._left:
            self._begin()
        self._left -= 1
        token = self._introduce(kind, level, parameters, headers)
        if level is Level.SYNC:
            parameters = [*parameters, "sync=true"]
        query = f"?{'&'.join(parameters)}" if parameters else ""
        invoked = time.monotonic()
        answer = self._connections.send(self.instance, method, path + query, body, headers)
        returned = time.monotonic()
        outcome = _outcome(kind, answer)
        done = outcome is Outcome.OK
        refusing, modified = _refusal(kind, key, answer) if outcome is Outcome.REFUSED else ("", answer.number("etag"))
        operation = Operation(
            number=next(_numbers),
            client=self.number,
            session="" if self._remembers is Remembers.NOTHING else self._session,
            remembers=self._remembers,
            instance=self.instance,
            kind=kind,
            level=level,
            key=key,
            value=answer.body.decode() if kind is Kind.READ and answer.status == 200 else value,
            invoked=invoked,
            returned=returned,
            outcome=outcome,
            status=answer.status,
            modified=modified,
            revision=_revision(answer) if done else 0,
            cache=answer.headers.get("x-cache", ""),
            age=answer.number("age"),
            token=token,
            condition=condition,
            asked=asked,
            batch=batch,
            conditions=conditions,
            refusing=refusing,
            note=answer.note or answer.headers.get("x-fleet-acks", ""),
        )
        if done:
            self._remember(operation, answer)
        return operation

    def _introduce(self, kind: Kind, level: Level, parameters: list[str], headers: dict[str, str]) -> int:
        """Adds what the session carries; the newest revision that it names."""
        token = 0
        if self._remembers is not Remembers.NOTHING and self._cookie:
            headers["Cookie"] = f"{self._cookie_name}={self._cookie}"
            token = self._cookie
        names_what_it_saw = self._remembers is Remembers.ALL and kind is Kind.READ and level is not Level.PAST
        if names_what_it_saw and self.seen:
            parameters.append(f"min_revision={self.seen}")
            token = max(token, self.seen)
        return token

    def _remember(self, operation: Operation, answer: Answer) -> None:
        if operation.level is not Level.PAST:
            self.seen = max(self.seen, operation.revision)
            if operation.key:
                self.known[operation.key] = operation.modified
        if found := _COOKIE.search(answer.headers.get("set-cookie", "")):
            self._cookie_name, self._cookie = found[1], int(found[2])


def _answer(response: HTTPResponse) -> Answer:
    body = response.read()
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)


def _outcome(kind: Kind, answer: Answer) -> Outcome:
    if answer.status in (200, 201, 204, 304) or (answer.status == 404 and kind is Kind.READ):
        return Outcome.OK
    if answer.status == 412:
        return Outcome.REFUSED
    unknown = answer.status in (500, 504) or (not answer.status and answer.sent)
    return Outcome.UNKNOWN if unknown and kind is not Kind.READ else Outcome.FAILED


def _refusal(kind: Kind, key: str, answer: Answer) -> tuple[str, int]:
    """Whose precondition did not hold, and the mod_revision that it was found at."""
    if kind is not Kind.BATCH:
        return key, answer.number("etag")
    told = json.loads(answer.body)
    return str(told["key"]), int(told["mod_revision"])


def _revision(answer: Answer) -> int:
    if found := answer.number("x-config-revision"):
        return found
    return int(json.loads(answer.body)["revision"]) if answer.body else 0


def _operation(key: str, value: str | None) -> dict[str, object]:
    if value is None:
        return {"op": "delete", "key": key}
    return {"op": "put", "key": key, "value": json.loads(value)}


def _precondition(condition: str, revision: str = "{}") -> dict[str, str]:
    """In the words of a batch; `revision` is how a mod_revision is spelt."""
    match condition:
        case "":
            return {}
        case "absent":
            return {"if_none_match": "*"}
        case "exists":
            return {"if_match": "*"}
        case _:
            return {"if_match": revision.format(condition)}


_HEADERS = {"if_none_match": "If-None-Match", "if_match": "If-Match"}


def offers(port: int) -> tuple[str, ...]:
    """Which levels, and whether batches, the instance there knows: asked for, it does not answer 4xx."""
    connections = Connections([port])
    asked = {
        Level.LINEARIZABLE: ("GET", "/config/probe?consistency=linearizable", None),
        Level.STALE: ("GET", "/config/probe?stale_if_error=1", None),
        Level.PAST: ("GET", "/config/probe?revision=1", None),
        Level.SYNC: ("PUT", "/config/probe?sync=true", b"1"),
        "changes": ("GET", "/changes?key=probe", None),
        "batch": ("POST", "/config/", b'{"operations": [{"op": "put", "key": "probe", "value": 1}]}'),
    }
    answers = {name: connections.send(0, *request, {}) for name, request in asked.items()}
    connections.close()
    unknown = (0, 400, 405, 411, 415)
    known = (name for name, answer in answers.items() if answer.status not in unknown)
    return tuple(str(name) for name in known if name != "changes" or answers[name].status != 404)
