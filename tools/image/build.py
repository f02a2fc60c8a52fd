"""Makes the trees of all stages of deploy/container/Dockerfile; says each step, and how long it took."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tools.image import base, trees
from tools.image.steps import Copy, Directory, NotUnderstood, Run, Step, read

PROJECT = Path(__file__).parents[2]
FILE = PROJECT / "deploy" / "container" / "Dockerfile"


class Failed(Exception):
    """A step can't be executed. The message says which, and what it printed."""


def ignored(file: Path = FILE) -> tuple[str, ...]:
    """The patterns of the `.dockerignore` beside the Dockerfile."""
    lines = file.with_name(f"{file.name}.dockerignore").read_text(encoding="utf-8").splitlines()
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def build(context: Path, directory: Path, kept: Path, say: Callable[[str], None], file: Path = FILE) -> Path:
    """Where the tree of the last stage is: below the directory. context: what is copied from; kept: for archives.

    Raises Failed.
    """
    done: dict[str, Path] = {}
    try:
        stages = read(file.read_text(encoding="utf-8"), base.environment)
        for stage in stages:
            root = directory / stage.name
            root.mkdir(parents=True)
            say(trees.summary(stage))
            began = time.monotonic()
            told = base.tree(stage.base, kept, root)
            say(f"  {time.monotonic() - began:6.1f} s  {stage.base} is stood in for: {told}")
            for step in stage.steps:
                began = time.monotonic()
                trees.execute(step, root, context, ignored(file), done)
                say(f"  {time.monotonic() - began:6.1f} s  {_words(step)}")
            trees.prepared(root)
            done[stage.name] = root
    except NotUnderstood as problem:
        raise Failed(str(problem)) from None
    except subprocess.CalledProcessError as error:
        raise Failed(f"{error.cmd[-1]}: exit code {error.returncode}; it printed:\n{error.stdout or ''}") from None
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{error.cmd[-1]}: no end within {error.timeout:.0f} s") from None
    return done[stages[-1].name]


def _words(step: Step) -> str:
    match step:
        case Directory(path):
            return f"WORKDIR {path}"
        case Run(command):
            return f"RUN {' '.join(command[-1].split())}"
        case Copy(sources, target, stage):
            return f"COPY {f'--from={stage} ' if stage else ''}{' '.join(sources)} {target}"
