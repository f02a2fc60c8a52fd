"""Where the service is, for the command line: options, then environment variables, then a profile of a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from config_client.connection import Connection
from config_client.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FILES = ("token_file", "ca_file", "cert_file", "key_file")
KNOWN = ("url", *_FILES, "proxy")


def default_file(environ: Mapping[str, str]) -> Path:
    """Return where the profiles are, unless it is said."""
    home = environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()
    return Path(home) / "configctl.toml"


def connection_of(
    options: Mapping[str, Any], profile: str | None, file: Path | None, environ: Mapping[str, str]
) -> Connection:
    """Return how the service is reached. Raises ConfigError: what was looked for, where."""
    path = file or default_file(environ)
    found = _profile(path, profile or environ.get("CONFIGCTL_PROFILE"), needed=file is not None)
    named = {
        "url": [url.strip() for url in environ.get("CONFIG_URL", "").split(",") if url.strip()],
        **{name: environ.get(f"CONFIG_{name.upper()}") for name in _FILES},
    }
    merged: dict[str, Any] = {}
    for source in (found, _given(named), _given(options)):
        if "cert_file" in source:
            merged.pop("key_file", None)  # of another certificate
        merged |= source
    urls = merged.pop("url", None)
    if not urls:
        raise ConfigError(
            f"no address of the service: give --url, or set CONFIG_URL, for example http://127.0.0.1:8080, "
            f"or a profile in {path}"
        )
    if environ.get("CONFIG_TOKEN") and not options.get("token_file"):
        merged.pop("token_file", None)
        merged["token"] = environ["CONFIG_TOKEN"]
    return Connection(urls, **merged)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _profile(path: Path, name: str | None, *, needed: bool) -> dict[str, Any]:
    try:
        data = tomllib.loads(path.read_text())
    except FileNotFoundError:
        if name or needed:
            raise ConfigError(f"{path}: there is no such file, so no profile {name or ''}".rstrip()) from None
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} can't be read: {error}") from error
    _check(path, data)
    profiles = data.get("profiles", {})
    name = name or data.get("default")
    if name is None:
        return {}
    if name not in profiles:
        raise ConfigError(f"{path} has no profile {name}; it has {', '.join(sorted(profiles)) or 'none'}")
    return {each: str(Path(value).expanduser()) if each in _FILES else value for each, value in profiles[name].items()}


def _check(path: Path, data: Mapping[str, Any]) -> None:
    """Raises ConfigError for what has no meaning, and for what is of another type than it should be, in any profile."""
    _check_names(f"{path}", data, ("default", "profiles"))
    if not isinstance(data.get("default", ""), str):
        raise ConfigError(f"{path}: default: the name of a profile is expected, found {data['default']!r}")
    profiles = data.get("profiles", {})
    if not isinstance(profiles, dict):
        raise ConfigError(f"{path}: profiles: tables are expected, for example [profiles.prod], found {profiles!r}")
    for name, profile in profiles.items():
        where = f"{path}, profile {name}"
        if not isinstance(profile, dict):
            raise ConfigError(f"{where}: a table is expected, [profiles.{name}], found {profile!r}")
        _check_names(where, profile, KNOWN)
        for each, value in profile.items():
            texts = value if each == "url" and isinstance(value, list) else [value]
            if not all(isinstance(text, str) for text in texts):
                raise ConfigError(f"{where}: {each}: text is expected, found {type(value).__name__}")


def _check_names(where: str, found: Mapping[str, Any], known: Sequence[str]) -> None:
    if unknown := sorted(found.keys() - set(known)):
        raise ConfigError(f"{where}: {', '.join(unknown)} is unknown; known: {', '.join(known)}")


def environment() -> Mapping[str, str]:
    """Return this process's variables."""
    return os.environ
