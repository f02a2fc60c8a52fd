"""Commands that change one document: set, edit, rm, revert. Each shows what it will do, and asks on a terminal."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import click

from config_client.core.model import Document
from config_client.ctl import shown
from config_client.ctl.application import (
    REVISION,
    Application,
    agree,
    pass_application,
    reason,
    sync,
    with_reason,
    yes,
)
from config_client.ctl.drafts import Draft, kept
from config_client.ctl.exits import AGAINST_POLICY, FAILED
from config_client.ctl.merging import merge
from config_client.ctl.planning import Step
from config_client.ctl.sources import is_json
from config_client.errors import ConfigError, NoSuchKey, PolicyViolation, PreconditionFailed
from config_client.service import Service


def _found(service: Service, key: str) -> Document | None:
    try:
        return service.get(key, linearizable=True)
    except NoSuchKey:
        return None


def _do(
    service: Service, step: Step, *, yes: bool, sync: bool, reason: str | None, if_match: int | None = None
) -> None:
    """Show, ask, and do it, over what was shown and nothing else."""
    if step.before is not None and step.before.value == step.after:
        shown.say(f"{step.key} is that already, at {step.before.mod_revision}")
        return
    agree([step], yes)
    at = (step.before.mod_revision if step.before else 0) if if_match is None else if_match
    write = partial(service.delete, step.key) if step.after is None else partial(service.put, step.key, step.after)
    written = with_reason(partial(write, if_match=at, sync=sync), reason)
    shown.say(f"{step.key} {'deleted' if step.after is None else 'written'} at revision {written.revision}")


@click.command("set")
@click.argument("key")
@click.argument("value", required=False)
@click.option("-f", "--file", type=click.Path(path_type=Path), help="Take the value from a file; - is stdin.")
@click.option("--string", is_flag=True, help="VALUE is text, and becomes a JSON string.")
@click.option(
    "--if-match", type=click.IntRange(0, 2**63 - 1), help="Only over this mod_revision; 0: only if there is none."
)
@yes
@sync
@reason
@pass_application
def set_value(
    application: Application,
    key: str,
    value: str | None,
    file: Path | None,
    string: bool,
    if_match: int | None,
    yes: bool,
    sync: bool,
    reason: str | None,
) -> None:
    """Write a document: VALUE is JSON, as it stands."""
    if (value is None) == (file is None):
        raise click.UsageError("a value or --file is expected, one of them")
    content = value.encode() if value is not None else content_of(file)
    if string:
        content = _quoted(content)
    if not is_json(content):
        raise ConfigError(f"{key}: the value is no JSON; --string makes a string of it")
    with application.service() as service:
        step = Step(key, _found(service, key), content)
        _do(service, step, yes=yes, sync=sync, reason=reason, if_match=if_match)


@click.command("rm")
@click.argument("key")
@click.option("--if-match", type=REVISION, help="Only if it bears this mod_revision.")
@yes
@sync
@reason
@pass_application
def remove(application: Application, key: str, if_match: int | None, yes: bool, sync: bool, reason: str | None) -> None:
    """Delete a document."""
    with application.service() as service:
        step = Step(key, service.get(key, linearizable=True), None)
        _do(service, step, yes=yes, sync=sync, reason=reason, if_match=if_match)


@click.command()
@click.argument("key")
@click.option(
    "--to", "revision", type=REVISION, required=True, help="The revision whose value comes back; see history."
)
@yes
@sync
@reason
@pass_application
def revert(application: Application, key: str, revision: int, yes: bool, sync: bool, reason: str | None) -> None:
    """Write again what a document was at a revision."""
    with application.service() as service:
        old = service.get(key, revision=revision)
        step = Step(key, _found(service, key), old.value)
        _do(service, step, yes=yes, sync=sync, reason=reason or f"back to what it was at revision {revision}")


@click.command()
@click.argument("key")
@yes
@sync
@reason
@pass_application
def edit(application: Application, key: str, yes: bool, sync: bool, reason: str | None) -> None:
    """Edit a document in $EDITOR. What somebody else changes meanwhile is shown, and merged where that is possible.

    What the policy refuses is shown, too, and edited again. A text that is not written is kept in a file.
    """
    with application.service() as service:
        base = _found(service, key)
        with kept(key, base.value.decode() if base else "{}\n") as draft:
            _edit(service, key, base, draft, yes=yes, sync=sync, reason=reason)


def _edit(
    service: Service, key: str, base: Document | None, draft: Draft, *, yes: bool, sync: bool, reason: str | None
) -> None:
    while True:
        edit_draft(draft)
        if base is None and not draft.is_changed:
            raise click.Abort  # nothing was written into it
        step = Step(key, base, draft.text.encode())
        try:
            _do(service, step, yes=yes, sync=sync, reason=reason)
            return
        except PreconditionFailed:
            theirs = _found(service, key)
            shown.say(f"somebody else has changed {key} meanwhile:")
            shown.difference(list(_difference_of(key, base, theirs)))
            draft.text, clean = merge(_text(base), draft.text, _text(theirs))
            base = theirs
            shown.say("merged; look at it once more" if clean else "both have changed the same lines: choose")
            if not sys.stdin.isatty() and not clean:
                raise
        except PolicyViolation as error:
            again(error)


def again(error: PolicyViolation) -> None:
    """Tell what the policy refuses, and ask whether to edit it once more.

    Raises SystemExit for a no, and where nobody can be asked.
    """
    shown.say(f"configctl: {error}")
    shown.faults(error)
    if not sys.stdin.isatty() or not click.confirm("Edit it again?", default=True, err=True):
        raise SystemExit(AGAINST_POLICY)


def edit_draft(draft: Draft) -> None:
    """Open the draft in $EDITOR until it is JSON. Raises Abort, and SystemExit for one that stays none."""
    while True:
        edited = click.edit(draft.text, extension=".json", require_save=False)
        if edited is None:
            raise click.Abort
        before, draft.text = draft.text, edited
        if is_json(edited.encode()):
            return
        shown.say("this is no JSON, and is not sent")
        if edited == before or not click.confirm("Edit it again?", default=True, err=True):
            raise SystemExit(FAILED)


def _difference_of(key: str, base: Document | None, theirs: Document | None) -> list[str]:
    from config_client.ctl.planning import difference

    return list(difference(Step(key, base, theirs.value if theirs else None)))


def _text(document: Document | None) -> str:
    return document.value.decode("utf-8", "replace") if document else ""


def content_of(file: Path | None) -> bytes:
    """What a file holds; `-`: what comes by stdin. Raises ConfigError."""
    if file is None or str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error


def _quoted(content: bytes) -> bytes:
    import json

    return json.dumps(content.decode(), ensure_ascii=False).encode()
