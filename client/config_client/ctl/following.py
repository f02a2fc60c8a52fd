"""Commands that follow changes: watch, wait, run."""

from __future__ import annotations

import json
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from config_client.blocking import ConfigClient
from config_client.changes import Change
from config_client.core.model import Author, Document
from config_client.ctl import exits, shown
from config_client.ctl.application import Application, Seconds, pass_application, slashed
from config_client.ctl.supervising import Ending, Flag, Program
from config_client.errors import ConfigError
from config_client.memory import Snapshot


@click.command()
@click.argument("prefix", default="")
@click.option("--initial", is_flag=True, help="First a line for each document that there is.")
@pass_application
def watch(application: Application, prefix: str, initial: bool) -> None:
    """Print a line for each change beneath PREFIX, until it is interrupted. It resumes by itself, and loses nothing."""
    ending = Ending()
    closed: list[OSError] = []
    with following(application, prefix, ending) as config:
        begun = threading.Event()

        def tell(changes: list[Change]) -> None:
            begun.wait()
            try:
                for change in changes:
                    if change.revision > held.revision and not closed:
                        _print_change(change, prefix, application.form)
            except OSError as error:  # whoever reads has gone
                closed.append(error)
                ending.wake()

        config.on_update(tell)  # before the look at what there is: nothing is to be lost between the two
        held = config.snapshot()
        for name, document in held.items() if initial else ():
            _print_change(Change(name, None, document, held.revision), prefix, application.form)
        shown.say(f"following {prefix or 'all keys'} from revision {held.revision} on")
        begun.set()
        state = ""
        while ending.wait(1.0) and not closed:
            now = type(config.state).__name__
            if now != state and state:
                shown.say(f"{now.lower()}: {config.state}")
            state = now
    ending.restore()
    if closed:
        raise closed[0]


def _print_change(change: Change, prefix: str, form: str) -> None:
    now = change.now
    if form == "table":
        value = "" if now is None else " " + _in_one_line(now)
        click.echo(f"{change.revision} {'put' if now else 'delete'} {prefix}{change.name}{value}{_by(change.author)}")
    else:
        found: dict[str, Any] = {"revision": change.revision, "op": "put" if now else "delete"}
        found["key"] = prefix + change.name
        if now is not None:
            found |= {"mod_revision": now.mod_revision, "value": now.value.decode("utf-8", "replace")}
        found |= {name: text for name, text in (("by", change.author.by), ("why", change.author.why)) if text}
        if form == "yaml":
            click.echo("---")
            shown.document(found, form)
        else:
            click.echo(json.dumps(found, ensure_ascii=False))
    sys.stdout.flush()


def _by(author: Author) -> str:
    by = f"  by {author.by}" if author.by else ""
    return f"{by}  because: {author.why}" if author.why else by


def _in_one_line(document: Document) -> str:
    text = document.value.decode("utf-8", "replace")
    return text if "\n" not in text and "\r" not in text else json.dumps(document.json(), ensure_ascii=False)


@click.command("wait")
@click.argument("key")
@click.option("--until", default="exists", show_default=True, help="exists, absent, changed, or equals=JSON.")
@click.option(
    "--timeout", type=Seconds(), default=60.0, show_default=True, help="Seconds; exit code 8 when they are over."
)
@pass_application
def wait_until(application: Application, key: str, until: str, timeout: float) -> None:
    """Wait until KEY is as it should be; print its document, if there is one."""
    _condition(until, None)  # is it one?
    ending = Ending()
    until_then = time.monotonic() + timeout
    with following(application, key, ending, start_within=max(timeout, 5.0)) as config:
        holds = _condition(until, config.snapshot().get(""))
        listener = config.on_change("", lambda _: ending.wake())
        while not holds(found := config.snapshot().get("")):
            left = until_then - time.monotonic()
            if left <= 0:
                shown.say(f"{key} is not {until} within {timeout:g} s; it is {'there' if found else 'absent'}")
                raise SystemExit(exits.TIMED_OUT)
            if not ending.wait(left):
                raise SystemExit(exits.INTERRUPTED)
        listener.close()
    ending.restore()
    if found is not None:
        click.echo(found.value.decode("utf-8", "replace"))


