"""Executes the steps of a stage in a directory that becomes its file system. Needs root, on Linux.

Owns no files but those in the directory. Commands run in namespaces of their own, and end with this process. They reach
the package index as this machine does: by its proxies, its settings of pip (`PIP_…`) and the certificates that it
trusts. These are there for the step, and not afterwards.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import assert_never

from tools.image.steps import Copy, Directory, NotUnderstood, Run, Stage, Step

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
STEP_WITHIN = 900.0
"""Seconds for one command: packages come over the network."""

# $1: the tree; $2: user and group; $3: where the command runs.
_WITHIN = f"""
set -e
root=$1 user=$2 directory=$3
shift 3
for file in /etc/resolv.conf /etc/hosts {CERTIFICATES}; do
    [ -e "$file" ] && [ -e "$root$file" ] && mount --bind "$file" "$root$file"
done
mount -t proc proc "$root/proc"
exec chroot --userspec="$user" "$root" env -C "$directory" "$@"
"""


def run_within(
    root: Path, command: tuple[str, ...], environment: Mapping[str, str], directory: str = "/", user: str = "0:0"
) -> str:
    """Runs a command in the tree; what it printed.

    Raises CalledProcessError, with what it printed, and TimeoutExpired.
    """
    reaching = {
        name: value
        for name, value in os.environ.items()
        if name.lower().endswith("_proxy") or (name.startswith("PIP_") and not value.startswith("/opt/"))
    }
    namespaces = ["unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--propagation", "private"]
    done = subprocess.run(
        [*namespaces, "sh", "-c", _WITHIN, "sh", root, user, directory, *command],
        env={"PATH": os.environ["PATH"], **reaching, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=STEP_WITHIN,
        check=True,
    )
    return done.stdout


def execute(step: Step, root: Path, context: Path, ignored: tuple[str, ...], stages: Mapping[str, Path]) -> str:
    """Does it; what it printed.

    context: what the build is given. ignored: patterns of `.dockerignore`. stages: the trees of those that are done.
    Raises CalledProcessError, TimeoutExpired, NotUnderstood.
    """
    match step:
        case Directory():
            _at(root, step.path).mkdir(parents=True, exist_ok=True)
            return ""
        case Run():
            return run_within(root, step.command, step.environment, step.directory, step.user)
        case Copy():
            return _copy(step, root, context, ignored, stages)
        case _:
            assert_never(step)


def prepared(root: Path) -> None:
    """Makes the files over which a container's runtime mounts those of the container."""
    for name in ("resolv.conf", "hosts", "hostname"):
        (root / "etc" / name).touch()


def is_ignored(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether the context is given without that path: the last pattern that fits decides; `!` takes back."""
    ignored = False
    for pattern in patterns:
        bare = pattern.removeprefix("!").strip("/")
        parts = path.split("/")
        if any(fnmatch.fnmatchcase("/".join(parts[:count]), bare) for count in range(1, len(parts) + 1)):
            ignored = not pattern.startswith("!")
    return ignored


def summary(stage: Stage) -> str:
    """What it is in one line."""
    return f"stage {stage.name}, from {stage.base}, {len(stage.steps)} steps"


def _at(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _copy(step: Copy, root: Path, context: Path, ignored: tuple[str, ...], stages: Mapping[str, Path]) -> str:
    if step.stage is None:
        origin = context
    elif step.stage in stages:
        origin = stages[step.stage]
    else:
        raise NotUnderstood(f"there is no stage {step.stage} before")
    found: list[Path] = []
    for source in step.sources:
        matching = sorted(origin.glob(source.lstrip("/")))
        if step.stage is None:
            matching = [each for each in matching if not is_ignored(str(each.relative_to(origin)), ignored)]
        if not matching:
            raise NotUnderstood(f"there is no {source} in {step.stage or 'the context'}")
        found += matching
    target = _at(root, step.target)
    if len(found) > 1 and not step.target.endswith("/"):
        raise NotUnderstood(f"{len(found)} files match; then the target has to end with a slash")
    for each in found:
        if each.is_dir():
            shutil.copytree(each, target, symlinks=True, dirs_exist_ok=True)
            continue
        place = target / each.name if step.target.endswith("/") else target
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(each, place)
        os.chown(place, 0, 0)
    return "".join(f"{each.relative_to(origin)}\n" for each in found)
