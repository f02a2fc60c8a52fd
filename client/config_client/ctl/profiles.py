"""Where the service is, for the command line: options, then environment variables, then a profile of a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config_client.connection import Connection
from config_client.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KNOWN = ("url", "token_file", "ca_file", "proxy")


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
        "url": (environ.get("CONFIG_URL") or "").split(",") if environ.get("CONFIG_URL") else None,
        "token_file": environ.get("CONFIG_TOKEN_FILE"),
        "ca_file": environ.get("CONFIG_CA_FILE"),
    }
    merged = {**found, **_given(named), **_given(options)}
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
    profiles = data.get("profiles", {})
    name = name or data.get("default")
    if name is None:
        return {}
    if name not in profiles:
        raise ConfigError(f"{path} has no profile {name}; it has {', '.join(sorted(profiles)) or 'none'}")
    unknown = sorted(profiles[name].keys() - set(KNOWN))
    if unknown:
        raise ConfigError(f"{path}, profile {name}: {', '.join(unknown)} is unknown; known: {', '.join(KNOWN)}")
    return dict(profiles[name])


def environment() -> Mapping[str, str]:
    """Return this process's variables."""
    return os.environ
