"""The parts of an instance that answer requests, whoever carries these: the loop's front, or Flask alone."""

from __future__ import annotations

import socket
import time
from http import HTTPStatus
from typing import Any

from consistency import AsyncDistributedCache
from metrics import Instruments
from service.auth.access import MEMBERS, SHARED_METRICS, TARGETS
from service.auth.keyring import Keyring
from service.changes.admission import Admission
from service.changes.changes import Changes
from service.changes.encoding import Encoder
from service.documents.documents import Documents
from service.documents.hits import Hits
from service.fleet.addresses import address_of, host_of
from service.fleet.departed import departed
from service.fleet.members import fleet, targets
from service.fleet.probes import health, readiness
from service.fleet.proofs import PROOF, Witness
from service.fleet.recent import Recent
from service.fleet.states import STATE, state
from service.fleet.whole_fleet import WholeFleet, plain_read
from service.history.histories import Histories
from service.history.rollbacks import Rollbacks
from service.http.answers import NO_STORE, Answer, answer_json
from service.http.door import DOCUMENT, HISTORY_OF_KEY, Door, all_keys, everything, granted, keys_granted
from service.http.hosts import hosts_of
from service.http.parameters import proof_parameters, routing_parameter
from service.http.requests import COPIES, LARGE_BODY, BodyReader, Environ
from service.http.security_headers import SECURITY_HEADERS
from service.memory.capacity import Capacity
from service.policy.enforcement import Enforcement
from service.policy.policies import Policies
from service.policy.schemas import Schemas
from service.settings.model import Settings
from service.tls.trust import Trust
from service.workers.refusals import refuse_metrics

AT_ONCE = 8
"""Largest documents for which there is room where nobody says how much there is; of 32 KiB, if they are smaller."""


class Answering:
    """Over a cache that somebody else starts and closes; belongs to its loop. Without a keyring everybody is let in.

    recent: the last minutes, kept by somebody else; without it there are none to show. room: for what clients hold.
    trust: in the other instances.
    """

    def __init__(
        self,
        cache: AsyncDistributedCache,
        settings: Settings,
        instruments: Instruments,
        keyring: Keyring | None = None,
        recent: Recent | None = None,
        room: Capacity | None = None,
        trust: Trust | None = None,
    ) -> None:
        self.cache = cache
        self.settings = settings
        self.instruments = instruments
        self.recent = recent or Recent(cache.status, instruments.totals)
        hosts = hosts_of(
            settings.host, settings.allowed_hosts, socket.gethostname(), host_of(settings.advertise_address)
        )
        self.door = Door(hosts, keyring, instruments)
        largest = settings.max_value_bytes
        reader = BodyReader(
            max_bytes=largest, room=room.bodies if room else AT_ONCE * COPIES * max(largest, LARGE_BODY)
        )
        prefix_of = all_keys if keyring is None else keys_granted
        self._schemas = Schemas()
        enforcement = Enforcement(self._schemas, cache.read_policy, instruments.refused_by_policy)
        self.policies = Policies(cache, reader, self._schemas, enforcement)
        self.documents = Documents(cache, reader, prefix_of, instruments.left_out, enforcement)
        self.histories = Histories(cache)
        may = everything if keyring is None else granted
        self.rollbacks = Rollbacks(cache, reader, prefix_of, may, enforcement)
        self.hits = Hits(cache)
        self.changes = Changes(
            cache,
            Admission(
                min(settings.max_waiters, room.waiters) if room else settings.max_waiters,
                settings.max_waiters_per_token,
                instruments.waiters,
            ),
            Encoder(instruments.left_out),
            prefix_of,
            self.door.admit_again,
            settings.stream_lifetime,
        )
        self.fleet = WholeFleet(
            cache.status,
            self.state,
            plain_read(cache),
            expected=settings.expected_instances,
            keyring=keyring,
            observer=instruments.observe,
            trust=trust,
        )
        self.keyring = keyring
        self.witness = Witness(keyring, address_of(settings))
        self.probes = {"/healthz": self._health, "/readyz": self._readiness, SHARED_METRICS: refuse_metrics}
        self.questions = {
            MEMBERS: self._members,
            TARGETS: self._targets,
            PROOF: self._proof,
            STATE: self.fleet.own_state,
            "/members/states": self.fleet.states,
            MEMBERS + DOCUMENT: self.fleet.served_by_all,
            HISTORY_OF_KEY: self.histories.answer,
        }
        self.draining = False

    async def close(self) -> None:
        """End what answers rest on, beside the cache: connections to the fleet, and the process that checks schemas."""
        await self.fleet.close()
        await self._schemas.close()

    def start_draining(self) -> None:
        """Answer 503 at /readyz from now on; everything else goes on."""
        self.draining = True
        self.changes.start_draining()

    def state(self, with_recent: bool) -> dict[str, Any]:
        """Return what this instance says of itself; its last minutes, if they are asked for."""
        return state(
            self.cache.status(),
            self.instruments.totals(),
            bound=self.settings.cache_staleness_bound,
            draining=self.draining,
            recent=self.recent if with_recent else None,
        )

    def metrics(self) -> Answer:
        """Return what Prometheus scrapes. It takes milliseconds, and asks the loop: for another thread than that."""
        body, content_type = self.instruments.exposition()
        return Answer(HTTPStatus.OK, (("Content-Type", content_type), NO_STORE, *SECURITY_HEADERS), body)

    async def _members(self, _: Environ) -> Answer:
        now = self.cache.status()
        told = {
            **fleet(now),
            "expected": self.settings.expected_instances,
            "departed": departed(now, time.time()),
        }
        return answer_json(told, headers=(NO_STORE,))

    async def _targets(self, _: Environ) -> Answer:
        return answer_json(targets(self.cache.status()), headers=(NO_STORE,))

    async def _proof(self, environ: Environ) -> Answer:
        ask = proof_parameters(environ.get("QUERY_STRING", ""))
        return answer_json({"proof": self.witness.prove(ask)}, headers=(NO_STORE,))

    def _health(self, _: Environ) -> Answer:
        return health()

    def _readiness(self, environ: Environ) -> Answer:
        routing = routing_parameter(environ.get("QUERY_STRING", ""))
        return readiness(self.cache.status(), self.draining, self.settings.expected_instances, routing=routing)
