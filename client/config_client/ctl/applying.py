"""Commands for folders: diff, plan, apply, export, import. All compare with the service at one revision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from config_client.ctl import shown, sources
from config_client.ctl.application import (
    REVISION,
    Application,
    agree,
    carry_out,
    pass_application,
    reason,
    show_steps,
    slashed,
    sync,
    yes,
)
from config_client.ctl.exits import DIFFERENT
from config_client.ctl.planning import Plan, Wanted, plan_of, planned_by
from config_client.errors import ConfigError

folder = click.argument("folder", type=click.Path(path_type=Path))
prefix = click.option("--prefix", default="", help="What the keys begin with; with a slash at the end.")
prune = click.option("--prune", is_flag=True, help="Delete what the folder has no file for.")
in_parts = click.option("--in-parts", is_flag=True, help="Several batches, where one would be too large.")


def _planned(application: Application, wanted: Mapping[str, Wanted], prefix: str, *, prune: bool) -> Plan:
    with application.service() as service:
        return plan_of(service.snapshot(prefix), wanted, prune=prune)


def _from_folder(folder: Path, prefix: str) -> dict[str, Wanted]:
    return sources.from_folder(folder, slashed(prefix))


@click.command("diff")
@folder
@prefix
@prune
@pass_application
def show_difference(application: Application, folder: Path, prefix: str, prune: bool) -> None:
    """Show, line by line, how FOLDER differs from the service. Exit code 2: it does."""
    plan = _planned(application, _from_folder(folder, prefix), prefix, prune=prune)
    show_steps(plan.steps)
    if plan.steps:
        raise SystemExit(DIFFERENT)


@click.command("plan")
@folder
@prefix
@prune
@pass_application
def show_plan(application: Application, folder: Path, prefix: str, prune: bool) -> None:
    """Show what apply would do, a line a document. Exit code 2: something."""
    plan = _planned(application, _from_folder(folder, prefix), prefix, prune=prune)
    _show_plan(plan, application.form)
    if plan.steps:
        raise SystemExit(DIFFERENT)


def _show_plan(plan: Plan, form: str) -> None:
    names = {"+": "create", "~": "change", "-": "delete"}
    found: list[dict[str, Any]] = [
        {
            "do": names[step.sign],
            "key": step.key,
            "mod_revision": step.before.mod_revision if step.before else None,
        }
        for step in plan.steps
    ]
    if form == "table":
        shown.rows(found, form, ["do", "key", "mod_revision"])
    else:
        shown.document({"revision": plan.revision, "steps": found}, form)


@click.command("apply")
@folder
@prefix
@prune
@in_parts
@yes
@sync
@reason
@pass_application
def apply_folder(
    application: Application,
    folder: Path,
    prefix: str,
    prune: bool,
    in_parts: bool,
    yes: bool,
    sync: bool,
    reason: str | None,
) -> None:
    """Make the service have what FOLDER has: one document a file, JSON byte for byte, or YAML.

    It is one batch, all or nothing, and only over what was shown: if somebody changes one of these documents meanwhile,
    it fails (exit code 4), and nothing is done.
    """
    wanted = _from_folder(folder, prefix)
    _carry_out(application, wanted, prefix, prune=prune, in_parts=in_parts, yes=yes, sync=sync, reason=reason)


def _carry_out(
    application: Application,
    wanted: Mapping[str, Wanted],
    prefix: str,
    *,
    prune: bool,
    in_parts: bool,
    yes: bool,
    sync: bool,
    reason: str | None,
) -> None:
    with application.service() as service:
        plan = plan_of(service.snapshot(prefix), wanted, prune=prune)
        if not plan.steps:
            shown.say(f"nothing to do: the service has all of it at revision {plan.revision}")
            return
        agree(plan.steps, yes)
        carry_out(service, plan, in_parts=in_parts, reason=reason, sync=sync)


@click.command("rollback")
@click.argument("prefix", default="")
@click.option(
    "--to", "revision", type=REVISION, required=True, help="The revision as of which it shall be; see history."
)
@in_parts
@yes
@sync
@reason
@pass_application
def roll_back(
    application: Application, prefix: str, revision: int, in_parts: bool, yes: bool, sync: bool, reason: str | None
) -> None:
    """Have all documents that begin with PREFIX as they were at a revision: one batch, only over what was shown."""
    with application.service() as service:
        plan = planned_by(service.rollback(prefix, revision, dry_run=True))
        if not plan.steps:
            shown.say(f"nothing to do: it is as it was at revision {revision}")
            return
        agree(plan.steps, yes)
        why = reason or f"back to what it was at revision {revision}"
        carry_out(service, plan, in_parts=in_parts, reason=why, sync=sync)


@click.command("export")
@folder
@prefix
@pass_application
def export_folder(application: Application, folder: Path, prefix: str) -> None:
    """Write the documents beneath a prefix into FOLDER, as they were at one revision, byte for byte."""
    with application.service() as service:
        view = service.snapshot(slashed(prefix))
    found = {key.removeprefix(prefix): each.value for key, each in view.documents.items()}
    sources.to_folder(folder, found)
    shown.say(f"{len(found)} documents of revision {view.revision} are in {folder}")
    for file in sources.others(folder, found):
        shown.say(f"{file} was there before, and is no document of this revision: apply would write it")


@click.command("import")
@click.argument("kind", type=click.Choice(["consul", "etcd", "folder"]))
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--prefix", default="", help="What the keys begin with here.")
@click.option("--strip", default="", help="What the keys begin with there, and shall not here.")
@click.option("--text", is_flag=True, help="Make JSON strings of values that are no JSON.")
@in_parts
@yes
@sync
@reason
@pass_application
def import_from(
    application: Application,
    kind: str,
    source: Path,
    prefix: str,
    strip: str,
    text: bool,
    in_parts: bool,
    yes: bool,
    sync: bool,
    reason: str | None,
) -> None:
    """Take over what `consul kv export` or `etcdctl get --prefix -w json` has written, or a folder."""
    if kind == "folder":
        wanted = _from_folder(source, prefix)
    else:
        read: Callable[..., dict[str, Wanted]] = sources.from_consul if kind == "consul" else sources.from_etcd
        try:
            wanted = read(source.read_bytes(), prefix, strip, text=text)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{source}: this is not what {kind} exports: {error!r}") from error
    _carry_out(application, wanted, prefix, prune=False, in_parts=in_parts, yes=yes, sync=sync, reason=reason)