def _condition(until: str, before: Document | None) -> Callable[[Document | None], bool]:
    name, _, wanted = until.partition("=")
    if name == "equals" and wanted:
        try:
            value = json.loads(wanted)
        except ValueError as error:
            raise ConfigError(f"--until {until}: JSON is expected after equals=: {error}") from error
        return lambda document: document is not None and _is_same(document.json(), value)
    conditions: dict[str, Callable[[Document | None], bool]] = {
        "exists": lambda document: document is not None,
        "absent": lambda document: document is None,
        "changed": lambda document: document != before,
    }
    if until not in conditions:
        raise ConfigError(f"--until {until}: expected exists, absent, changed or equals=JSON")
    return conditions[until]


def _is_same(one: Any, other: Any) -> bool:
    """Whether two JSON values are one: as numbers are compared, but for true and 1, which Python takes for one."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


@click.command("run", context_settings={"ignore_unknown_options": True})
@click.argument("prefix")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--on-change", "on_change", default="restart", show_default=True, help="restart, ignore, or signal=HUP.")
@click.option("--env-prefix", default="", help="What the variables' names begin with.")
@click.option(
    "--start-within", type=Seconds(), default=30.0, show_default=True, help="Seconds until there is something."
)
@click.option("--end-within", type=Seconds(), default=10.0, show_default=True, help="Seconds until it is killed.")
@click.option("--fallback", help="File of the last known good.")
@pass_application
def run_command(
    application: Application,
    prefix: str,
    command: tuple[str, ...],
    on_change: str,
    env_prefix: str,
    start_within: float,
    end_within: float,
    fallback: str | None,
) -> None:
    """Run COMMAND with the documents beneath PREFIX in its environment: `run team/app/ -- gunicorn app:app`.

    `limits/api` becomes LIMITS_API: a JSON string without its quotes, anything else as JSON. The command gets our
    SIGTERM and SIGINT, and we end as it ends.
    """
    number = _signal_of(on_change)
    ending = Ending()
    with following(application, slashed(prefix), ending, start_within=start_within, fallback=fallback) as config:
        changed = Flag(ending)
        config.on_update(changed.raise_it)
        program = Program(command, ending, end_within)
        has = _variables(config.snapshot(), env_prefix)
        program.start(has)
        while program.code is None:
            if not ending.wait():
                raise SystemExit(program.end(ending.signal or signal.SIGTERM))
            if not changed.lower() or program.code is not None:
                continue
            wanted = _next_variables(config.snapshot(), env_prefix, has)
            if wanted == has:
                continue
            if on_change == "restart":
                shown.say(f"{prefix} has changed at revision {config.revision}: {command[0]} is restarted")
                program.end()
                program.start(wanted)
            elif number is not None:
                program.send(number)
            has = wanted
    raise SystemExit(program.code)


def _next_variables(held: Snapshot, env_prefix: str, has: dict[str, str]) -> dict[str, str]:
    """The variables now; those of before, where these can't be variables: the program goes on with what it has."""
    try:
        return _variables(held, env_prefix)
    except ConfigError as error:
        shown.say(f"configctl: {error}; nothing is changed at revision {held.revision}")
        return has


def _signal_of(on_change: str) -> int | None:
    if on_change in ("restart", "ignore"):
        return None
    name = on_change.removeprefix("signal=")
    try:
        return signal.Signals[f"SIG{name.removeprefix('SIG')}"]
    except KeyError:
        raise ConfigError(f"--on-change {on_change}: expected restart, ignore, or for example signal=HUP") from None


def _variables(held: Snapshot, env_prefix: str) -> dict[str, str]:
    """The documents as environment variables. Raises ConfigError for two that would have one name, and for a NUL."""
    found: dict[str, str] = {}
    names: dict[str, str] = {}
    for name, document in held.items():
        variable = env_prefix + re.sub(r"[^A-Za-z0-9]", "_", name).upper()
        if variable in found:
            raise ConfigError(f"{name} and {names[variable]} would both be {variable}")
        value = document.json()
        text = value if isinstance(value, str) else document.value.decode("utf-8", "replace")
        if "\0" in text:
            raise ConfigError(f"{name} has a NUL in it, which no environment variable can have")
        found[variable], names[variable] = text, name
    return found


@contextmanager
def following(application: Application, prefix: str, ending: Ending, **options: Any) -> Iterator[ConfigClient]:
    """A client that follows a prefix, within the block. A signal ends its start at once."""
    config = ConfigClient.over(application.connection(), prefix=prefix, **options)
    try:
        with ending.at_once():
            config.start()
        yield config
    finally:
        config.close()
