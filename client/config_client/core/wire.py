"""What the service's events mean: from text/event-stream to values that the feed acts upon.

The names of events and of their fields are those of the service's openapi.yaml, `GET /changes`.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from config_client.core.model import NOBODY, Author, Document
from config_client.core.sse import ServerEvent


class NotUnderstood(ValueError):
    """What came is not what the service says."""


@dataclass(frozen=True, slots=True)
class Reset:
    """What is held counts no more: what follows is all there is.

    of_another_history: etcd was restored from a backup, so that revisions may begin anew.
    """

    of_another_history: bool = False


@dataclass(frozen=True, slots=True)
class Put:
    """A document is now this."""

    document: Document
    author: Author = NOBODY


@dataclass(frozen=True, slots=True)
class Delete:
    """A document is no more."""

    key: str
    author: Author = NOBODY


@dataclass(frozen=True, slots=True)
class Told:
    """All has been told up to `revision`, and it was the newest `age` seconds ago, if that is known.

    token: from where to go on. more: there is more at once; of a snapshot, that it is not complete yet.
    """

    token: str
    revision: int
    age: float | None
    more: bool


@dataclass(frozen=True, slots=True)
class NotProven:
    """The instance can't say at present that nothing has changed."""


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The instance is about to stop. `retry`: seconds after which its address may be asked again."""

    retry: float | None


Word = Reset | Put | Delete | Told | NotProven | Goodbye


def understand(event: ServerEvent) -> Word | None:
    """Return what an event means; None for one that is none of ours. Raises NotUnderstood."""
    try:
        match event.event:
            case "reset":
                return Reset(_fields(event).get("cause") == "history")
            case "put":
                data = _fields(event)
                return Put(document_in(data), author_in(data))
            case "delete":
                data = _fields(event)
                return Delete(text_in(data, "key"), author_in(data))
            case "sync":
                data = _fields(event)
                token = event.id or text_in(data, "to")
                if not token:
                    raise ValueError("the token is empty")
                return Told(token, revision_in(data, "revision"), seconds_in(data, "age"), data.get("more") is True)
            case "stale":
                return NotProven()
            case "goodbye":
                return Goodbye(None if event.retry is None else event.retry / 1000)
            case _:
                return None
    except (KeyError, TypeError, ValueError) as error:
        raise NotUnderstood(f"the event {event.event} is not understood: {error!r}") from error


def document_in(data: dict[str, Any]) -> Document:
    """Return the document of a change: a JSON string, or `base64` for what is not UTF-8."""
    if "base64" in data:
        value = base64.b64decode(text_in(data, "base64"), validate=True)
    else:
        value = text_in(data, "value").encode()
    return Document(text_in(data, "key"), value, revision_in(data, "mod_revision"))


def author_in(data: dict[str, Any]) -> Author:
    """Return who made a change, and why, as far as that is told. Raises TypeError."""
    return Author(*(text_in(data, name) if name in data else "" for name in ("by", "why")))


def _fields(event: ServerEvent) -> dict[str, Any]:
    data = json.loads(event.data)
    if not isinstance(data, dict):
        raise TypeError(f"an object is expected, found {type(data).__name__}")
    return data


def text_in(data: dict[str, Any], name: str) -> str:
    """Return a text. Raises KeyError, TypeError."""
    value = data[name]
    if not isinstance(value, str):
        raise TypeError(f"{name}: text is expected, found {type(value).__name__}")
    return value


def revision_in(data: dict[str, Any], name: str) -> int:
    """Return a revision. Raises KeyError, TypeError."""
    value = data[name]
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise TypeError(f"{name}: a revision is expected, found {value!r}")
    return value


def seconds_in(data: dict[str, Any], name: str) -> float | None:
    """Return seconds, None for null. Raises TypeError."""
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise TypeError(f"{name}: seconds are expected, found {value!r}")
    return float(value)
