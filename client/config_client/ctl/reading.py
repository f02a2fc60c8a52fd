"""Commands that read: get, ls, tree, grep, history, members, tokens, doctor."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click
from rich.markup import escape
from rich.tree import Tree

from config_client.core.model import Document
from config_client.ctl import shown
from config_client.ctl.application import REVISION, Application, pass_application
from config_client.ctl.exits import FAILED
from config_client.errors import CallFailed, ConfigError
from config_client.service import Service


@click.command()
@click.argument("key")
@click.option("--revision", type=REVISION, help="As it was then.")
@click.option("--linearizable", is_flag=True, help="No older than any write that has been answered.")
@pass_application
def get(application: Application, key: str, revision: int | None, linearizable: bool) -> None:
    """Print a document, byte for byte; with -o json or yaml, what is known of it, too."""
    with application.service() as service:
        document = service.get(key, revision=revision, linearizable=linearizable)
    if application.form == "table":
        sys.stdout.buffer.write(document.value + b"\n" * sys.stdout.isatty())
    else:
        shown.document(_told(document), application.form)


@click.command("ls")
@click.argument("prefix", default="")
@pass_application
def list_keys(application: Application, prefix: str) -> None:
    """List the keys that begin with PREFIX."""
    with application.service() as service:
        found = [{"key": key, "mod_revision": revision} for key, revision in service.keys(prefix)]
    shown.rows(found, application.form, ["key", "mod_revision"])


@click.command()
@click.argument("prefix", default="")
@pass_application
def tree(application: Application, prefix: str) -> None:
    """Show the keys that begin with PREFIX as a tree."""
    with application.service() as service:
        keys = [key for key, _ in service.keys(prefix)]
    if application.form != "table":
        shown.document(keys, application.form)
        return
    root = Tree(escape(prefix or "/"))
    folders: dict[str, Tree] = {"": root}
    for key in keys:
        *parts, last = key.split("/")
        at, path = root, ""
        for part in parts:
            path += f"{part}/"
            at = folders[path] if path in folders else folders.setdefault(path, at.add(escape(f"{part}/")))
        at.add(escape(last))
    shown.drawn(root)


@click.command()
@click.argument("pattern")
@click.argument("prefix", default="")
@click.option("-i", "--ignore-case", is_flag=True)
@click.option("-l", "--keys-only", is_flag=True, help="Keys of documents that match, no lines.")
@pass_application
def grep(application: Application, pattern: str, prefix: str, ignore_case: bool, keys_only: bool) -> None:
    """Find PATTERN, a regular expression, in documents at one revision. Exit code 1: nothing found."""
    try:
        expression = re.compile(pattern, re.IGNORECASE if ignore_case else 0)
    except re.error as error:
        raise click.UsageError(f"{pattern!r} is no regular expression: {error}") from error
    with application.service() as service:
        view = service.snapshot(prefix)
    found = [
        {"key": key, "line": number, "text": line.strip()}
        for key, document in view.documents.items()
        for number, line in enumerate(document.value.decode("utf-8", "replace").splitlines(), 1)
        if expression.search(line)
    ]
    if keys_only:
        keys = dict.fromkeys(each["key"] for each in found)
        shown.rows([{"key": key} for key in keys], application.form, ["key"])
    else:
        shown.rows(found, application.form, ["key", "line", "text"])
    if not found:
        raise SystemExit(FAILED)


@click.command()
@click.argument("key")
@click.option("-n", "--most", type=click.IntRange(1, 1000), default=10, show_default=True, help="Changes.")
@pass_application
def history(application: Application, key: str, most: int) -> None:
    """Show who changed a document, when and why, the newest change first; `get --revision` shows what it was."""
    with application.service() as service:
        if not (found := service.history(key, most)):
            service.get(key, linearizable=True)  # was there ever one? The error says so
    shown.rows(found, application.form, ["revision", "op", "at", "by", "why"])


@click.command()
@pass_application
def members(application: Application) -> None:
    """Show the instances of the fleet."""
    with application.service() as service:
        fleet = service.tell("/members")
    if application.form != "table":
        shown.document(fleet, application.form)
        return
    shown.rows(fleet["members"], "table", [*dict.fromkeys(name for each in fleet["members"] for name in each)])


@click.command()
@pass_application
def tokens(application: Application) -> None:
    """Show which API tokens each address knows, by name, and which names in certificates stand for them. Needs a token
    with the scope admin. Exit code 1: an address goes on with those from before, since its file can't be used."""
    connection, found, troubled = application.connection(), [], False
    for url in connection.urls:
        with Service(connection.at(url)) as service:
            told = service.tell("/members/tokens")
        if told["origin"] is None:
            shown.say(f"{url}: everybody is let in")
        if told["trouble"]:
            troubled = True
            shown.say(f"{url}: {told['trouble']}")
        found += [{"address": url, **each, "scopes": " ".join(each["scopes"])} for each in told["tokens"]]
    certified = ["certificate"] if any("certificate" in each for each in found) else []
    shown.rows(found, application.form, ["address", "name", "scopes", "prefix", *certified])
    if troubled:
        raise SystemExit(FAILED)


@click.command()
@click.argument("prefix", default="")
@pass_application
def doctor(application: Application, prefix: str) -> None:
    """Look at each address: is it alive, ready, and may this token read PREFIX and follow it? Exit code 1: not well."""
    connection = application.connection()
    found = []
    for url in connection.urls:
        with Service(connection.at(url)) as service:
            found += [{"address": url, **each} for each in _examined(service, prefix)]
    shown.rows(found, application.form, ["address", "question", "well", "found"])
    if not all(each["well"] for each in found):
        raise SystemExit(FAILED)


def _examined(service: Service, prefix: str) -> Iterator[dict[str, Any]]:
    questions: tuple[tuple[str, Callable[[], Any]], ...] = (
        ("alive", lambda: service.tell("/healthz")),
        ("ready", lambda: _readiness(service.tell("/readyz"))),
        ("lists keys", lambda: f"{sum(1 for _ in service.keys(prefix))} keys"),
        ("tells of changes", lambda: f"revision {service.snapshot(prefix).revision}"),
    )
    for question, ask in questions:
        try:
            told = ask()
            yield {"question": question, "well": True, "found": told if isinstance(told, str) else "yes"}
        except (ConfigError, ValueError, KeyError) as error:
            yield {"question": question, "well": False, "found": str(error)}
            if isinstance(error, CallFailed) and not error.status:
                return


def _readiness(told: Any) -> str:
    return "as a member, cached" if told.get("member") else "uncached: it holds no slot"


def _told(document: Document) -> dict[str, Any]:
    try:
        value = json.loads(document.value)
    except ValueError:
        value = document.value.decode("utf-8", "replace")
    return {"key": document.key, "mod_revision": document.mod_revision, "value": value}
