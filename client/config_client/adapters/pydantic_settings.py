"""pydantic-settings: documents as a source of settings, beside the environment and files."""

from __future__ import annotations

from typing import Any

from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from config_client.base import Reading
from config_client.memory import Snapshot


class ConfigSource(PydanticBaseSettingsSource):
    """The documents of a started client, each for the field of its name (or alias); all of one revision.

    class Settings(BaseSettings):
        limits: Limits

        @classmethod
        def settings_customise_sources(cls, settings_cls, init_settings, env_settings, **others):
            return init_settings, env_settings, ConfigSource(settings_cls, config)

    Settings() reads what memory has then; make them anew when `on_update` tells of a change.
    """

    def __init__(self, settings_cls: type[BaseSettings], config: Reading) -> None:
        super().__init__(settings_cls)
        self._config = config
        self._snapshot: Snapshot | None = None

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the document for a field, None if there is none; its name; and False: it is a value already."""
        snapshot = self._config.snapshot() if self._snapshot is None else self._snapshot
        names = _names(field, field_name)
        name = next((each for each in names if each in snapshot), names[0])
        return (snapshot[name].json() if name in snapshot else None), name, False

    def __call__(self) -> dict[str, Any]:
        """Return the documents that there are for fields. Raises Closed."""
        self._snapshot = snapshot = self._config.snapshot()
        found = (self.get_field_value(*field) for field in _fields(self.settings_cls))
        return {name: value for value, name, _ in found if name in snapshot}


def _fields(settings_cls: type[BaseSettings]) -> list[tuple[FieldInfo, str]]:
    return [(field, name) for name, field in settings_cls.model_fields.items()]


def _names(field: FieldInfo, field_name: str) -> list[str]:
    """What a field may be called. A path into another document is none of that."""
    alias = field.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return [each for each in choices if isinstance(each, str)] or [field_name]
