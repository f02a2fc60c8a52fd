"""Commands for the policy of the fleet: get, check, set, edit. The token has to be for everything (`admin`)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from config_client.core.model import Document
from config_client.ctl import shown
from config_client.ctl.application import Application, agree, pass_application, reason, with_reason, yes
from config_client.ctl.drafts import kept
from config_client.ctl.exits import DIFFERENT, NO_SUCH_KEY
from config_client.ctl.planning import Step
from config_client.ctl.writing import again, content_of, edit_draft
from config_client.errors import Fault, PolicyViolation
from config_client.service import Service

EMPTY = """{
  "guarded": [],
  "schemas": [],
  "reason_required": []
}
"""

file = click.argument("file", type=click.Path(path_type=Path))


@click.group("policy")
def policy() -> None:
    """Show, try and replace what all writes have to keep to."""


@policy.command("get")
@pass_application
def get_policy(application: Application) -> None:
    """Print the policy, byte for byte. Exit code 3: there is none."""
    with application.service() as service:
        found = service.policy()
    if found is None:
        shown.say("the fleet has no policy")
        raise SystemExit(NO_SUCH_KEY)
    shown.say(f"mod_revision {found.mod_revision}")
    click.echo(found.value, nl=not found.value.endswith(b"\n"))


@policy.command("check")
@file
@pass_application
def check_policy(application: Application, file: Path) -> None:
    """Say what the policy in FILE (- is stdin) would refuse of what is stored. Changes nothing.

    Exit code 2: it would refuse something.
    """
    with application.service() as service:
        refused = list(service.try_policy(content_of(file)))
    found = [
        {
            "key": each["key"],
            "mod_revision": each["mod_revision"],
            "pointer": error["pointer"],
            "expected": error["expected"],
        }
        for each in refused
        for error in each["errors"]
    ]
    shown.rows(found, application.form, ["key", "pointer", "expected"])
    if refused:
        raise SystemExit(DIFFERENT)


@policy.command("set")
@file
@yes
@reason
@pass_application
def set_policy(application: Application, file: Path, yes: bool, reason: str | None) -> None:
    """Put the policy in FILE (- is stdin) in force, over the one that is shown and no other."""
    with application.service() as service:
        _put(service, service.policy(), content_of(file), yes=yes, reason=reason)


@policy.command("edit")
@yes
@reason
@pass_application
def edit_policy(application: Application, yes: bool, reason: str | None) -> None:
    """Edit the policy in $EDITOR. What is wrong with it is shown, and edited again."""
    with application.service() as service:
        base = service.policy()
        with kept("policy", base.value.decode() if base else EMPTY) as draft:
            while True:
                edit_draft(draft)
                if base is None and not draft.is_changed:
                    raise click.Abort  # nothing was written into it
                try:
                    _put(service, base, draft.text.encode(), yes=yes, reason=reason)
                    return
                except PolicyViolation as error:
                    again(error)


def _put(service: Service, base: Document | None, text: bytes, *, yes: bool, reason: str | None) -> None:
    """Try it, show it with what it would refuse, ask, and put it in force."""
    if base is not None and base.value == text:
        shown.say(f"it is that already, at {base.mod_revision}")
        return
    for each in service.try_policy(text):
        first = each["errors"][0]
        shown.say(f"it will refuse what is stored: {Fault(first['pointer'], first['expected'], each['key'])}")
    agree([Step("policy", base, text)], yes)
    write = partial(service.put_policy, text, if_match=base.mod_revision if base else 0)
    written = with_reason(write, reason)
    shown.say(f"policy in force at revision {written.revision}")
