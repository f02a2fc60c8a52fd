"""Names of documents as paths of files, and back: each name has one path, and no two have the same. Pure.

`limits/api` is the file `limits/api.json`. What would clash or not fit is written with a percent sign: `%` itself, the
dot of a folder that ends with `.json`, and what is longer than a file's name may be, which goes on in a folder.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import unquote

SUFFIX = ".json"
YAML_SUFFIXES = (".yaml", ".yml")
_MOST = 120
"""Characters of a name in one piece: with four bytes each, and a suffix, less than a file's name may have."""
_GOES_ON = "%-"


def path_of(name: str) -> PurePosixPath:
    """Return the path of a document, relative to its folder. Raises ValueError for a name that would lead out of it."""
    if any(each in ("", ".", "..") for each in name.split("/")) or "\0" in name:
        raise ValueError(f"{name!r} can't be the name of a file")
    *folders, last = name.replace("%", "%25").split("/")
    pieces = [piece for folder in folders for piece in _cut(_guarded(folder))]
    *more, last = _cut(last)
    return PurePosixPath(*pieces, *more, last + SUFFIX)


def name_of(path: PurePosixPath) -> str:
    """Return the name of the document in a file, whatever its suffix. Raises ValueError for one that none has."""
    text = "/".join([*path.parts[:-1], path.name.removesuffix(path.suffix)]).replace(_GOES_ON + "/", "")
    if bad := re.search("%(?![0-9A-Fa-f]{2})", text):
        raise ValueError(f"a % has two hexadecimal digits after it, found {text[bad.start() :][:3]!r}")
    return unquote(text, errors="strict")


def _guarded(folder: str) -> str:
    for suffix in (SUFFIX, *YAML_SUFFIXES):
        if folder.endswith(suffix):
            return f"{folder.removesuffix(suffix)}%2E{suffix[1:]}"
    return f"{folder[:-1]}%2E" if folder.endswith(".") else folder


def _cut(text: str) -> list[str]:
    if len(text.encode()) <= 2 * _MOST:
        return [text]
    pieces, start = [], 0
    while start < len(text):
        end = min(len(text), start + _MOST // 3)
        pieces.append(text[start:end])
        start = end
    return [*(piece + _GOES_ON for piece in pieces[:-1]), pieces[-1]]
