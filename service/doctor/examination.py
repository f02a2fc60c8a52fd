"""The examination: which etcd, and then everything about it, in the order in which one thing rests on another.

Reads settings as the service does, starts nothing, and leaves nothing behind. Every question has a deadline.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from consistency.core.store import StoreError
from consistency.etcd.config import EtcdConfig
from consistency.etcd.probe import EtcdProbe
from consistency.etcd.store import EtcdStore
from consistency.loop import PROCESS_LOOP, run
from service.auth import token_sources
from service.auth.keyring import Keyring
from service.doctor import cluster, embedded, endpoints, material
from service.doctor.changes import changes
from service.doctor.fleet import fleet
from service.doctor.history import history
from service.doctor.https import https
from service.doctor.keys import keys
from service.doctor.pace import clocks, latencies
from service.doctor.policy import policy
from service.doctor.report import Finding, Level, Report, ok, warning, wrong
from service.doctor.rights import Etcd, authentication, permissions
from service.doctor.telling import telling
from service.embedded_etcd.child import child_environment
from service.embedded_etcd.shared import find_etcd, find_owned, find_running
from service.process.compose import etcd_config
from service.process.listener import is_public, shown
from service.process.startup import StartupError
from service.settings.connection import INSTANCE, Connection, resolve
from service.settings.model import Settings, SettingsError

LONGEST_QUESTION = 5.0
"""Seconds that one question may take at most, whatever ETCD_TIMEOUT allows."""


def examine(environ: Mapping[str, str], instance: Path = INSTANCE) -> Report:
    """Everything about the etcd that `python -m service` would use with this environment, in this directory."""
    try:
        settings = Settings.load(environ)
        connection = resolve(settings, instance)
    except (SettingsError, StartupError) as error:
        return Report("config-service: no etcd to examine", [wrong("settings", *_first_and_rest(str(error)))])
    findings = [warning("settings", each, "Correct or unset it.") for each in Settings.warnings(environ)]
    findings.append(_who_is_let_in(settings))
    findings += https(settings)
    if connection.embedded:
        return _examine_embedded(settings, connection, instance, findings)
    return _examine_at(settings, connection, findings)


def _first_and_rest(message: str) -> tuple[str, str]:
    first, _, rest = message.partition("\n")
    return first, rest.strip() or "Correct it as it says; python -m service --help lists every setting."


def _who_is_let_in(settings: Settings) -> Finding:
    try:
        source = token_sources.resolve(settings)
    except StartupError as error:
        found, remedy = _first_and_rest(str(error))
        return wrong("tokens", found, f"{remedy}\nInstances that run keep the tokens they have until it is in order.")
    if source:
        return ok("tokens", Keyring(source).describe())
    if is_public(settings.host):
        found = f"none, and HOST is {shown(settings.host)}: whoever reaches the service may read and write everything"
        return warning("tokens", found, "Set API_TOKENS_FILE (docs/security.md), or let nobody else reach it.")
    return ok("tokens", f"none; HOST is {shown(settings.host)}, which this machine alone reaches")


def _examine_embedded(settings: Settings, connection: Connection, instance: Path, before: list[Finding]) -> Report:
    if running := find_running(instance):
        return _examine_at(settings, connection.at(running.endpoint, running.member), before)
    subject = f"config-service: the embedded etcd in {instance / 'etcd'}, prefix {settings.user_key_prefix}"
    if owned := find_owned(instance):
        return Report(subject, [*before, embedded.down(owned, instance)])
    try:
        program = find_etcd()
    except StartupError as error:
        return Report(subject, [*before, wrong("endpoint", *_first_and_rest(str(error)))])
    what = f"not running; an instance would start {program} ({_version_of(program)})"
    return Report(subject, [*before, ok("endpoint", f"{what}, for itself and others in this directory")])


def _version_of(program: Path) -> str:
    try:
        done = subprocess.run(
            [program, "--version"], env=child_environment(), capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "which doesn't tell its version"
    return done.stdout.partition("\n")[0]


def _examine_at(settings: Settings, connection: Connection, findings: list[Finding]) -> Report:
    with PROCESS_LOOP.used():
        return _examine_on_loop(settings, connection, findings)


def _examine_on_loop(settings: Settings, connection: Connection, findings: list[Finding]) -> Report:
    config = etcd_config(settings, connection)
    subject = (
        f"config-service: etcd at {', '.join(config.endpoints)} (from {connection.origin}), prefix {config.prefix}"
    )
    if amiss := material.faults(config):  # then every endpoint looks wrong, in words that lead elsewhere
        return Report(subject, [*findings, *amiss])
    looks = endpoints.look_at_all(config)
    statuses = [look.status for look in looks if look.status]
    findings += endpoints.reachability(looks, users=config.user is not None)
    findings += endpoints.certificates(looks, config)
    if not statuses:
        return Report(subject, findings)
    findings += endpoints.versions(looks, users=config.user is not None)
    findings += [cluster.identity(statuses), cluster.leadership(statuses)]
    # Those that don't answer would only take time from the questions that follow.
    alive = replace(config, endpoints=tuple(status.endpoint for status in statuses))
    with _opened(alive, connection.origin, min(settings.etcd_timeout, LONGEST_QUESTION)) as etcd:
        findings += _ask_cluster(etcd, looks, settings)
    return Report(subject, [*findings, clocks(looks)])


def _ask_cluster(etcd: Etcd, looks: list[endpoints.Look], settings: Settings) -> Iterator[Finding]:
    let_in = authentication(etcd)
    yield let_in
    if let_in.level is Level.WRONG:
        return
    yield from cluster.space(looks, _alarms(etcd), etcd.etcdctl)
    permitted = permissions(etcd)
    yield from permitted
    if all(finding.level is Level.OK for finding in permitted):
        yield from latencies(etcd, settings)
        yield from fleet(etcd)
        yield changes(etcd)
        yield from telling(etcd, settings)
        yield policy(etcd)
        yield history(etcd, looks)
        yield keys(etcd)


def _alarms(etcd: Etcd) -> cluster.Alarms:
    """None if our user may not ask: then a full file is told by its size."""
    try:
        return run(etcd.probe.alarms(etcd.timeout))
    except StoreError:
        return ()


@contextlib.contextmanager
def _opened(config: EtcdConfig, origin: str, timeout: float) -> Iterator[Etcd]:
    probe, store = EtcdProbe(config), EtcdStore(config)
    try:
        yield Etcd(config, probe, store, origin, timeout)
    finally:
        run(probe.close())
        run(store.close())
