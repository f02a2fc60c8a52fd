"""The life of the process: settings, socket, etcd, instance, in this order; the end in the opposite one.

Nothing is started before everything that could make it useless has been checked.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import replace
from pathlib import Path

import structlog

from service.auth import token_sources
from service.auth.keyring import Keyring
from service.embedded_etcd.shared import EmbeddedEtcd, RunningEtcd
from service.fleet.addresses import own_scheme
from service.fleet.advertised import advertised
from service.memory import allocator
from service.memory.capacity import capacity
from service.memory.limit import memory_limit
from service.process import logs
from service.process.console import Console
from service.process.listener import is_public, reserve, url
from service.process.notify import VARIABLES, Notifier
from service.process.open_files import connections_allowed
from service.process.stopping import Stop
from service.process.surroundings import Surroundings
from service.settings.connection import INSTANCE, Connection, resolve
from service.settings.model import Settings
from service.tls.renewal import Renewal
from service.tls.trust import Trust
from service.workers.machine import as_worker, doubts, ports, processors, with_workers
from service.workers.place import Place, taken_from
from service.workers.work import Work

ETCD_END_WITHIN = 1.5

_MISLEADING = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")
"""With these the client library would keep metrics in files that it expects to be there and to be writable."""

log = structlog.stdlib.get_logger("config.process")


def run(environ: MutableMapping[str, str], data: Path = INSTANCE) -> int:
    """Serves until it is told to stop, by itself or with WORKERS; the exit code. Takes the secrets out of `environ`.

    data: the directory of etcd.config.json and of the embedded etcd.

    Raises SettingsError and StartupError when that can't begin, KeyboardInterrupt when it is stopped before.
    """
    stop = Stop()
    place = taken_from(environ)
    with contextlib.closing(place) if place else contextlib.nullcontext():
        return _run(environ, data, stop, place)


def _run(environ: MutableMapping[str, str], data: Path, stop: Stop, place: Place | None) -> int:
    settings = Settings.load(environ)
    workers_environ = {} if place or settings.workers == 1 else _for_workers(environ)
    # Before anything else is loaded: some libraries copy the environment when they are.
    Settings.forget_secrets(environ)
    allocator.give_back_large_blocks()
    logs.configure(settings.log_level, worker=place.number if place else 0)
    warnings = (*Settings.warnings(environ), *_leave_out(environ))
    for warning in () if place else warnings:
        log.warning(warning)
    notifier = (
        Notifier.of_worker(place.line, place.speaks_every) if place else Notifier.taken_from(environ, os.getpid())
    )
    console = Console()
    connection, keyring = resolve(settings, data), _keyring(settings, stop, warn=place is None)
    renewal = _renewal(settings, stop, place)
    trust = Trust(_authorities(settings), settings.tls_peer_name, renewal)
    limit = settings.memory_limit or memory_limit()
    settings = (
        as_worker(settings, place)
        if place
        else with_workers(settings, limit, processors(), embedded=connection.embedded)
    )
    room = capacity(limit, settings, embedded=connection.embedded)
    room = replace(
        room,
        connections=connections_allowed(
            room.connections, https=settings.speaks_https, relayed=settings.tls_client_names
        ),
    )
    settings = settings.without_secrets()
    if settings.workers > 1 and not place:
        with _work(settings, connection, data, notifier, workers_environ, console.say, stop) as work:
            stop.check()
            from service.workers.supervisor import supervise

            code = supervise(work, console.say, stop)
        console.say("stopped")
        return code
    with _surroundings(
        settings, connection, data, keyring, notifier, console.say, stop, place, renewal, trust
    ) as surroundings:
        stop.check()
        # Not before now: gRPC and Flask take a while to load, and a start that fails should fail at once.
        from service.process.serving import serve

        code = serve(surroundings, room, console.say, stop)
    if not place:
        console.say("stopped")
    return code


def _for_workers(environ: MutableMapping[str, str]) -> dict[str, str]:
    """The environment of each worker, secrets included, without the variables of who supervises this process."""
    return {name: value for name, value in environ.items() if name not in VARIABLES}


def _leave_out(environ: MutableMapping[str, str]) -> list[str]:
    """Takes out of `environ` what would make a library do something else; a sentence for each."""
    found = [name for name in _MISLEADING if environ.pop(name, None) is not None]
    return [
        f"{name} is set, and ignored: an instance is one process, and keeps its metrics in memory" for name in found
    ]


def _keyring(settings: Settings, stop: Stop, *, warn: bool) -> Keyring | None:
    """The tokens that are let in; None if everybody is, of which there is a warning."""
    if settings.api_tokens_file:
        stop.mind_hangup()
    source = token_sources.resolve(settings)
    if warn and source is None and is_public(settings.host):
        log.warning(
            "everybody who reaches this service may read and write everything; set API_TOKENS or API_TOKENS_FILE, "
            "see docs/security.md, or HOST=127.0.0.1"
        )
    return Keyring(source) if source else None


def _renewal(settings: Settings, stop: Stop, place: Place | None) -> Renewal | None:
    """Return the renewal of the certificate; None where plain HTTP is spoken. Raises StartupError when it can't be
    used."""
    if not settings.speaks_https:
        return None
    # Only where it is needed: it takes time and memory.
    from service.http import trial
    from service.tls import contexts
    from service.tls.material import sources_of

    sources = sources_of(settings)
    if sources.files:
        stop.mind_hangup()
    check = contexts.check if settings.tls_client_names else trial.check
    return Renewal(sources, check, turn=place.number - 1 if place else 0)


def _authorities(settings: Settings) -> bytes | None:
    """TLS_CA, checked. Raises StartupError."""
    if settings.tls_ca is None:
        return None
    from service.tls.material import authorities_of

    return authorities_of(settings)


@contextlib.contextmanager
def _surroundings(
    settings: Settings,
    connection: Connection,
    data: Path,
    keyring: Keyring | None,
    notifier: Notifier,
    say: Callable[[str], None],
    stop: Stop,
    place: Place | None,
    renewal: Renewal | None,
    trust: Trust,
) -> Iterator[Surroundings]:
    with _port(settings, place) as held:
        endpoints = () if connection.embedded else connection.endpoints
        where = (
            advertised(settings, endpoints, place.own_port, place.number) if place else advertised(settings, endpoints)
        )
        settings = settings.model_copy(update={"advertise_address": where.setting})
        with _etcd(settings, connection, data, say, stop, warn=place is None) as (etcd, running):
            there = connection.at(running.endpoint, running.member) if running else connection
            yield Surroundings(settings, held, there, keyring, notifier, etcd, running, where, renewal, trust, place)


def _port(settings: Settings, place: Place | None) -> socket.socket:
    return place.held if place else reserve(settings.host, settings.port)


@contextlib.contextmanager
def _work(
    settings: Settings,
    connection: Connection,
    data: Path,
    notifier: Notifier,
    environ: dict[str, str],
    say: Callable[[str], None],
    stop: Stop,
) -> Iterator[Work]:
    """What a supervisor needs: all ports, taken before anything is started, and the one embedded etcd."""
    with contextlib.ExitStack() as stack:
        held = stack.enter_context(reserve(settings.host, settings.port))
        numbers = ports(settings)
        own = [stack.enter_context(reserve(settings.host, port, of_worker=True)) for port in numbers]
        etcd, _ = stack.enter_context(_etcd(settings, connection, data, say, stop, warn=True))
        say(f"workers: {settings.workers}, each reached by itself as well, at the ports {numbers[0]} to {numbers[-1]}")
        if doubt := doubts(settings, processors()):
            log.warning(doubt)
        where = url(settings.host, settings.port, own_scheme(settings))
        yield Work(held, own, environ, notifier, etcd, where, settings.drain_wait, ETCD_END_WITHIN)


@contextlib.contextmanager
def _etcd(
    settings: Settings, connection: Connection, data: Path, say: Callable[[str], None], stop: Stop, *, warn: bool
) -> Iterator[tuple[EmbeddedEtcd | None, RunningEtcd | None]]:
    """The embedded etcd, if there is one: ours, or that of whoever was there before."""
    if not connection.embedded:
        yield None, None
        return
    if warn and settings.vcap_application:
        log.warning("no etcd is bound: each container has one of its own, and they share nothing; bind a service")
    etcd = EmbeddedEtcd(data, say)
    running = etcd.start(stop.check)
    try:
        yield etcd, running
    finally:
        etcd.stop(ETCD_END_WITHIN)
