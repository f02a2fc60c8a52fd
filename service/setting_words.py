"""What is said about settings: their list, the message when one is wrong, the warning for an unknown one.

Pure. Never repeats the value of a secret.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

WATCHED_PREFIXES = ("ALLOWED_", "API_TOKEN", "CACHE_", "ETCD_")
LONGEST_FOUND = 80


@dataclass(frozen=True, slots=True)
class SettingDoc:
    """One setting, for people. `default` is empty when there is none; `unit` when it has none."""

    name: str
    description: str
    default: str
    unit: str
    expected: str
    example: str
    secret: bool

    @property
    def default_with_unit(self) -> str:
        """Such as "1.0 seconds"."""
        return f"{self.default} {self.unit}".rstrip()


def document(fields: Mapping[str, FieldInfo], secrets: Collection[str]) -> tuple[SettingDoc, ...]:
    """Every setting, in the order in which they are declared."""
    return tuple(_document(field.upper(), info, field.upper() in secrets) for field, info in fields.items())


def _document(name: str, info: FieldInfo, secret: bool) -> SettingDoc:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    default = "" if info.default in (None, (), PydanticUndefined) else _default(info.default)
    return SettingDoc(
        name=name,
        description=info.description or "",
        default=default,
        unit=str(extra.get("unit", "")),
        expected=str(extra.get("expected", "")),
        example=str(extra.get("example", "")),
        secret=secret,
    )


def _default(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def table(docs: Sequence[SettingDoc]) -> str:
    """The settings as a table in Markdown."""
    rows = [
        f"| `{doc.name}` | {f'`{doc.default}` {doc.unit}'.rstrip() if doc.default else ''} | {doc.expected} | "
        f"{doc.description}{'. Never shown' if doc.secret else ''} |"
        for doc in docs
    ]
    return "\n".join(["| setting | default | expected | what it is |", "|---|---|---|---|", *rows]) + "\n"


def explain(errors: Sequence[ErrorDetails], docs: Sequence[SettingDoc], environ: Mapping[str, str]) -> str:
    """All that is wrong in one message: per setting what was found, what was expected and an example."""
    by_name = {doc.name: doc for doc in docs}
    lines = [_explain(error, by_name, environ) for error in errors]
    return "the settings can't be used:\n" + "\n".join(lines)


def _explain(error: ErrorDetails, docs: Mapping[str, SettingDoc], environ: Mapping[str, str]) -> str:
    reason = str(error["ctx"]["error"]) if error["type"] == "value_error" else ""
    doc = docs.get(str(error["loc"][0]).upper()) if error["loc"] else None
    if doc is None:
        return f"  {reason or error['msg']}"
    because = f" ({reason})" if reason else ""
    found = _found(doc, environ)
    return f"  {doc.name} is {found}{because}; expected {doc.expected}, for example {doc.name}={doc.example}"


def _found(doc: SettingDoc, environ: Mapping[str, str]) -> str:
    value = environ.get(doc.name, "")
    if doc.secret or "@" in value or "-----BEGIN" in value:
        return "set to something not shown here"
    return repr(value if len(value) <= LONGEST_FOUND else value[:LONGEST_FOUND] + "…")


def unknown(names: Collection[str], docs: Sequence[SettingDoc]) -> tuple[str, ...]:
    """One warning for each variable that looks like a setting and is none, in order of name."""
    known = [doc.name for doc in docs]
    suspects = sorted(name for name in names if name.startswith(WATCHED_PREFIXES) and name not in known)
    return tuple(_warning(name, known) for name in suspects)


def _warning(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{name} is set, but it is not a setting of this service and has no effect{hint}"
