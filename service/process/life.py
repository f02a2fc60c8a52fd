"""The life of the process: settings, socket, etcd, instance, in this order; the end in the opposite one.

Nothing is started before everything that could make it useless has been checked.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import replace
from pathlib import Path

import structlog

from service.auth import token_sources
from service.auth.keyring import Keyring
from service.embedded_etcd.shared import EmbeddedEtcd
from service.fleet.advertised import advertised
from service.memory import allocator
from service.memory.capacity import capacity
from service.memory.limit import memory_limit
from service.process import logs
from service.process.console import Console
from service.process.listener import is_public, reserve
from service.process.notify import Notifier
from service.process.open_files import connections_allowed
from service.process.stopping import Stop
from service.process.surroundings import Surroundings
from service.settings.connection import INSTANCE, Connection, resolve
from service.settings.model import Settings

ETCD_END_WITHIN = 1.5

_MISLEADING = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")
"""With these the client library would keep metrics in files that it expects to be there and to be writable."""

log = structlog.stdlib.get_logger("config.process")


def run(environ: MutableMapping[str, str], data: Path = INSTANCE) -> int:
    """Serves until it is told to stop; the exit code. Takes the secrets out of `environ`.

    data: the directory of etcd.config.json and of the embedded etcd.

    Raises SettingsError and StartupError when that can't begin, KeyboardInterrupt when it is stopped before.
    """
    stop = Stop()
    settings = Settings.load(environ)
    # Before anything else is loaded: some libraries copy the environment when they are.
    Settings.forget_secrets(environ)
    allocator.give_back_large_blocks()
    logs.configure(settings.log_level)
    for warning in (*Settings.warnings(environ), *_leave_out(environ)):
        log.warning(warning)
    notifier = Notifier.taken_from(environ, os.getpid())
    console = Console()
    connection, keyring = resolve(settings, data), _keyring(settings, stop)
    room = capacity(settings.memory_limit or memory_limit(), settings, embedded=connection.embedded)
    room = replace(room, connections=connections_allowed(room.connections))
    settings = settings.without_secrets()
    with _surroundings(settings, connection, data, keyring, notifier, console.say, stop) as surroundings:
        stop.check()
        # Not before now: gRPC and Flask take a while to load, and a start that fails should fail at once.
        from service.process.serving import serve

        code = serve(surroundings, room, console.say, stop)
    console.say("stopped")
    return code


def _leave_out(environ: MutableMapping[str, str]) -> list[str]:
    """Takes out of `environ` what would make a library do something else; a sentence for each."""
    found = [name for name in _MISLEADING if environ.pop(name, None) is not None]
    return [
        f"{name} is set, and ignored: an instance is one process, and keeps its metrics in memory" for name in found
    ]


def _keyring(settings: Settings, stop: Stop) -> Keyring | None:
    """The tokens that are let in; None if everybody is."""
    if settings.api_tokens_file:
        stop.mind_hangup()
    source = token_sources.resolve(settings)
    if source is None and is_public(settings.host):
        log.warning(
            "everybody who reaches this service may read and write everything; set API_TOKENS or API_TOKENS_FILE, "
            "see docs/security.md, or HOST=127.0.0.1"
        )
    return Keyring(source) if source else None


@contextlib.contextmanager
def _surroundings(
    settings: Settings,
    connection: Connection,
    data: Path,
    keyring: Keyring | None,
    notifier: Notifier,
    say: Callable[[str], None],
    stop: Stop,
) -> Iterator[Surroundings]:
    with reserve(settings.host, settings.port) as held:
        where = advertised(settings, () if connection.embedded else connection.endpoints)
        settings = settings.model_copy(update={"advertise_address": where.address})
        if not connection.embedded:
            yield Surroundings(settings, held, connection, keyring, notifier, None, None, where)
            return
        if settings.vcap_application:
            log.warning("no etcd is bound: each container has one of its own, and they share nothing; bind a service")
        etcd = EmbeddedEtcd(data, say)
        running = etcd.start(stop.check)
        try:
            yield Surroundings(settings, held, connection.at(running.endpoint), keyring, notifier, etcd, running, where)
        finally:
            etcd.stop(ETCD_END_WITHIN)
