"""How results are shown: a table for people, JSON or YAML for programs. Results go to stdout, all else to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
import yaml
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from config_client.errors import CallFailed, ConfigError

WIDE = 1_000_000
"""Characters: a line for each row, however long, where no terminal has a width. Only what is needed is used."""

FORMATS = ("table", "json", "yaml")


def rows(found: Sequence[Mapping[str, Any]], form: str, columns: Sequence[str]) -> None:
    """Show several things of one kind."""
    if form != "table":
        document(found, form)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")  # nothing is cut off: a key is to be copied
    for each in found:
        table.add_row(*(Text(_cell(each.get(column))) for column in columns))
    drawn(table, width=None if sys.stdout.isatty() else WIDE)


def drawn(what: RenderableType, *, width: int | None = WIDE) -> None:
    """Show what rich draws, without blanks at the ends of lines. width: in characters; None: that of the terminal."""
    console = Console(soft_wrap=True, width=width)
    with console.capture() as captured:
        console.print(what)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def document(found: Any, form: str) -> None:
    """Show one thing as JSON or YAML."""
    if form == "yaml":
        click.echo(yaml.safe_dump(found, allow_unicode=True, sort_keys=False), nl=False)
    else:
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))


def say(text: str) -> None:
    """Tell people something beside the result."""
    click.echo(text, err=True)


def faults(error: ConfigError) -> None:
    """Tell what the policy refuses, a line a place; nothing of an error of another kind."""
    for fault in error.faults if isinstance(error, CallFailed) else ():
        click.secho(f"  {fault}", fg="red", err=True)


def difference(lines: Sequence[str]) -> None:
    """Show a difference, in colours on a terminal."""
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for line in lines:
        click.secho(line, fg=colours.get(line[:1]), err=True)


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
