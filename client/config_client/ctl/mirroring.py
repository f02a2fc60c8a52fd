"""`mirror`: the side-car for programs in any language. Files that are always whole, and a command after each change."""

from __future__ import annotations

import json
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
from config_client.ctl.application import Application, pass_application
from config_client.ctl.exits import FAILED
from config_client.ctl.following import client_of
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
        """Make the files what a snapshot has; return whether one of them is another now. Raises ConfigError, OSError.

        Each file is replaced as a whole. Templates are filled in before anything is written: one that fails changes
        nothing.
        """
        wanted = {self._directory / path_of(name): document.value for name, document in held.items()}
        documents = {name: document.json() for name, document in held.items()}
        wanted |= {target: _filled(source, documents, held.revision) for source, target in self._templates}
        written, inside = self._written(), {path for path in wanted if path.is_relative_to(self._directory)}
        if inside - written:
            self._remember(written | inside, held.revision)  # before they are: cut off, we know what is ours
        changed = written != inside
        for path, content in wanted.items():
            if not (path.is_file() and path.read_bytes() == content):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, content, self._mode)
                changed = True
        for gone in written - inside:
            gone.unlink(missing_ok=True)
        if changed:
            self._remember(inside, held.revision)
        return changed

    def _written(self) -> set[Path]:
        try:
            data = json.loads((self._directory / MARK).read_text())
            return {self._directory / name for name in data["files"] if _is_beneath(name)}
        except FileNotFoundError:
            return set()
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{self._directory / MARK} is not understood: {error!r}; remove it to go on") from error

    def _remember(self, paths: set[Path], revision: int) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        content = {"revision": revision, "files": sorted(str(path.relative_to(self._directory)) for path in paths)}
        write_whole(self._directory / MARK, json.dumps(content, indent=2).encode(), self._mode)


def _is_beneath(name: str) -> bool:
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts


def _filled(source: Path, documents: dict[str, Any], revision: int) -> bytes:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    try:
        text = environment.from_string(source.read_text()).render(config=documents, revision=revision)
    except (OSError, ValueError, jinja2.TemplateError) as error:
        raise ConfigError(f"the template {source}: {error}") from error
    return text.encode()


@click.command()
@click.argument("prefix")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--exec", "command", help="Run this after each change, for example 'kill -HUP 1'. No shell takes part.")
@click.option("--template", "templates", multiple=True, help="SOURCE:TARGET, a Jinja template that is filled in.")
@click.option("--once", is_flag=True, help="Write the files once, and end: for init containers.")
@click.option("--start-within", type=float, default=30.0, show_default=True, help="Seconds until there is something.")
@click.option("--fallback", help="File of the last known good, if the service can't be reached at the start.")
@click.option("--mode", default="644", show_default=True, help="Mode of the files.")
@pass_application
def mirror(
    application: Application,
    prefix: str,
    directory: Path,
    command: str | None,
    templates: tuple[str, ...],
    once: bool,
    start_within: float,
    fallback: str | None,
    mode: str,
) -> None:
    """Keep the documents beneath PREFIX as files in DIRECTORY, until a signal ends it.

    Files are replaced whole; what vanishes from the service vanishes here, and nothing else does. With the service
    away, the files stay as they are.
    """
    made = Mirror(directory, [_template(each) for each in templates], int(mode, 8))
    ending = Ending()
    with client_of(application, prefix, start_within=start_within, fallback=fallback) as config:
        changed = Flag(ending)
        config.on_update(changed.raise_it)
        after = _After(shlex.split(command) if command else [])
        well = _update(made, config.snapshot(), after)
        if not once:
            was_lost = False
            while ending.wait(1.0):
                state = config.state
                if isinstance(state, Lost) != was_lost:
                    was_lost = not was_lost
                    shown.say(f"the service is lost: {state.why}" if isinstance(state, Lost) else "the service is back")
                if changed.lower() or not well:
                    well = _update(made, config.snapshot(), after)
    ending.restore()
    if once and not well:
        raise SystemExit(FAILED)


class _After:
    """The command after a change. It is owed until it has succeeded: a failure is tried again."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self.is_owed = False

    def run(self) -> None:
        """Raises OSError, SubprocessError."""
        if self._command and self.is_owed:
            subprocess.run(
                self._command, check=True, timeout=COMMAND_WITHIN, stdin=subprocess.DEVNULL, stdout=sys.stderr
            )
        self.is_owed = False


def _update(made: Mirror, held: Snapshot, after: _After) -> bool:
    """Write, then run the command if something was changed; return whether all went well. What fails is tried again."""
    try:
        if made.write(held):
            after.is_owed = True
            shown.say(f"{len(held)} documents of revision {held.revision} are written")
        after.run()
    except (ConfigError, OSError, subprocess.SubprocessError, ValueError) as error:
        shown.say(f"configctl: {error}")
        return False
    return True


def _template(text: str) -> tuple[Path, Path]:
    source, _, target = text.partition(":")
    if not source or not target:
        raise ConfigError(
            f"--template {text}: SOURCE:TARGET is expected, for example nginx.conf.j2:/etc/nginx/app.conf"
        )
    return Path(source), Path(target)
