"""A user for a load test of what clients are told of changes. It takes part only where it is named or chosen."""

from __future__ import annotations

import json
import random
import time
from typing import Any
from urllib.parse import urlencode

from locust import task

from tools.load_checks import NOTHING_LOST, complaint, settle
from tools.load_users import CLOCK_TOLERANCE, ChangingUser, SharedKey

WAITS = (*[0] * 9, 1)
"""Seconds that a question waits for a change, by chance: who waits changes nothing meanwhile."""

_ROOT = "/config/"


class FollowingUser(ChangingUser):
    """Holds a few documents as it is told of changes that others make, by whichever instance the balancer picks.

    Nothing lost: an answer goes on where the one before has ended, and what is held after it is no older than what had
    been written before the moment that its `age` names.
    """

    write_name = "PUT followed"

    def on_start(self) -> None:
        """Knows nothing yet."""
        super().on_start()
        self._begin([])

    def _begin(self, keys: list[SharedKey]) -> None:
        self.following = keys
        self.token = ""
        self.held: dict[str, int] = {}  # the number of each document

    @task(4)
    def follow(self) -> None:
        """Without a session: the token alone says what this user knows."""
        if self.following != (keys := self._usable()):
            self._begin(keys)
        self.drop_session()
        query = [("key", key.path.removeprefix(_ROOT)) for key in keys]
        query += [("after", self.token)] if self.token else []
        query.append(("wait", str(random.choice(WAITS))))
        asked = time.monotonic()
        with self.send("GET", f"/changes?{urlencode(query)}", "GET changes") as answer:
            wrong = complaint(answer, 200, None)
            if not wrong:
                wrong = self._told(json.loads(answer.content or b""), asked)
            if settle(answer, wrong):
                self._begin([])

    def _told(self, told: dict[str, Any], asked: float) -> str:
        """What is wrong with an answer; else it is held, and empty comes back."""
        if told["reset"]:
            self.held = {}
        elif told["from"] != self.token:
            return f"{NOTHING_LOST}: asked what has changed since {self.token}, told since {told['from']}"
        for change in told["changes"]:
            path, number = _ROOT + change["key"], int(change["value"]) if change["op"] == "put" else 0
            if number < self.held.get(path, 0):
                return f"{NOTHING_LOST}: {self.held[path]} had been told before, got {number}"
            self.held[path] = number
        self.token = told["to"]
        if told["more"] or told["age"] is None:
            return ""
        for key in self.following:
            least, number = key.written_before(asked - told["age"] - CLOCK_TOLERANCE), self.held.get(key.path, 0)
            if number < least:
                return f"{NOTHING_LOST}: {least} had been written {told['age']} s before, {number} is what was told"
        return ""
