"""The relay by itself: between real clients over TLS and a server in plain text, on one loop of uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop

from service.process import handover
from service.process.listener import BUFFER, reserve
from service.tls import pipe, relay
from service.tls.contexts import server_context
from service.tls.pipe import LARGEST, Side
from service.tls.relay import Relay
from service.tls.shown import Material
from tests.support.certificates import Authority

PIECE = b"x" * 65_536
HELD = 4 * BUFFER + 8 * LARGEST
"""Bytes that may be on their way through it in one direction: the kernel's four buffers, and ours."""

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@dataclass
class Scene:
    """A relay, and how clients connect to it."""

    relay: Relay
    address: tuple[str, int]
    inside: int
    client: ssl.SSLContext
    handlers: set[asyncio.Task[None]]

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.address, ssl=self.client, server_hostname="localhost", limit=1024)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Material, ssl.SSLContext]:
    """What the relay shows, and what a client does that is known as `ci.example`."""
    authority = Authority()
    server, own = authority.issue("localhost"), authority.issue("ci.example")
    directory: Path = tmp_path_factory.mktemp("client")
    (directory / "crt").write_bytes(own.cert)
    (directory / "key").write_bytes(own.key)
    client = ssl.create_default_context(cadata=authority.pem.decode())
    client.load_cert_chain(directory / "crt", directory / "key")
    return Material(server.cert, server.key, authority.pem, None, 0.0, ()), client


@contextlib.asynccontextmanager
async def scene(
    secrets: tuple[Material, ssl.SSLContext], serve: Serve, *, connections: int = 8, silent: int = 8
) -> AsyncIterator[Scene]:
    material, client = secrets
    handlers: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        handlers.add(task)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    inside = server.sockets[0].getsockname()
    with reserve("127.0.0.1", 0) as held:
        address = held.getsockname()
        made = Relay(address, connections=connections, silent=silent)
        made.start(server_context(material), inside)
        try:
            yield Scene(made, address, inside[1], client, handlers)
        finally:
            made.stop()
            await made.end(0.0)
            server.close()
            for task in handlers:
                task.cancel()
            await asyncio.gather(*handlers, return_exceptions=True)


def run(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(work, 30))


async def settled(count: Callable[[], int]) -> int:
    """What it comes to once it has not changed for a while."""
    before = -1
    while (now := count()) != before:
        before = now
        await asyncio.sleep(0.3)
    return now


