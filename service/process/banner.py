"""The first lines of a service that has started: where it is, which etcd, which slot, who may in. Decides nothing."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Callable
from typing import Any

import structlog

from consistency.core.model import Status
from consistency.core.store import StoreError
from consistency.etcd.releases import ADVICE, weaknesses
from service.embedded_etcd.shared import RunningEtcd
from service.fleet.addresses import HTTPS, own_scheme
from service.fleet.advertised import Advertised
from service.process.compose import Instance
from service.process.listener import reached_at, url
from service.process.surroundings import Surroundings
from service.settings.connection import Connection
from service.settings.model import Settings
from service.tls.trust import Trust

REACHED_WITHIN = 1.5
"""Seconds; as long as another instance would wait."""

SLOT_WITHIN = 3.0
"""Seconds that the first lines wait for a slot; the instance goes on trying after that."""

POLL = 0.02

log = structlog.stdlib.get_logger("config.start")


async def introduce(say: Callable[[str], None], surroundings: Surroundings, instance: Instance) -> None:
    """The first lines: address, etcd, slot, access, and a line to paste. Waits a moment for etcd and for the slot."""
    settings, keyring, embedded = surroundings.settings, surroundings.keyring, surroundings.running
    place = surroundings.place
    if place and not place.introduces:
        await _check_that_it_is_reached(surroundings.advertised, surroundings.trust)
        slot = words_for_slot(await _wait_for_slot(instance))
        say(f"worker {place.number}: process {os.getpid()}, {surroundings.advertised.address}, slot {slot}")
        return
    say(f"address: {url(settings.host, settings.port, own_scheme(settings))}")
    if surroundings.renewal:
        say(f"https:   the certificate is for {surroundings.renewal.material.describe()}")
    told = surroundings.advertised
    say(f"fleet:   others are told {told.setting} ({told.why})")
    await _check_that_it_is_reached(told, surroundings.trust)
    answer = words_for_embedded(embedded) if embedded else await _ask(settings, surroundings.connection, instance)
    say(f"etcd:    {answer}")
    say(f"slot:    {words_for_slot(await _wait_for_slot(instance))}")
    say(f"access:  {keyring.describe() if keyring else 'everybody, since there are no API_TOKENS'}")
    token = "--oauth2-bearer YOUR-TOKEN " if keyring else ""
    ca = "--cacert YOUR-CA.pem " if settings.tls_ca else ""
    say(f"try:     curl {ca}{token}-X PUT -d '\"hello\"' {_local_url(settings)}/config/greeting")


async def _check_that_it_is_reached(told: Advertised, trust: Trust) -> None:
    """By ourselves, at least: a name that nobody resolves is a page that is red for ever, and so is a certificate that
    is for another name.
    """
    host, _, port = told.address.rpartition(":")
    host = host.strip("[]")
    more: dict[str, Any] = {}
    try:
        async with asyncio.timeout(REACHED_WITHIN):
            if told.scheme == HTTPS:
                more = {"ssl": await asyncio.to_thread(trust.context), "server_hostname": trust.name_of(host)}
            _, writer = await asyncio.open_connection(host, int(port), **more)
            writer.close()
    except ssl.SSLError as error:
        log.warning(
            "the certificate that is shown at the address that others are told is not trusted here; see TLS_CA and "
            "TLS_PEER_NAME in docs/security.md, unless the others trust it",
            address=told.address,
            reason=getattr(error, "verify_message", "") or error.reason or str(error),
        )
    except (OSError, UnicodeError) as error:
        log.warning(
            "this instance does not reach itself at the address that others are told; set ADVERTISE_ADDRESS, "
            "see docs/operations.md, unless they reach it",
            address=told.address,
            reason=str(error) or f"no answer within {REACHED_WITHIN:g} s",
        )


def _local_url(settings: Settings) -> str:
    host = reached_at(settings.host)
    return url(host, settings.port, own_scheme(settings))


def words_for_embedded(running: RunningEtcd) -> str:
    """Where it is and whose it is."""
    whose = f"shared with process {running.owner}" if running.shared else f"process {running.pid}"
    return f"{running.endpoint}, version {running.version}, embedded ({whose})"


async def _ask(settings: Settings, connection: Connection, instance: Instance) -> str:
    try:
        endpoint, version = await instance.etcd_version(settings.etcd_timeout)
    except StoreError as error:
        return f"{', '.join(connection.endpoints)}, from {connection.origin}: no answer yet ({error})"
    if not version:
        return f"{endpoint}, which tells its version to root alone, not embedded (from {connection.origin})"
    if faults := weaknesses(version):  # the embedded one is for development, where they do no harm
        log.warning(f"etcd {version} has weaknesses; {ADVICE}", endpoint=endpoint, weaknesses=faults)
    return f"{endpoint}, version {version}, not embedded (from {connection.origin})"


async def _wait_for_slot(instance: Instance) -> Status:
    deadline = time.monotonic() + SLOT_WITHIN
    while (status := instance.status()).slot is None and time.monotonic() < deadline:
        await asyncio.sleep(POLL)
    return status


def words_for_slot(status: Status) -> str:
    """The slot, or why there is none."""
    if status.slot is not None:
        return f"{status.slot:02} of 64"
    return f"none yet, serving uncached ({status.why_not_ready or 'all 64 are taken'})"
