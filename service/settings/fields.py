"""The kinds of settings: how a text of the environment is read, and what the tables and messages say of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretBytes
from pydantic.config import JsonDict

from service.auth.tokens import Token
from service.settings import values as setting_values
from service.settings.pem_sources import PemSource, pem_source


def text(default: str | None, description: str, expected: str, example: str, *, without: str = "", **more: Any) -> Any:
    """A field that is a text. without: what it means that there is none."""
    extra: JsonDict = {"expected": expected, "example": example, "without": without}
    return Field(default, description=description, json_schema_extra=extra, **more)


def number(default: float, unit: str, description: str, low: float, high: float, example: str = "") -> Any:
    """A field that is a number of so many units, whole if its default is."""
    kind = "a whole number" if isinstance(default, int) else "a number"
    extra: JsonDict = {
        "expected": f"{kind} from {low} to {high} {unit}".rstrip(),
        "example": example or f"{default}",
        "unit": unit,
        "number": True,
    }
    return Field(default, description=description, json_schema_extra=extra, ge=low, le=high)


def flag(default: bool, description: str) -> Any:
    """A field that is true or false."""
    extra: JsonDict = {"expected": "true or false", "example": str(not default).lower()}
    return Field(default, description=description, json_schema_extra=extra)


Pem = Annotated[bytes | None, BeforeValidator(setting_values.pem)]
SecretPem = Annotated[SecretBytes | None, BeforeValidator(setting_values.pem)]
PemAgain = Annotated[PemSource | None, BeforeValidator(pem_source)]
CertificateName = Annotated[str | None, BeforeValidator(setting_values.certificate_name)]
JsonObject = Annotated[Mapping[str, Any] | None, BeforeValidator(setting_values.json_object)]
LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(lambda text: str(text).strip().upper())
]
Tokens = Annotated[tuple[Token, ...], BeforeValidator(setting_values.tokens)]
HostNames = Annotated[tuple[str, ...], BeforeValidator(setting_values.host_names)]
Reachable = Annotated[str | None, BeforeValidator(setting_values.advertised)]
KeyPrefix = Annotated[str, BeforeValidator(setting_values.key_prefix)]
Workers = Annotated[int, BeforeValidator(setting_values.workers)]
