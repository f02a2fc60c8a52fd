"""What is said about settings: their list, and the message when one is wrong.

Pure. Never repeats a value, but for a number where one is expected.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from service.settings.descriptions import describe, describe_number


@dataclass(frozen=True, slots=True)
class SettingDoc:
    """One setting, for people. `default` is empty when there is none; `unit` when it has none.

    `without` says how to mean its absence.
    """

    name: str
    description: str
    default: str
    unit: str
    expected: str
    example: str
    secret: bool
    number: bool
    without: str

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
        number=bool(extra.get("number")),
        without=str(extra.get("without", "")) or f"or unset it{f' for the default, {default}' if default else ''}",
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


def explain(errors: Sequence[ErrorDetails], docs: Sequence[SettingDoc], environ: Mapping[str, str]) -> list[str]:
    """A line for each setting that is wrong: what was found, what was expected and an example."""
    by_name = {doc.name: doc for doc in docs}
    return [_explain(error, by_name, environ) for error in errors]


def _explain(error: ErrorDetails, docs: Mapping[str, SettingDoc], environ: Mapping[str, str]) -> str:
    reason = str(error["ctx"]["error"]) if error["type"] == "value_error" else ""
    doc = docs.get(str(error["loc"][0]).upper()) if error["loc"] else None
    if doc is None:
        return reason or error["msg"]
    because = f" ({reason})" if reason else ""
    return f"{doc.name} is {_found(doc, environ.get(doc.name, ''))}{because}; {_expected(doc)}"


def _found(doc: SettingDoc, value: str) -> str:
    if doc.secret:
        return "set to something not shown here"  # nor is its length
    return describe_number(value) if doc.number else describe(value)


def _expected(doc: SettingDoc) -> str:
    return f"expected {doc.expected}, for example {doc.name}={doc.example}"


def refuse_unusable(environ: Mapping[str, str], docs: Sequence[SettingDoc]) -> dict[str, str]:
    """By name: why a setting can't be meant as it stands, whatever it is for. Empty, or not a text at all."""
    return {doc.name: reason for doc in docs if (reason := _why_unusable(doc, environ.get(doc.name, doc.example)))}


def _why_unusable(doc: SettingDoc, value: str) -> str:
    if not value.strip():
        return (
            f"{doc.name} is set to nothing, as a template that failed would leave it; {_expected(doc)}; {doc.without}"
        )
    try:
        value.encode()
    except UnicodeEncodeError:  # Python keeps bytes that are no text as lone surrogates
        return f"{doc.name} has a byte that is not UTF-8; {_expected(doc)}"
    return ""


def misspelt(name: str, guard: str) -> str:
    """Why a variable is refused that is nearly a setting which guards something."""
    return (
        f"{name} is set, but it is not a setting of this service, and guards nothing; did you mean {guard}? "
        "Correct or unset it"
    )
