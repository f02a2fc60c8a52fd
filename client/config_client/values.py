"""From documents to values and back: JSON, or any type that pydantic can read."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

from config_client.errors import ConfigError

Reader = Callable[[bytes], Any]


@functools.lru_cache(maxsize=1024)
def reader_of(kind: Any) -> Reader:
    """Return what makes a value of a document; None stands for JSON. Raises ConfigError where pydantic is missing.

    What it returns raises ValueError for a document that is none of that kind.
    """
    if kind is None:
        return json.loads
    try:
        from pydantic import TypeAdapter, ValidationError
    except ImportError as error:
        raise ConfigError("types need pydantic: pip install 'config-service-client[pydantic]'") from error
    adapter = TypeAdapter(kind)

    def read(value: bytes) -> Any:
        try:
            return adapter.validate_json(value)
        except ValidationError as error:
            # Without what was found: it may be a secret, and messages are logged.
            found = error.errors(include_input=False, include_url=False, include_context=False)
            said = ("; ".join(f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg']}" for each in found))[:2000]
            raise ValueError(said) from None

    return read


def encoded(value: Any) -> bytes:
    """Return a document: bytes as they are, pydantic's models as they say it, anything else as JSON.

    Raises TypeError or ValueError for what JSON can't say.
    """
    if isinstance(value, bytes):
        return value
    if callable(dump := getattr(value, "model_dump_json", None)):
        return str(dump()).encode()
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