def test_neither_side_is_read_faster_than_the_other_reads(secrets: tuple[Material, ssl.SSLContext]) -> None:
    """Of 64 MB that nobody takes a bounded part is on its way; then all of it comes, in order."""
    sent = 0

    async def write(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        for _ in range(1024):
            writer.write(PIECE)
            await writer.drain()
            sent += len(PIECE)

    async def to_the_client() -> None:
        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await write(writer)

        async with scene(secrets, serve) as on:
            reader, writer = await on.connect()
            assert await settled(lambda: sent) < HELD + 6 * 1024 * 1024  # and what the client's kernel takes
            received = 0
            while piece := await reader.read(1 << 20):
                received += len(piece)
            assert received == 1024 * len(PIECE), "the server's end comes behind the last byte"
            writer.close()

    async def to_the_server() -> None:
        nonlocal sent
        sent, go, received = 0, asyncio.Event(), 0

        async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            nonlocal received
            await go.wait()
            while piece := await reader.read(1 << 20):
                received += len(piece)

        async with scene(secrets, serve) as on:
            _, writer = await on.connect()
            writing = asyncio.create_task(write(writer))
            assert await settled(lambda: sent) < HELD + 6 * 1024 * 1024
            go.set()
            await writing
            assert await settled(lambda: received) == 1024 * len(PIECE)
            writer.close()

    run(to_the_client())
    run(to_the_server())


@pytest.fixture
def uncollected() -> Iterator[None]:
    """The collector of cycles stays away."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
def test_it_is_known_whose_a_connection_is_until_it_has_gone(secrets: tuple[Material, ssl.SSLContext]) -> None:
    """None comes from an address that another one has had, and nothing of one that has gone is kept."""
    sources: list[tuple[str, int]] = []

    async def work() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            sources.append(writer.get_extra_info("peername"))
            writer.write(await reader.read(1))
            await reader.read()

        async with scene(secrets, serve) as on:
            for number in range(20):
                reader, writer = await on.connect()
                writer.write(b"a")
                assert await reader.read(1) == b"a"
                known = on.relay.inside.whose(sources[number])
                assert known is not None
                assert known.names == ("dns:ci.example",)
                assert on.relay.inside.whose((sources[number][0], sources[number][1] ^ 1)) is None
                writer.close()
                await writer.wait_closed()
            await settled(lambda: sum(on.relay.inside.whose(each) is not None for each in sources))
            assert [on.relay.inside.whose(each) for each in sources] == [None] * 20
            kept = [each for each in gc.get_objects() if isinstance(each, Side)]
            assert not kept, "they would stay until the collector of cycles comes by"
        assert len({host for host, _ in sources}) == 20
        assert all(host.startswith("127.") and host != "127.0.0.1" for host, _ in sources)

    run(work())


def test_the_socket_to_the_server_is_let_go_of_when_the_client_has_gone_meanwhile() -> None:
    """1. The client goes while its connection to the server is made. 2. That is closed, as soon as it is there. 3. Were
    its number kept, whoever has it next would be closed with it.
    """

    async def work() -> None:
        client = Side()
        client.ended.set()
        with socket.create_server(("127.0.0.1", 0)) as server:
            made = socket.create_connection(server.getsockname())
            made.setblocking(False)
            side = Side(client)
            await asyncio.get_running_loop().create_connection(lambda: side, sock=made)
            await side.ended.wait()
            await asyncio.sleep(0.05)
            assert made.fileno() == -1

    run(work())


def test_a_fault_that_ends_it_is_told(
    secrets: tuple[Material, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it would accept nobody, and seem to be well."""
    monkeypatch.setattr(relay, "PAUSE", "no number")
    told: list[BaseException] = []

    async def work() -> None:
        material, _ = secrets
        with reserve("127.0.0.1", 0) as held:
            address = held.getsockname()
            made = Relay(address, connections=1, silent=1)
            made.start(server_context(material), address, told.append)
            for listener in handover.listeners():
                with listener:
                    if listener.getsockname() == address:
                        listener.shutdown(socket.SHUT_RDWR)  # nothing can be accepted there any more
            async with asyncio.timeout(5):
                while not told:
                    await asyncio.sleep(0.01)
            made.stop()
            await made.end(0.0)

    run(work())
    assert [type(each) for each in told] == [TypeError]


async def nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


def ended(plain: socket.socket) -> Coroutine[Any, Any, bytes]:
    plain.setblocking(False)
    return asyncio.get_running_loop().sock_recv(plain, 1)


def test_a_client_that_does_not_begin_or_comes_to_no_end_is_let_go(
    secrets: tuple[Material, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silent, or in the middle of its handshake; those that have begun nothing take no place of others."""
    monkeypatch.setattr(relay, "BEGIN_WITHIN", 1.0)

    async def work() -> None:
        async with scene(secrets, nothing, connections=2, silent=4) as on:
            silent = [socket.create_connection(on.address) for _ in range(3)]
            _, writer = await on.connect()
            begun = socket.create_connection(on.address)
            begun.sendall(b"\x16\x03\x01")
            for each in (*silent, begun):
                with each, contextlib.suppress(ConnectionResetError):
                    assert await ended(each) == b""
            writer.close()

    run(work())


def test_no_more_are_open_than_there_are_places(secrets: tuple[Material, ssl.SSLContext]) -> None:
    """One more waits until one has gone."""

    async def work() -> None:
        async with scene(secrets, nothing, connections=2, silent=1) as on:
            first = [await on.connect() for _ in range(2)]
            late = asyncio.create_task(on.connect())
            await asyncio.sleep(0.3)
            assert not late.done()
            first[0][1].close()
            _, writer = await late
            writer.close()
            first[1][1].close()

    run(work())


def test_a_client_that_does_not_take_the_rest_is_cut_off(
    secrets: tuple[Material, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server has ended, which nobody sees as long as there is more for it than it takes."""
    monkeypatch.setattr(pipe, "END_WITHIN", 0.5)
    monkeypatch.setattr(pipe, "TAKEN_WITHIN", 0.5)
    monkeypatch.setattr(relay, "END_WITHIN", 0.5)

    async def work() -> None:
        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(PIECE * 16)

        async with scene(secrets, serve, connections=1, silent=1) as on:
            with socket.socket() as plain:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                plain.connect(on.address)
                wrapped = await asyncio.to_thread(
                    lambda: on.client.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False)
                )
                with wrapped:
                    _, writer = await on.connect()  # its place is free again
                    writer.close()

    run(work())


def test_a_client_whose_server_accepts_nobody_is_let_go(
    secrets: tuple[Material, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place is free again soon, and not only when the kernel has given up."""
    monkeypatch.setattr(relay, "BEGIN_WITHIN", 1.0)

    async def work() -> None:
        async with scene(secrets, nothing, connections=1, silent=1) as on:
            with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as first:
                first.connect(full.getsockname())  # the one that may wait
                on.relay.switch(server_context(secrets[0]), full.getsockname())
                reader, writer = await on.connect()
                with contextlib.suppress(ConnectionResetError):
                    assert await asyncio.wait_for(reader.read(), 10) == b""
                writer.close()

    run(work())


def test_a_server_that_takes_most_of_the_rest_and_no_more_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """1. The client has gone; the server has not taken all. 2. It takes most, and the loop says that more could be
    written. 3. It takes no more: the connection ends all the same.
    """
    monkeypatch.setattr(pipe, "END_WITHIN", 1.0)

    async def work() -> None:
        loop, resumed = asyncio.get_running_loop(), asyncio.Event()

        class Told(Side):
            def resume_writing(self) -> None:
                super().resume_writing()
                resumed.set()

        near, sends = socket.socketpair()
        made, takes = socket.socketpair()
        with sends, takes:
            client = Side()
            await loop.create_connection(lambda: client, sock=near)
            inner = Told(client)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            await loop.create_connection(lambda: inner, sock=made)
            for each in (sends, takes):
                each.setblocking(False)
            while inner.unsent <= LARGEST:  # piece by piece: what is written at once is taken at once, for uvloop
                await loop.sock_sendall(sends, PIECE[:8192])
                await asyncio.sleep(0.001)
            client.abort()
            await client.ended.wait()
            while not resumed.is_set():
                await loop.sock_recv(takes, 4096)
            assert 0 < inner.unsent < LARGEST
            await asyncio.wait_for(inner.ended.wait(), 10)

    run(work())
