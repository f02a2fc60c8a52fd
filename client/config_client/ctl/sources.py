"""Documents from folders and from what other tools export. Reads files; sends nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from config_client.ctl.paths import SUFFIX, YAML_SUFFIXES, name_of, path_of
from config_client.ctl.planning import Wanted
from config_client.errors import ConfigError
from config_client.files import write_whole

READABLE = 0o644


def from_folder(folder: Path, prefix: str) -> dict[str, Wanted]:
    """Return the documents of a folder, by key; other files are passed over. Raises ConfigError, which names one."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: a folder is expected, found {'a file' if folder.exists() else 'nothing'}")
    found: dict[str, Wanted] = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix not in (SUFFIX, *YAML_SUFFIXES) or not file.is_file():
            continue
        try:
            key = prefix + name_of(PurePosixPath(file.relative_to(folder).as_posix()))
        except ValueError as error:
            raise ConfigError(f"{file}: this name is none that export writes: {error}") from error
        if key in found:
            raise ConfigError(f"{file}: another file is the document {key}, too")
        found[key] = _document(file)
    return found


def to_folder(folder: Path, documents: Mapping[str, bytes], *, mode: int = READABLE) -> None:
    """Write documents, by name, each file whole or not at all. Raises ConfigError, OSError."""
    for name, value in documents.items():
        path = folder / path_of(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not (path.is_file() and path.read_bytes() == value):
            write_whole(path, value, mode)


def others(folder: Path, names: Collection[str]) -> Iterator[Path]:
    """Yield the files that `from_folder` would take, and that are none of these documents."""
    ours = {folder / path_of(name) for name in names}
    for file in sorted(folder.rglob("*")):
        if file.suffix in (SUFFIX, *YAML_SUFFIXES) and file not in ours and file.is_file():
            yield file


def from_consul(content: bytes, prefix: str, strip: str, *, text: bool) -> dict[str, Wanted]:
    """Return what `consul kv export` has written."""
    entries = _parsed(content, "an array, as `consul kv export` writes it", list)
    return _taken(((each["key"], each["value"]) for each in entries), prefix, strip, text=text)


def from_etcd(content: bytes, prefix: str, strip: str, *, text: bool) -> dict[str, Wanted]:
    """Return what `etcdctl get --prefix -w json` has written."""
    entries = _parsed(content, "an object, as `etcdctl get -w json` writes it", dict).get("kvs", [])
    pairs = ((base64.b64decode(each["key"]).decode(), each.get("value", "")) for each in entries)
    return _taken(pairs, prefix, strip, text=text)


def _taken(pairs: Any, prefix: str, strip: str, *, text: bool) -> dict[str, Wanted]:
    found: dict[str, Wanted] = {}
    bad: list[str] = []
    for key, encoded in pairs:
        if key.endswith("/") and not encoded:
            continue  # Consul's folders
        if not key.startswith(strip):
            raise ConfigError(f"{key} does not begin with {strip!r}, which is to be stripped")
        value = base64.b64decode(encoded, validate=True)
        if not is_json(value):
            if not text:
                bad.append(key)
                continue
            try:
                value = json.dumps(value.decode(), ensure_ascii=False).encode()
            except UnicodeDecodeError as error:
                raise ConfigError(f"{key}: the value is no text, found {value[error.start :][:4]!r}") from error
        found[prefix + key.removeprefix(strip)] = Wanted(value)
    if bad:
        raise ConfigError(
            f"no JSON: {', '.join(bad[:10])}{' and more' * (len(bad) > 10)}; --text takes them as strings"
        )
    return found


def is_json(value: bytes) -> bool:
    """Whether the service takes it: JSON in UTF-8, without a mark before it, without NaN and Infinity."""
    try:
        json.loads(value.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _parsed(content: bytes, expected: str, kind: type) -> Any:
    try:
        data = json.loads(content)
    except ValueError as error:
        raise ConfigError(f"{expected} is expected: {error}") from error
    if not isinstance(data, kind):
        raise ConfigError(f"{expected} is expected, found {type(data).__name__}")
    return data


def _document(file: Path) -> Wanted:
    content = file.read_bytes()
    if file.suffix == SUFFIX:
        if not is_json(content):
            raise ConfigError(f"{file}: it is no JSON")
        return Wanted(content)
    try:
        value = yaml.load(content, _Loader)
        return Wanted(json.dumps(value, ensure_ascii=False, allow_nan=False).encode(), is_meant=True)
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: it is no YAML that is JSON, too: {error}") from error


class _Loader(yaml.SafeLoader):
    """Refuses what YAML would make something else of, or lose: names that are no text (`on`, 8), and a name twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Raises YAMLError. What is merged with `<<` may be there twice: that is what it is for."""
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(problem=f"{key!r} is no text: quote it", problem_mark=key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"{key!r} is there twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)
