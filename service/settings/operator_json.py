"""JSON that an operator wrote, in a setting or in a file. A reason for refusing it never repeats what stands there."""

from __future__ import annotations

import json
from typing import Any

from service.json_text import NotJson


def json_value(text: str | bytes) -> Any:
    """The value. Raises ValueError, saying where the text breaks."""
    try:
        return json.loads(text, object_pairs_hook=_distinct)
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except NotJson:
        raise
    except ValueError:  # Python converts no longer ones
        raise ValueError("it holds a number of thousands of digits") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise NotJson("a name is given twice in one object")  # not said which: it may be next to a secret
    return members
