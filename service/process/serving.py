"""The loop: everything that an instance does while it serves, from the first task to the end of the last one."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from functools import partial
from typing import Any

import structlog

from consistency.loop import end
from service.embedded_etcd.shared import EmbeddedEtcd
from service.fleet.addresses import own_scheme
from service.http.accepting import ServerFailed
from service.http.server import DRAIN_WITHIN, Server
from service.memory.capacity import Capacity
from service.process import logs
from service.process.banner import introduce
from service.process.compose import Instance
from service.process.listener import url
from service.process.stopping import END_WITHIN, Stop
from service.process.surroundings import Surroundings
from service.process.watchdog import Watchdog
from service.tls.shown import Material
from service.workers import line as workers_line
from service.workers.shared_port import SharedPort

log = structlog.stdlib.get_logger("config.process")

YOUNG = 25_000
"""Objects more than there were, at which the young ones are looked through for cycles: it takes a millisecond.

A request that waits is some thirty objects, none of them in a cycle. With Python's 700, the collector went through the
64 requests under way each time that they came, three times in a row, and through all that there is every so often: a
fifth of what a read took.
"""


OF_OWN_PORT = 4
"""One in so many connections of a worker is for its own port: for the others, for Prometheus, for operators."""

OWN_ENDS_WITHIN = 0.2
"""Seconds for the server of the own port, once the other one has ended: the requests are those of both."""


def serve(surroundings: Surroundings, room: Capacity, say: Callable[[str], None], stop: Stop) -> int:
    """Serve until a signal ends it; return the exit code. Raises KeyboardInterrupt when one has come already."""
    gc.set_threshold(YOUNG)
    loop = _new_loop()
    try:
        return loop.run_until_complete(_serve(surroundings, room, say, stop))
    finally:
        end(loop)


def _new_loop() -> asyncio.AbstractEventLoop:
    """uvloop's; asyncio's own where that is not to be had, as on Windows."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def _serve(surroundings: Surroundings, room: Capacity, say: Callable[[str], None], stop: Stop) -> int:
    try:
        async with _instance(surroundings, room) as instance:
            stop.check()
            with _until_signal(surroundings, instance, stop) as stopped:
                async with _guarded(surroundings.embedded, instance), Watchdog(surroundings.notifier, instance.observe):
                    await _serve_instance(surroundings, room, instance, stopped, say, stop)
    except ServerFailed as error:
        log.error("the HTTP server failed", reason=str(error))
        return 1
    except RuntimeError as error:
        log.error("the instance could not be closed in order", reason=str(error))
        return 1
    return 0


async def _serve_instance(
    surroundings: Surroundings,
    room: Capacity,
    instance: Instance,
    stopped: asyncio.Event,
    say: Callable[[str], None],
    stop: Stop,
) -> None:
    settings, place, renewal = surroundings.settings, surroundings.place, surroundings.renewal
    material = renewal.material if renewal else None
    apart = room.connections // OF_OWN_PORT if place else 0
    front = SharedPort(instance.front) if place else instance.front
    make = partial(_kind_of_server(relayed=settings.tls_client_names), observer=instance.observe, material=material)
    server = make(front, surroundings.held, connections=room.connections - apart, shared=place is not None)
    own = make(instance.front, place.own, connections=apart) if place else None
    _keep_what_is_there()
    instance.start()
    with logs.in_background():
        if own:
            await own.start()  # the others may ask for this one as soon as it has a slot
        await server.start()
        if renewal:
            renewal.tell(partial(_renew, [each for each in (server, own) if each]))
        surroundings.notifier.ready(f"serving at {url(settings.host, settings.port, own_scheme(settings))}")
        await _unless(stopped, introduce(say, surroundings, instance))
        await _unless(stopped, server.ended())
        await asyncio.sleep(settings.drain_wait)
        within = min(DRAIN_WITHIN, stop.within * DRAIN_WITHIN / END_WITHIN) - settings.drain_wait
        if own:
            own.refuse()
        in_time = await server.stop(within)
        if own:
            in_time = await own.stop(OWN_ENDS_WITHIN) and in_time
        if not in_time:
            log.warning("some requests were not answered in time")


def _kind_of_server(*, relayed: bool) -> type[Server]:
    """Return what serves; relayed: clients may be known by their certificates."""
    if not relayed:
        return Server
    from service.http.relayed import RelayedServer  # only where it is needed: it takes memory

    return RelayedServer


async def _renew(servers: Sequence[Server], material: Material) -> None:
    """Show the new certificate at both ports; a worker has two. Raises NotRenewed, if one of them goes on as it was."""
    for each in servers:
        await each.renew(material)


def _keep_what_is_there() -> None:
    """Spare the collector of cycles the modules, classes and functions, which stay to the end. To go through them took
    the loop 27 ms each time; here nobody waits yet. What comes later it goes through in a moment.
    """
    gc.collect()
    gc.freeze()


@contextlib.asynccontextmanager
async def _instance(surroundings: Surroundings, room: Capacity) -> AsyncIterator[Instance]:
    trouble = surroundings.embedded.trouble if surroundings.embedded else lambda: ""
    instance = Instance(
        surroundings.settings,
        surroundings.connection,
        surroundings.keyring,
        room,
        trouble,
        surroundings.renewal,
        surroundings.trust,
    )
    try:
        yield instance
    finally:
        await instance.close()


@contextlib.asynccontextmanager
async def _guarded(embedded: EmbeddedEtcd | None, instance: Instance) -> AsyncIterator[None]:
    if embedded is None:
        yield
        return
    embedded.guard(instance.observe, instance.embedded_etcd_ended)
    try:
        yield
    finally:
        await embedded.unguard()


@contextlib.contextmanager
def _until_signal(surroundings: Surroundings, instance: Instance, stop: Stop) -> Iterator[asyncio.Event]:
    """What is set when a signal has said to stop, now or later. Until then a hangup has files read again."""
    stopped, embedded = asyncio.Event(), surroundings.embedded
    notifier = surroundings.notifier
    loop = asyncio.get_running_loop()

    def look() -> None:
        if stop.asked and not stopped.is_set():
            notifier.stopping()
            instance.start_draining()
            if embedded:
                embedded.stand_back()
            stopped.set()
        elif stop.take_hangup():
            instance.rereading.ask(notifier.reloading)

    def hear(line: socket.socket) -> None:
        for word in workers_line.hear(line):
            if isinstance(word, workers_line.Quiet):
                instance.start_draining()
                continue
            if word.within is None:
                log.warning("the supervisor of this worker has gone; it ends")
                loop.remove_reader(line.fileno())
            stop.ask(word.within)

    # Of all that a loop has, this alone may be called while its own code is interrupted.
    stop.tell(lambda: loop.call_soon_threadsafe(look), kill=embedded.kill if embedded else lambda: None)
    line = surroundings.place.line if surroundings.place else None
    if line:
        loop.add_reader(line.fileno(), hear, line)
    try:
        yield stopped
    finally:
        if line:
            loop.remove_reader(line.fileno())
        stop.tell_nobody()


async def _unless(stopped: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do the work, and leave off when told to stop. Raises what it raises."""
    task, told = asyncio.create_task(work), asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait((task, told), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in (task, told):
            each.cancel()
        await asyncio.wait((task, told))
    if not task.cancelled():
        task.result()
