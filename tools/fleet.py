"""A fleet on one machine: one etcd, N instances, HAProxy in front. `python -m tools.fleet -n 4 --port 8080`.

Owns the processes it starts and stops them in order: the balancer takes nothing new, the instances drain and leave,
etcd goes last, so that every answered write is in it. Restarts nothing: an instance that dies is reported, and the
fleet goes on without it. The exit code is 0 only if everything started, nothing died, and nothing had to be killed.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from threading import Event

from consistency.core.events import ignore
from consistency.loop import LoopThread
from service.embedded_etcd.child import child_environment
from service.embedded_etcd.shared import EmbeddedEtcd
from service.fleet.addresses import own_scheme
from service.process.listener import is_public
from service.process.startup import StartupError
from service.settings import connection
from service.settings.model import Settings
from tools import haproxy, probes
from tools.processes import Child

HERE = Path(__file__).parents[1]
"""Where `service` is, whichever directory the fleet is started in."""

READY_WITHIN = 30.0
BALANCER_DRAIN = 2
"""Seconds in which HAProxy finishes what is under way. With the next two below 15."""
INSTANCE_DRAIN = 9.0
"""Seconds for the instances, all at once: they drain for up to 8."""
ETCD_STOP = 2.0
GUESTS_STOP = 12.0
POLL = 0.1


class Fleet:
    """Everything that was started, in the order of starting. Used from the main thread only."""

    def __init__(self, directory: Path, tell: Callable[[str], None], stopping: Event) -> None:
        self._directory = directory
        self._tell = tell
        self._stopping = stopping
        self._etcd: EmbeddedEtcd | None = None
        self._loop = LoopThread()  # etcd's guard has it
        self._guarded = False
        self._instances: list[Child] = []
        self._balancer: Child | None = None
        self._guests: list[Child] = []
        self._ready: set[Child] = set()
        self._dead: set[Child] = set()
        self._settings = Settings.load(os.environ)
        self.scheme = own_scheme(self._settings)
        self._context = None
        if self._settings.speaks_https:
            self._context = probes.trusting(self._settings.tls_ca.content if self._settings.tls_ca else None)

    def start(self, size: int, host: str, port: int) -> None:
        """Starts all, returns when all instances are ready (or it was told to stop). Raises StartupError."""
        if self._settings.tls_client_ca:
            raise StartupError("TLS_CLIENT_CA is set, but nobody here has a client's certificate to show. Unset it")
        self._directory.mkdir(parents=True, exist_ok=True)
        self._start_etcd()
        environment = {**os.environ, "WORKERS": "1"}  # there are `size` of them already
        program = haproxy.find()
        probes.require_free(host, port)
        if not program:
            self._tell(f"HAProxy is not installed: the instances are reached one by one, from port {port} on")
        ports = probes.free_ports(size, port + 1 if program else port)
        for number, own in enumerate(ports):
            if program:  # whoever reaches the balancer reaches them, by whatever name it has for them
                own_host, names = "127.0.0.1", {"ALLOWED_HOSTS": "*"} if is_public(host) else {}
            else:
                own_host, names = host, {}
            self._instances.append(self._start_instance(number, own_host, own, {**names, **environment}))
        for instance in self._instances:
            self._wait_until_ready(instance)
        if program and not self._stopping.is_set():
            self._balancer = self._start_balancer(program, f"{host}:{port}", ports)
            self._wait_until_ready(self._balancer)

    def _start_etcd(self) -> None:
        """If none is set. The instances share it: it is that of their directory, and they know it by its name."""
        if not connection.resolve(self._settings, self._directory).embedded:
            return
        self._etcd = EmbeddedEtcd(self._directory, self._tell)
        running = self._etcd.start()
        self._loop.enter()
        self._guarded = True
        self._loop.run(self._guard(self._etcd))
        self._tell(_row("etcd " + running.version, running.endpoint, running.pid, self._directory / "etcd.log"))

    async def _guard(self, etcd: EmbeddedEtcd) -> None:
        etcd.guard(ignore)

    def _start_instance(self, number: int, host: str, port: int, environment: dict[str, str]) -> Child:
        places = os.pathsep.join([str(HERE), *filter(None, [environment.get("PYTHONPATH")])])
        own = {"HOST": host, "PORT": str(port), "CF_INSTANCE_INDEX": str(number), "PYTHONPATH": places}
        return Child(
            name=f"instance {number}",
            address=f"{self.scheme}://{probes.reachable(host)}:{port}",
            command=[sys.executable, "-P", "-m", "service", "--data-dir", str(self._directory)],
            log=self._directory / f"instance-{number}.log",
            env={**environment, **own, "PYTHONUNBUFFERED": "1"},
        )

    def _start_balancer(self, program: str, address: str, ports: Sequence[int]) -> Child:
        file = self._directory / "haproxy.cfg"
        backends = [f"127.0.0.1:{port}" for port in ports]
        text = haproxy.configuration(address, backends, drain=BALANCER_DRAIN, https=self._https())
        file.write_text(text, encoding="utf-8")
        return Child(
            name="balancer",
            address=f"{self.scheme}://{probes.reachable(address)}",
            command=[program, "-db", "-f", str(file)],
            log=self._directory / "haproxy.log",
            env=child_environment(),
        )

    def _https(self) -> haproxy.Https | None:
        """Files for the balancer, which this user alone may read."""
        cert, key, ca = self._settings.tls_cert, self._settings.tls_key, self._settings.tls_ca
        if cert is None or key is None:
            return None
        files = {"haproxy.pem": cert.content + b"\n" + key.content, "haproxy-ca.pem": ca.content if ca else b""}
        for name, content in files.items():
            (self._directory / name).unlink(missing_ok=True)
            with os.fdopen(os.open(self._directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
        shown, authorities = (str(self._directory / name) for name in files)
        return haproxy.Https(shown, authorities if ca else "")

    def _wait_until_ready(self, child: Child) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while not ((answer := probes.readiness(child.address, self._context)).startswith("200") and child.listens()):
            if self._stopping.wait(POLL):
                return
            if (status := child.exit_status()) is not None:
                self._dead.add(child)
                raise StartupError(f"{child.name} ended with {status} before it was ready:\n{child.last_words()}")
            if time.monotonic() > deadline:
                raise StartupError(
                    f"{child.name} is not ready after {READY_WITHIN:.0f} s; {child.address}/readyz says: {answer}. "
                    f"Expected 200, from process {child.pid}. Its log is {child.log}:\n{child.last_words()}"
                )
        self._ready.add(child)
        self._tell(_row(child.name, child.address, child.pid, child.log))

    def admit(self, guest: Child) -> None:
        """Watches somebody who uses the fleet, too, and stops them first."""
        self._guests.append(guest)
        self._ready.add(guest)
        self._tell(_row(guest.name, guest.address, guest.pid, guest.log))

    def run(self) -> bool:
        """Watches until told to stop, reports who dies; whether nobody did. Ends early when there is nothing left."""
        while not self._stopping.wait(POLL):
            for child in self._running():
                if (status := child.exit_status()) is not None:
                    self._dead.add(child)
                    self._tell(f"{child.name} (process {child.pid}) has ended with {status}:\n{child.last_words()}")
            if self._balancer in self._dead or not set(self._instances) - self._dead:
                self._tell("nothing can be served any more")
                break
        return not self._dead

    def _running(self) -> list[Child]:
        everyone = [*self._guests, *self._instances, *([self._balancer] if self._balancer else [])]
        return [child for child in everyone if child not in self._dead]

    def stop(self) -> bool:
        """Stops all that runs, in order, the fleet in less than 15 s; whether all ended well and by themselves."""
        guests = [guest for guest in self._guests if guest not in self._dead]
        for guest in guests:
            guest.ask_to_stop()
        well = self._ended_well(guests, GUESTS_STOP)
        if self._balancer and self._balancer not in self._dead:
            # HAProxy's word for "take nothing new and finish what is under way"; SIGTERM would cut.
            self._balancer.ask_to_stop(signal.SIGUSR1)
            well &= self._ended_well([self._balancer], BALANCER_DRAIN + 1.0)
        instances = [child for child in self._instances if child not in self._dead]
        for child in instances:
            child.ask_to_stop()
        well &= self._ended_well(instances, INSTANCE_DRAIN)
        if self._etcd:
            self._stop_etcd(self._etcd)
        return well

    def _stop_etcd(self, etcd: EmbeddedEtcd) -> None:
        if self._guarded:
            self._loop.run(etcd.unguard())
        etcd.stop(ETCD_STOP)  # before the thread ends that may have started it
        if self._guarded:
            self._loop.leave()

    def _is_early(self, child: Child, status: int) -> bool:
        """Whether the signal just ended it, before it was there to be heard. Guests are not waited for at the start."""
        return child not in self._ready or (child in self._guests and status == -signal.SIGTERM)

    def _ended_well(self, children: Sequence[Child], seconds: float) -> bool:
        until, well = time.monotonic() + seconds, True
        for child in children:
            if not child.wait(until):
                self._tell(f"{child.name} did not stop within {seconds:.0f} s and was killed")
                well = False
            elif (status := child.exit_status()) and not self._is_early(child, status):
                self._tell(f"{child.name} stopped with {status}:\n{child.last_words()}")
                well = False
        return well


def _row(name: str, address: str, pid: int, log: Path) -> str:
    return f"{name:<14}{address:<28}{pid:<9}{log}"


def _tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # a program for terminals


def _arguments(given: Sequence[str] | None, program: str, data: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program, description="Runs a fleet on this machine.")
    parser.add_argument("-n", type=int, default=4, metavar="N", help="instances, 1 to 64 (default: 4)")
    parser.add_argument("--host", default="0.0.0.0", help="address of the balancer (default: 0.0.0.0)")
    parser.add_argument("--port", type=int, default=8080, help="port of the balancer (default: 8080)")
    parser.add_argument("--data-dir", default=data, metavar="DIRECTORY", help="of its data (default: %(default)s)")
    arguments = parser.parse_args(given)
    if not 1 <= arguments.n <= 64:
        parser.error(f"-n is {arguments.n}; expected 1 to 64, for example -n 4")
    return arguments


def main(given: Sequence[str] | None = None, *, program: str = "python -m tools.fleet", data: str = "instance") -> int:
    """Runs a fleet until SIGINT or SIGTERM; the exit code."""
    arguments = _arguments(given, program, data)
    return serve(arguments.n, arguments.host, arguments.port, data=Path(arguments.data_dir))


def serve(
    size: int,
    host: str,
    port: int,
    guests: Callable[[str], Iterable[Child]] = lambda _: (),
    look: str = "",
    data: Path = Path("instance"),
) -> int:
    """Runs a fleet until SIGINT or SIGTERM, and, once it is ready, its `guests`, told its address; the exit code.

    look: what there is to see, told when all of them have started.
    """
    stopping = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    try:
        fleet = Fleet(data, _tell, stopping)
    except StartupError as error:
        _tell(f"the fleet can't start: {error}")
        return 1
    well, at = False, f"{fleet.scheme}://127.0.0.1:{port}"
    _tell(f"starting etcd, {size} instances and a balancer: five seconds, and half a second for each instance")
    try:
        fleet.start(size, host, port)
        if not stopping.is_set():
            for guest in guests(at):
                fleet.admit(guest)
            _tell(f"\n{at}/ is its page      Ctrl-C stops the fleet\n{look}")
        well = fleet.run()
    except StartupError as error:
        _tell(f"the fleet can't start: {error}")
    except OSError as error:  # a log or a directory of another user
        _tell(f"the fleet can't start: {error.strerror} ({error.filename})")
    finally:
        _tell("stopping")
        well &= fleet.stop()
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
