"""The composition root: makes the parts of one instance, joins them, and ends them in order.

Everything with a connection, a task or a thread begins in `Instance.start`, nothing at import or in a constructor.
"""

from __future__ import annotations

import asyncio
import datetime
import importlib.util
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from consistency import AsyncDistributedCache
from consistency.core.events import Event, ReadServed
from consistency.core.model import Status
from consistency.etcd.store import EtcdConfig, EtcdStore
from consistency.tasks import Worker
from metrics import Instruments
from metrics.build import version
from service.answering import Answering
from service.auth.access import METRICS
from service.auth.keyring import Keyring
from service.fleet.addresses import HTTPS, address_of, scheme_of
from service.fleet.recent import Recent
from service.http.answers import Answer
from service.http.bridge import Bridge, LoopRunner, MadeWhenAsked, WsgiApplication
from service.http.front import Front
from service.http.requests import Environ
from service.memory import allocator
from service.memory.capacity import Capacity
from service.process.event_log import EventLog
from service.process.rereading import Rereading
from service.settings.connection import Connection
from service.settings.model import Settings
from service.tls.renewal import Renewal
from service.tls.trust import Trust

GIVES_BACK_EVERY = 5.0
"""Seconds between looks for memory that the kernel can have back."""

ENDS_WITHIN = 1.0
"""Seconds for what waits for nothing."""


class Instance:
    """One instance: store, cache, metrics, and what answers requests. Made on its loop. `start` once, `close` once.

    etcd_trouble: what who started etcd knows of it while it is down, else "". renewal: of the certificate, if HTTPS is
    spoken. trust: in the other instances.
    """

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        keyring: Keyring | None,
        room: Capacity,
        etcd_trouble: Callable[[], str] = lambda: "",
        renewal: Renewal | None = None,
        trust: Trust | None = None,
    ) -> None:
        self._instruments = Instruments()
        self._log = EventLog()
        self._store = EtcdStore(etcd_config(settings, connection), observer=self.observe)
        self._cache = AsyncDistributedCache(
            self._store,
            replace(settings.cache_options(), max_bytes=room.cache),
            description=describe(settings),
            observer=self.observe,
            etcd_trouble=etcd_trouble,
        )
        recent = Recent(self._cache.status, self._instruments.totals)
        self._sampler = Worker("sampler", recent.run, self.observe)
        answering = Answering(self._cache, settings, self._instruments, keyring, recent, room, trust)
        run = LoopRunner(asyncio.get_running_loop())
        # Of a scrape, on one of Flask's threads.
        self._instruments.track(
            lambda: run(self._status()), settings.cache_staleness_bound, settings.expected_instances
        )
        _look_for("flask")
        self._bridge = Bridge(MadeWhenAsked(partial(_flask, answering, run)))
        self.front = Front(
            answering.door,
            answering.documents,
            answering.hits,
            answering.probes,
            {**answering.questions, METRICS: self._metrics},
            answering.changes,
            answering.policies,
            answering.rollbacks,
            self._bridge,
            answers=room.answers,
            observer=self.observe,
            requests=2 * room.connections if settings.speaks_https else room.connections,  # half are allowed there
        )
        self._answering = answering
        self._giver = Worker("memory", self._give_back, self.observe)
        self.rereading = Rereading(self.observe)
        if keyring:
            self._look_at_tokens(keyring)
            self._instruments.track_tokens(lambda: len(keyring), lambda: bool(keyring.trouble))
        if renewal:
            if renewal.has_files:
                self.rereading.add(renewal.look)
            self._instruments.track_certificate(lambda: renewal.material.expires, lambda: bool(renewal.trouble))
        self.start_draining = answering.start_draining

    def start(self) -> None:
        """Start the tasks; return at once."""
        self._cache.start()
        self._sampler.start()
        self._giver.start()
        self.rereading.start()

    async def close(self) -> None:
        """Stop hits, give the slot back, end tasks, close connections. Raises RuntimeError if it can't."""
        self._sampler.cancel()
        self._giver.cancel()
        self.rereading.cancel()
        await self._bridge.close(ENDS_WITHIN)
        await self.front.close(ENDS_WITHIN)
        await self._answering.close()
        try:
            await self._cache.close()
        finally:
            await self._store.close()
        for worker in (self._sampler, self._giver):
            if not await worker.ended(ENDS_WITHIN):
                raise RuntimeError(f"the worker {worker.name!r} did not end")
        if not await self.rereading.ended(ENDS_WITHIN):
            raise RuntimeError("the files that are read again are still being read")

    def status(self) -> Status:
        """What the instance knows of itself. Asks nobody."""
        return self._cache.status()

    def embedded_etcd_ended(self) -> None:
        """Counts it."""
        self._instruments.embedded_etcd_ended()

    async def etcd_version(self, timeout: float) -> tuple[str, str]:
        """See EtcdStore.version. Raises Unavailable, Denied: the message tells why."""
        return await self._store.version(timeout)

    def observe(self, event: Event) -> None:
        """Counts and logs what has happened."""
        self._instruments.observe(event)
        if type(event) is not ReadServed:  # of every request, and never in the log
            self._log.observe(event)

    async def _give_back(self, worker: Worker) -> None:
        """After a rush it takes 20 ms for each 100 MB, in which Python runs, else a tenth of a millisecond."""
        await worker.pause(GIVES_BACK_EVERY)
        await asyncio.to_thread(allocator.give_back_free_pages)

    def _look_at_tokens(self, keyring: Keyring) -> None:
        async def look(at_once: bool) -> None:
            await asyncio.to_thread(keyring.look, at_once=at_once)  # it may be far away

        if keyring.has_file:
            self.rereading.add(look)

    async def _metrics(self, _: Environ) -> Answer:
        return await self._bridge.ask(self._answering.metrics)

    async def _status(self) -> Status:
        return self._cache.status()


def _look_for(package: str) -> None:
    """Raise ImportError when it is not installed. What is loaded late is missed at the start, as all else is."""
    if importlib.util.find_spec(package) is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)


def _flask(answering: Answering, run: LoopRunner) -> WsgiApplication:
    """Return Flask's routes. On a thread: loading them takes a tenth of a second, and 7 MB.

    Most instances never need them: they are pages, lists, and what is refused.
    """
    from service.app import routes_of

    return routes_of(answering, run).wsgi_app


def etcd_config(settings: Settings, connection: Connection) -> EtcdConfig:
    """The connection in the store's words."""
    return EtcdConfig(
        endpoints=connection.endpoints,
        prefix=settings.user_key_prefix,
        user=connection.user,
        password=connection.password,
        ca_cert=connection.ca_cert,
        cert=connection.cert,
        key=connection.key,
        for_life=connection.embedded,  # its data keeps the ids of the cluster, and of its only member
        member=connection.member,
    )


def describe(settings: Settings) -> str:
    """What this instance tells the fleet about itself, as JSON (rule 9).

    `boot` differs at each start: platforms give the identity of a crashed instance to its successor.
    """
    about = {
        "address": address_of(settings),
        "scheme": HTTPS if scheme_of(settings) == HTTPS else None,
        "guid": settings.cf_instance_guid or secrets.token_hex(16),
        "boot": secrets.token_hex(8),
        "pid": os.getpid(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "version": version(),
        "index": settings.cf_instance_index,
        "application": (settings.vcap_application or {}).get("application_name"),
    }
    return json.dumps({name: value for name, value in about.items() if value is not None})
