"""What all commands share: how the service is reached, how results are shown, what asks before anything is changed."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from config_client.connection import Connection
from config_client.ctl import shown
from config_client.ctl.planning import MOST_AT_ONCE, Plan, Step, difference
from config_client.ctl.profiles import connection_of, environment
from config_client.errors import ConfigError, OutcomeUnknown, ReasonRequired
from config_client.service import Service

T = TypeVar("T")


class Application:
    """One invocation. The service is connected to when a command first needs it."""

    def __init__(self, options: Mapping[str, Any], profile: str | None, file: Path | None, form: str) -> None:
        self._options = options
        self._profile = profile
        self._file = file
        self.form = form

    def connection(self) -> Connection:
        """Return how the service is reached. Raises ConfigError."""
        return connection_of(self._options, self._profile, self._file, environment())

    def service(self) -> Service:
        """Return the calls of the service; to be closed."""
        return Service(self.connection())


pass_application = click.make_pass_decorator(Application)


class Seconds(click.FloatRange):
    """A time that can be waited for."""

    name = "seconds"

    def __init__(self) -> None:
        super().__init__(min=0, max=1e9)

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> float:
        """Return it. Raises BadParameter, for what is no number, too."""
        seconds = float(super().convert(value, param, context))
        if math.isnan(seconds):
            self.fail("a number is expected, found nan", param, context)
        return seconds


REVISION = click.IntRange(1, 2**63 - 1)

yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
reason = click.option("--reason", help="Why, for services that keep it.")
sync = click.option("--sync", is_flag=True, help="Return when no instance serves the old value.")


def show_steps(steps: Sequence[Step]) -> None:
    """Show what would be done."""
    for step in steps:
        click.secho(f"{step.sign} {step.key}", bold=True, err=True)
        shown.difference(list(difference(step)))


def agree(steps: Sequence[Step], yes: bool) -> None:
    """Show what will be done, and ask on a terminal. Raises Abort for a no."""
    show_steps(steps)
    if not yes and sys.stdin.isatty():
        click.confirm(f"Do this ({len(steps)} documents)?", abort=True, err=True)


def slashed(prefix: str) -> str:
    """Return a prefix whose documents can be files or variables. Raises ConfigError for one that ends within a name."""
    if prefix and not prefix.endswith("/"):
        raise ConfigError(f"the prefix {prefix!r}: a slash at the end is expected, for example team/app/")
    return prefix


def with_reason(write: Callable[..., T], reason: str | None) -> T:
    """Call `write(reason=…)`. Where the policy demands one and none was given, ask for it on a terminal.

    Raises OutcomeUnknown if it is interrupted, since it may have been done.
    """
    return _with_reason(write, reason)[0]


def _with_reason(write: Callable[..., T], reason: str | None) -> tuple[T, str | None]:
    """Return the reason, too."""
    try:
        return _sent(write, reason), reason
    except ReasonRequired as error:
        if reason is not None or not sys.stdin.isatty():
            raise
        shown.say(f"configctl: {error}")
        reason = str(click.prompt("Why", err=True))
        return _sent(write, reason), reason


def _sent(write: Callable[..., T], reason: str | None) -> T:
    try:
        return write(reason=reason)
    except KeyboardInterrupt:
        raise OutcomeUnknown("interrupted before the answer came: it may have been done") from None


def carry_out(service: Service, plan: Plan, *, in_parts: bool, reason: str | None, sync: bool) -> int:
    """Do what a plan says, as one guarded batch; return the revision. in_parts: as several, if it is too much for one.

    Raises ConfigError for too much; PreconditionFailed if somebody has changed one of them since. What the parts before
    the one that failed have changed is told.
    """
    if len(plan.steps) > MOST_AT_ONCE and not in_parts:
        raise ConfigError(
            f"{len(plan.steps)} documents differ, and {MOST_AT_ONCE} can be changed at once, all or nothing; "
            "--in-parts changes them in several batches"
        )
    revision = plan.revision
    for start in range(0, len(plan.steps), MOST_AT_ONCE):
        part = plan.steps[start : start + MOST_AT_ONCE]
        write = partial(service.batch, [step.operation for step in part], sync=sync)
        try:
            written, reason = _with_reason(write, reason)
        except (ConfigError, click.Abort) as error:
            if start == 0:
                raise
            shown.say(f"{start} of {len(plan.steps)} documents were changed before, by revision {revision}")
            if isinstance(error, click.Abort):
                raise ConfigError("no reason was given for the others; they were not changed") from None
            raise
        revision = written.revision
        shown.say(f"{len(part)} documents changed at revision {revision}")
    return revision
