"""What `kubectl kustomize` makes of deploy/kubernetes, as far as that is used there. Any other word is refused.

Owns four words: `resources`, `namespace`, `patches` with a path, and in a patch `$patch: delete`. Where kubectl is, a
test compares.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

KNOWN = {"apiVersion", "kind", "resources", "namespace", "patches"}

KEYS = {
    "volumeMounts": ("mountPath",),
    "ports": ("containerPort", "port"),  # of a container, of a Service
    "topologySpreadConstraints": ("topologyKey",),
}
"""By which member the parts of a list are the same one, where it is not `name`: Kubernetes' patchMergeKey."""

OTHERS = ("monitoring.coreos.com/", "cert-manager.io/")
"""Groups of kinds that are not Kubernetes' own, of whose lists it knows no such member: a patch replaces them."""


def documents(file: Path) -> list[Object]:
    """The objects of a file."""
    return [each for each in yaml.safe_load_all(file.read_text(encoding="utf-8")) if each]


def rendered(folder: Path) -> list[Object]:
    """The objects that a folder stands for. Raises ValueError for what is not understood here."""
    (asked,) = documents(folder / "kustomization.yaml")
    if unknown := set(asked) - KNOWN:
        raise ValueError(f"{folder}: {unknown} is not understood here")
    found: list[Object] = []
    for name in asked.get("resources", []):
        there = folder / name
        found += rendered(there) if there.is_dir() else documents(there)
    for patch in asked.get("patches", []):
        (change,) = documents(folder / patch["path"])
        (place,) = (number for number, each in enumerate(found) if identity(each) == identity(change))
        found[place] = merged(found[place], change, lists=not found[place]["apiVersion"].startswith(OTHERS))
    if namespace := asked.get("namespace"):
        found = [{**each, "metadata": {**each["metadata"], "namespace": namespace}} for each in found]
    return found


def identity(thing: Object) -> tuple[str, str]:
    """Kind and name."""
    return thing["kind"], thing["metadata"]["name"]


def merged(there: Any, change: Any, name: str = "", *, lists: bool = True) -> Any:
    """A strategic merge: members by name, lists of objects by their key unless not lists, anything else is replaced."""
    if isinstance(there, dict) and isinstance(change, dict):
        return there | {key: merged(there.get(key), value, key, lists=lists) for key, value in change.items()}
    if (
        lists
        and isinstance(there, list)
        and there
        and isinstance(change, list)
        and all(isinstance(each, dict) for each in change)
    ):
        (key, *_) = (each for each in KEYS.get(name, ("name",)) if each in there[0])
        old = {each[key]: each for each in there}
        new = {each[key]: merged(old.get(each[key]), each) for each in change}
        return [each for each in (old | new).values() if each.get("$patch") != "delete"]
    return change
