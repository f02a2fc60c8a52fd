"""The composition root: makes the parts of one instance, joins them, and ends them in order.

Everything with a connection or a thread begins in `Instance.start`, nothing at import or in a constructor.
"""

from __future__ import annotations

import datetime
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import replace

from consistency import DistributedCache
from consistency.core.events import Event
from consistency.core.model import Status
from consistency.etcd.store import EtcdConfig, EtcdStore
from metrics import Instruments
from metrics.build import version
from service.app import Application, create_app
from service.auth.keyring import Keyring
from service.fleet.addresses import address_of
from service.fleet.recent import Recent
from service.memory.capacity import Capacity
from service.process.event_log import EventLog
from service.process.threads import Worker
from service.settings.connection import Connection
from service.settings.model import Settings

SAMPLER_ENDS_WITHIN = 1.0
"""Seconds. It waits for nothing."""


class Instance:
    """One instance: store, cache, metrics and application. `start` once, `close` once.

    etcd_trouble: what who started etcd knows of it while it is down, else "".
    """

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        keyring: Keyring | None,
        room: Capacity,
        etcd_trouble: Callable[[], str] = lambda: "",
    ) -> None:
        self._instruments = Instruments()
        self._log = EventLog()
        self._store = EtcdStore(etcd_config(settings, connection), observer=self.observe)
        self._cache = DistributedCache(
            self._store,
            replace(settings.cache_options(), max_bytes=room.cache),
            description=describe(settings),
            observer=self.observe,
            etcd_trouble=etcd_trouble,
        )
        self._instruments.track(self._cache.status, settings.cache_staleness_bound, settings.expected_instances)
        recent = Recent(self._cache.status, self._instruments.totals)
        self._sampler = Worker("sampler", recent.run, self.observe)
        self.app: Application = create_app(self._cache, settings, self._instruments, keyring, recent, room)

    def start(self) -> None:
        """Starts the tasks and threads; returns at once."""
        self._cache.start()
        self._sampler.start()

    def close(self) -> None:
        """Stops hits, gives the slot back, ends all, closes connections. Raises RuntimeError if it can't."""
        self._sampler.ask_to_stop()
        self._cache.do(self.app.fleet.close())
        self._cache.close()
        if not self._sampler.join(SAMPLER_ENDS_WITHIN):
            raise RuntimeError("the sampler's thread did not end")

    def status(self) -> Status:
        """What the instance knows of itself. Asks nobody."""
        return self._cache.status()

    def embedded_etcd_ended(self) -> None:
        """Counts it."""
        self._instruments.embedded_etcd_ended()

    def etcd_version(self, timeout: float) -> tuple[str, str]:
        """See EtcdStore.version. Raises Unavailable, Denied: the message tells why."""
        return self._cache.do(self._store.version(timeout))

    def observe(self, event: Event) -> None:
        """Counts and logs what has happened."""
        self._instruments.observe(event)
        self._log.observe(event)


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
    )


def describe(settings: Settings) -> str:
    """What this instance tells the fleet about itself, as JSON (rule 9).

    `boot` differs at each start: platforms give the identity of a crashed instance to its successor.
    """
    about = {
        "address": address_of(settings),
        "guid": settings.cf_instance_guid or secrets.token_hex(16),
        "boot": secrets.token_hex(8),
        "pid": os.getpid(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "version": version(),
        "index": settings.cf_instance_index,
        "application": (settings.vcap_application or {}).get("application_name"),
    }
    return json.dumps({name: value for name, value in about.items() if value is not None})
