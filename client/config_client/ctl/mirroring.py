"""`mirror`: the side-car for programs in any language. Files that are always whole, and a command after each change."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import jinja2

from config_client.core.model import Lost
from config_client.ctl import shown
from config_client.ctl.application import Application, Seconds, pass_application, slashed
from config_client.ctl.exits import FAILED
from config_client.ctl.following import following
from config_client.ctl.paths import path_of
from config_client.ctl.supervising import Ending, Flag
from config_client.errors import ConfigError
from config_client.files import write_whole
from config_client.memory import Snapshot

MARK = ".configctl%mirror"
"""What we have written, and at which revision: so that nothing else is ever deleted. No document has such a path."""

COMMAND_WITHIN = 60.0
"""Seconds that the command after a change may take."""


class Mirror:
    """The documents of a snapshot as files beneath a directory, and templates that are filled in with them."""

    def __init__(self, directory: Path, templates: Sequence[tuple[Path, Path]], mode: int) -> None:
        self._directory = directory
        self._templates = templates
        self._mode = mode

    def write(self, held: Snapshot) -> bool:
        """Make the files what a snapshot has; return whether one of them was another. Raises ConfigError, OSError.

        Each file is replaced as a whole. Templates are filled in before anything is written: one that fails changes
        nothing. Until `done` is called the command is owed, by whoever goes on after us, too: 1. files are written;
        2. we are killed; 3. whoever is started anew finds all files as they should be, and would run nothing.
        """
        wanted = {self._directory / path_of(name): document.value for name, document in held.items()}
        wanted |= self._from_templates(held)
        self._directory.mkdir(parents=True, exist_ok=True)
        written, inside = self._written(), {path for path in wanted if path.is_relative_to(self._directory)}
        changed = {path: content for path, content in wanted.items() if not _has(path, content)}
        if not changed and written == inside:
            return False
        self._remember(written | inside, held.revision, is_owed=True)  # before they are: cut off, we know what is ours
        for path, content in changed.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content, self._mode)
        for gone in written - inside:
            gone.unlink(missing_ok=True)
        self._remember(inside, held.revision, is_owed=True)
        return True

    def _from_templates(self, held: Snapshot) -> dict[Path, bytes]:
        if not self._templates:
            return {}
        documents = {}
        for name, document in held.items():
            try:
                documents[name] = document.json()
            except ValueError as error:
                raise ConfigError(f"{name} is no JSON, and templates need all of it: {error}") from error
        return {target: _filled(source, documents, held.revision) for source, target in self._templates}

    @property
    def is_owed(self) -> bool:
        """Whether files were written, and `done` was not called since."""
        return bool(self._mark().get("is_owed", False))

    def done(self) -> None:
        """The command after a change has succeeded."""
        if self.is_owed:
            self._remember(self._written(), self._mark().get("revision", 0), is_owed=False)

    def _written(self) -> set[Path]:
        return {self._directory / name for name in self._mark()["files"] if _is_beneath(name)}

    def _mark(self) -> dict[str, Any]:
        try:
            data = json.loads((self._directory / MARK).read_text())
            if not all(isinstance(name, str) for name in data["files"]):
                raise TypeError("files: names are expected")
        except FileNotFoundError:
            return {"files": []}
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{self._directory / MARK} is not understood: {error!r}; remove it to go on") from error
        return dict(data)

    def _remember(self, paths: set[Path], revision: int, *, is_owed: bool) -> None:
        files = sorted(str(path.relative_to(self._directory)) for path in paths)
        content = {"revision": revision, "is_owed": is_owed, "files": files}
        write_whole(self._directory / MARK, json.dumps(content, indent=2).encode(), self._mode)


def _has(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _is_beneath(name: str) -> bool:
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts


def _filled(source: Path, documents: dict[str, Any], revision: int) -> bytes:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    try:
        text = environment.from_string(source.read_text()).render(config=documents, revision=revision)
    except Exception as error:  # a template computes, and may raise anything
        raise ConfigError(f"the template {source}: {str(error) or type(error).__name__}") from error
    return text.encode()


def _mode(context: click.Context, param: click.Parameter, value: str) -> int:
    if not re.fullmatch("0?[4-7][0-7]{2}", value):
        raise click.BadParameter(f"octal digits are expected, for example 640, found {value!r}", context, param)
    return int(value, 8)


def _command(context: click.Context, param: click.Parameter, value: str | None) -> list[str]:
    try:
        words = [] if value is None else shlex.split(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no command: {error}", context, param) from error
    if value is not None and not words:
        raise click.BadParameter("a command is expected, found nothing", context, param)
    return words


@click.command()
@click.argument("prefix")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--exec",
    "command",
    callback=_command,
    help="Run this after each change, for example 'kill -HUP 1'. No shell takes part.",
)
@click.option("--template", "templates", multiple=True, help="SOURCE:TARGET, a Jinja template that is filled in.")
@click.option("--once", is_flag=True, help="Write the files once, and end: for init containers.")
@click.option(
    "--start-within", type=Seconds(), default=30.0, show_default=True, help="Seconds until there is something."
)
@click.option("--fallback", help="File of the last known good, if the service can't be reached at the start.")
@click.option("--mode", default="644", show_default=True, callback=_mode, help="Mode of the files.")
@pass_application
def mirror(
    application: Application,
    prefix: str,
    directory: Path,
    command: list[str],
    templates: tuple[str, ...],
    once: bool,
    start_within: float,
    fallback: str | None,
    mode: int,
) -> None:
    """Keep the documents beneath PREFIX as files in DIRECTORY, until a signal ends it.

    Files are replaced whole; what vanishes from the service vanishes here, and nothing else does. With the service
    away, the files stay as they are.
    """
    made = Mirror(directory, [_template(each) for each in templates], mode)
    ending = Ending()
    with following(application, slashed(prefix), ending, start_within=start_within, fallback=fallback) as config:
        changed = Flag(ending)
        config.on_update(changed.raise_it)
        update = _Update(made, command)
        well = update.try_it(config.snapshot())
        if not once:
            was_lost = False
            while ending.wait(1.0):
                state = config.state
                if isinstance(state, Lost) != was_lost:
                    was_lost = not was_lost
                    shown.say(f"the service is lost: {state.why}" if isinstance(state, Lost) else "the service is back")
                if changed.lower() or not well:
                    well = update.try_it(config.snapshot())
    ending.restore()
    if once and not well:
        raise SystemExit(FAILED)


class _Update:
    """Files, then the command if one of them has changed. What fails is tried again, and told once for each reason."""

    def __init__(self, made: Mirror, command: Sequence[str]) -> None:
        self._made = made
        self._command = command
        self._told = ""

    def try_it(self, held: Snapshot) -> bool:
        """Return whether all went well."""
        try:
            if self._made.write(held):
                shown.say(f"{len(held)} documents of revision {held.revision} are written")
            if self._made.is_owed:
                self._run()
                self._made.done()
        except (ConfigError, OSError, subprocess.SubprocessError, ValueError) as error:
            if str(error) != self._told:
                self._told = str(error)
                shown.say(f"configctl: {error}")
            return False
        if self._told:
            self._told = ""
            shown.say("all is well again")
        return True

    def _run(self) -> None:
        if self._command:
            subprocess.run(
                self._command, check=True, timeout=COMMAND_WITHIN, stdin=subprocess.DEVNULL, stdout=sys.stderr
            )


def _template(text: str) -> tuple[Path, Path]:
    source, _, target = text.partition(":")
    if not source or not target:
        raise ConfigError(
            f"--template {text}: SOURCE:TARGET is expected, for example nginx.conf.j2:/etc/nginx/app.conf"
        )
    return Path(source), Path(target)
