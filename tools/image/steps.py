"""Reads a Dockerfile into the steps of its stages. Executes nothing.

Docker's own parser splits the lines (PyPI's `dockerfile`). Instructions and variables that are not understood here are
refused, so that no step is left out without a word.
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import dockerfile  # type: ignore[import-not-found]

_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")


class NotUnderstood(Exception):
    """The Dockerfile has what this can't execute. The message says where, and what."""


@dataclass(frozen=True)
class Directory:
    """Makes a directory, with those around it."""

    path: str


@dataclass(frozen=True)
class Run:
    """Runs a command in the tree. user: two numbers, such as 0:0."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str
    user: str


@dataclass(frozen=True)
class Copy:
    """Copies into the tree. stage: the name of the stage that the sources are in; None: the build's context."""

    sources: tuple[str, ...]
    target: str
    stage: str | None


Step = Directory | Run | Copy


@dataclass
class Stage:
    """What a stage is made from, its steps in their order, and what its containers start with."""

    name: str
    base: str
    environment: dict[str, str]
    arguments: dict[str, str] = field(default_factory=dict)
    directory: str = "/"
    user: str = "0:0"
    steps: list[Step] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    stop_signal: str = "SIGTERM"
    health: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


def read(text: str, bases: Callable[[str], Mapping[str, str]]) -> list[Stage]:
    """The stages, in their order.

    bases: the environment that a base image of that name brings.
    Raises NotUnderstood.
    """
    before: dict[str, str] = {}  # what ARG says ahead of the first FROM
    stages: list[Stage] = []
    for line in dockerfile.parse_string(text):
        try:
            if line.cmd == "FROM":
                image = _expanded(line.value[0], before)
                name = line.value[2] if len(line.value) == 3 else str(len(stages))
                stages.append(Stage(name, image, dict(bases(image))))
            elif not stages and line.cmd == "ARG":
                before |= _arguments(line.value, {}, before)
            elif stages and line.cmd in _INSTRUCTIONS:
                _INSTRUCTIONS[line.cmd](stages[-1], line, before)
            else:
                raise NotUnderstood(f"{line.cmd} is no instruction that is executed here")
        except NotUnderstood as problem:
            raise NotUnderstood(f"line {line.start_line}, {line.original!r}: {problem}") from None
    return stages


def _expanded(value: str, variables: Mapping[str, str]) -> str:
    def known(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name not in variables:
            raise NotUnderstood(f"nothing says what {name} is")
        return variables[name]

    expanded = _VARIABLE.sub(known, value)
    if "$" in expanded:
        raise NotUnderstood("only $NAME and ${NAME} are understood")
    return "".join(shlex.split(expanded)) if any(mark in expanded for mark in "\"'\\") else expanded


def _variables(stage: Stage) -> dict[str, str]:
    return stage.arguments | stage.environment


def _arguments(values: tuple[str, ...], known: Mapping[str, str], before: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for value in values:
        name, equals, default = value.partition("=")
        if not equals and name not in before:
            raise NotUnderstood(f"nothing says what {name} is")
        found[name] = _expanded(default, known) if equals else before[name]
    return found


def _pairs(stage: Stage, line: dockerfile.Command) -> dict[str, str]:
    names, values = line.value[::2], line.value[1::2]
    known = _variables(stage)  # as it was ahead of the line
    return {name: _expanded(value, known) for name, value in zip(names, values, strict=True)}


def _exec(line: dockerfile.Command, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(values) if line.json else ("/bin/sh", "-c", *values)


def _no_flags(line: dockerfile.Command) -> None:
    if line.flags or line.heredocs:
        raise NotUnderstood(f"{' '.join(line.flags) or 'a here-document'} is not understood")


def _arg(stage: Stage, line: dockerfile.Command, before: Mapping[str, str]) -> None:
    stage.arguments |= _arguments(line.value, _variables(stage), before)


def _env(stage: Stage, line: dockerfile.Command, _: Mapping[str, str]) -> None:
    stage.environment |= _pairs(stage, line)


def _label(stage: Stage, line: dockerfile.Command, _: Mapping[str, str]) -> None:
    stage.labels |= _pairs(stage, line)


def _workdir(stage: Stage, line: dockerfile.Command, _: Mapping[str, str]) -> None:
    stage.directory = posixpath.join(stage.directory, _expanded(line.value[0], _variables(stage)))
    stage.steps.append(Directory(stage.directory))


def _user(stage: Stage, line: dockerfile.Command, _: Mapping[str, str]) -> None:
    stage.user = _expanded(line.value[0], _variables(stage))
    if not re.fullmatch(r"\d+:\d+", stage.user):
        raise NotUnderstood("only numbers are understood, of user and group: Kubernetes' runAsNonRoot takes no names")


def _run(stage: Stage, line: dockerfile.Command, _: Mapping[str, str]) -> None:
    _no_flags(line)
    stage.steps.append(Run(_exec(line, line.value), _variables(stage), stage.directory, stage.user))


def _copy(stage: Stage, line: dockerfile.Command, _: Mapping[str, str]) -> None:
    flags = dict(flag.removeprefix("--").split("=", 1) for flag in line.flags)
    origin = flags.pop("from", None)
    if flags or line.heredocs:
        raise NotUnderstood("only --from is understood")
    *sources, target = (_expanded(value, _variables(stage)) for value in line.value)
    into = posixpath.join(stage.directory, target)
    stage.steps.append(Copy(tuple(sources), into, origin))


def _expose(stage: Stage, line: dockerfile.Command, _: Mapping[str, str]) -> None:
    stage.ports += tuple(int(_expanded(value, _variables(stage))) for value in line.value)


def _stop_signal(stage: Stage, line: dockerfile.Command, _: Mapping[str, str]) -> None:
    stage.stop_signal = line.value[0]


def _health(stage: Stage, line: dockerfile.Command, _: Mapping[str, str]) -> None:
    if line.value[0] != "CMD" or not line.json:
        raise NotUnderstood(f"a health check is CMD with a list, not {json.dumps(line.value)}")
    stage.health = tuple(line.value[1:])


def _entrypoint(stage: Stage, line: dockerfile.Command, _: Mapping[str, str]) -> None:
    stage.entrypoint = _exec(line, line.value)


def _cmd(stage: Stage, line: dockerfile.Command, _: Mapping[str, str]) -> None:
    stage.command = _exec(line, line.value)


_INSTRUCTIONS: dict[str, Callable[[Stage, dockerfile.Command, Mapping[str, str]], None]] = {
    "ARG": _arg,
    "ENV": _env,
    "LABEL": _label,
    "WORKDIR": _workdir,
    "USER": _user,
    "RUN": _run,
    "COPY": _copy,
    "EXPOSE": _expose,
    "STOPSIGNAL": _stop_signal,
    "HEALTHCHECK": _health,
    "ENTRYPOINT": _entrypoint,
    "CMD": _cmd,
}
