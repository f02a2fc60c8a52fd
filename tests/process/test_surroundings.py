"""Starts in surroundings that lack something: one message with what to do, exit code 1, no traceback, nothing left.

A table of all that a start touches, step by step: the Python that runs it, its packages, arguments, streams,
environment, files of settings, the socket, the directory of the embedded etcd and what is in it, the etcd program.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from service.settings.small_files import MOST
from tests.support.etcd import dying_with_us, free_ports
from tests.support.instances import PROJECT, InstanceProcess, environment

pytestmark = pytest.mark.lasting

LATIN = os.fsdecode(b"gr\xfcn")
WITHOUT_RIGHTS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
"""Root then may only what the modes of files allow, as others do."""


def run(directory: Path, *arguments: str, redirect: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """`python -m service` to its end, without rights beyond the modes of files. `redirect`: as the shell writes it."""
    given = environment(**{"HOST": "127.0.0.1", "PORT": str(free_ports(1)[0]), **settings})
    command = [sys.executable, "-m", "service", *arguments]
    if os.geteuid() == 0:
        command = [*WITHOUT_RIGHTS, *command]
    return subprocess.run(
        dying_with_us(["/bin/sh", "-c", f'exec "$@" {redirect}', "sh", *command]),
        cwd=directory, env=given, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def etcds_in(directory: Path) -> list[str]:
    """Command lines of the etcd processes that work in this directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return [line for line in found if f"--data-dir={directory}" in line]


def nothing(_directory: Path) -> None:
    """All is as a start expects it."""


def closed(path: str, mode: int) -> Callable[[Path], None]:
    """A directory of that mode; its parents are as usual."""

    def prepare(directory: Path) -> None:
        (directory / path).mkdir(parents=True)
        (directory / path).chmod(mode)

    return prepare


def written(path: str, content: str = "{}", mode: int = 0o600) -> Callable[[Path], None]:
    """A file of that mode."""

    def prepare(directory: Path) -> None:
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(content)
        (directory / path).chmod(mode)

    return prepare


def linked(path: str, target: str) -> Callable[[Path], None]:
    """A symbolic link."""

    def prepare(directory: Path) -> None:
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).symlink_to(target)

    return prepare


def piped(path: str) -> Callable[[Path], None]:
    """A pipe that nobody writes to."""

    def prepare(directory: Path) -> None:
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(directory / path)

    return prepare


def program(content: str, mode: int = 0o755) -> Callable[[Path], None]:
    """In the place of etcd."""
    return written("bin/etcd", content, mode)


def both(*steps: Callable[[Path], None]) -> Callable[[Path], None]:
    """One after the other."""

    def prepare(directory: Path) -> None:
        for step in steps:
            step(directory)

    return prepare


@dataclass(frozen=True)
class Case:
    """What is missing, and what has to be said about it."""

    name: str
    told: str
    prepare: Callable[[Path], None] = nothing
    environ: dict[str, str] = field(default_factory=dict)
    arguments: Sequence[str] = ()
    redirect: str = ""


CONFIG = "instance/etcd.config.json"
OWN_ETCD = {"PATH": f"bin{os.pathsep}{os.environ['PATH']}"}
CASES = [
    # the environment
    Case("password in latin-1", "ETCD_PASSWORD has a byte that is not UTF-8",
         environ={"ETCD_ENDPOINTS": "a:1", "ETCD_USER": "u", "ETCD_PASSWORD": LATIN}),
    Case("prefix in latin-1", "USER_KEY_PREFIX has a byte that is not UTF-8", environ={"USER_KEY_PREFIX": LATIN}),
    Case("path in latin-1", "API_TOKENS_FILE has a byte that is not UTF-8", environ={"API_TOKENS_FILE": LATIN}),
    Case("file name that is too long", "ETCD_CA_CERT is a text of 5000 characters (it is not PEM text, and as a file "
         "it can't be read: File name too long)", environ={"ETCD_CA_CERT": "x" * 5000}),
    # the socket
    Case("host is a star", "HOST is a name of 1 character, which is no address", environ={"HOST": "*"}),
    Case("host has an empty label", "HOST is a name of 4 characters, which is no address", environ={"HOST": "a..b"}),
    Case("host has a long label", "HOST is a name of 70 characters, which is no address", environ={"HOST": "a" * 70}),
    Case("host is an URL", "HOST is a text of 16 characters", environ={"HOST": "http://127.0.0.1"}),
    Case("host has a port", "HOST is a name of 14 characters, which is no address", environ={"HOST": "127.0.0.1:8080"}),
    Case("host in brackets", "HOST is a name of 5 characters, which is no address", environ={"HOST": "[::1]"}),
    Case("host is somebody else's", "HOST is 192.0.2.1, which is no address", environ={"HOST": "192.0.2.1"}),
    Case("port is no number", "PORT is a text of 5 characters, no number", environ={"PORT": "8080x"}),
    # files of settings
    Case("tokens: nothing there", "API_TOKENS_FILE can't be used: it can't be read: No such file",
         environ={"API_TOKENS_FILE": "none.json"}),
    Case("tokens: not ours", "it can't be read: Permission denied", written("tokens.json", "[]", 0o000),
         {"API_TOKENS_FILE": "tokens.json"}),
    Case("tokens: a directory", "it can't be read: Is a directory", environ={"API_TOKENS_FILE": "."}),
    Case("tokens: a pipe", "it is no regular file", piped("tokens.json"), {"API_TOKENS_FILE": "tokens.json"}),
    Case("tokens: a device", "it is no regular file", environ={"API_TOKENS_FILE": "/dev/null"}),
    Case("tokens: huge", "it has more than", written("tokens.json", " " * (MOST + 1)),
         {"API_TOKENS_FILE": "tokens.json"}),
    Case("key: a pipe", "it is no regular file", piped("key.pem"), {"ETCD_KEY": "key.pem"}),
    Case("key: not ours", "Permission denied", written("key.pem", "", 0o000), {"ETCD_KEY": "key.pem"}),
    # the file that names an etcd
    Case("config: a link to nothing", f"{CONFIG} can't be used: it can't be read: No such file or directory, it is a "
         "link to something that is not there", linked(CONFIG, "elsewhere.json")),
    Case("config: a link to itself", "Too many levels of symbolic links", linked(CONFIG, "etcd.config.json")),
    Case("config: a directory", f"{CONFIG} can't be used: it can't be read: Is a directory", closed(CONFIG, 0o755)),
    Case("config: a pipe", f"{CONFIG} can't be used: it can't be read: it is no regular file", piped(CONFIG)),
    Case("config: not ours", f"{CONFIG} can't be used: it can't be read: Permission denied", written(CONFIG, mode=0)),
    Case("config: huge", f"{CONFIG} can't be used: it has more than {MOST} bytes", written(CONFIG, " " * (MOST + 1))),
    Case("config: empty", f"{CONFIG} can't be used: it is not JSON", written(CONFIG, "")),
    Case("config: a directory that can't be searched", "it can't be looked for: Permission denied",
         both(written(CONFIG), lambda directory: (directory / "instance").chmod(0o600))),
    # the directory of the embedded etcd
    Case("instance: not ours", "the embedded etcd can't keep its data in", closed("instance", 0o500)),
    Case("instance: a file", "the embedded etcd can't keep its data in", written("instance")),
    Case("instance: a link to nothing", "the embedded etcd can't keep its data in", linked("instance", "elsewhere")),
    Case("instance/etcd: not ours", "the embedded etcd can't keep its data in", closed("instance/etcd", 0o500)),
    Case("instance/etcd: its content not ours", "Its log, ",
         both(closed("instance/etcd", 0o700), closed("instance/etcd/member", 0o000))),
    Case("etcd.json: not ours", "Permission denied", written("instance/etcd.json", "", 0o400)),
    Case("etcd.json: a directory", "Is a directory", closed("instance/etcd.json", 0o700)),
    Case("etcd.json: a pipe", "etcd.json is no file", piped("instance/etcd.json")),
    Case("etcd.log: a pipe, and its place taken", "/etcd.log",
         both(piped("instance/etcd.log"), closed("instance/etcd.log.1/x", 0o700))),
    Case("etcd.log: not to be replaced", "/etcd.log",
         both(closed("instance/etcd.log.1/x", 0o700), written("instance/etcd.log"))),
    Case("etcd.log: a link to what is not ours", "Permission denied", both(
        written("other.log", "", 0o400), closed("instance/etcd", 0o700),
        lambda directory: (directory / "instance").chmod(0o500),
    )),
    # the etcd program
    Case("etcd: no program", "can't be started: Exec format error", program("\0\0\0\0"), OWN_ETCD),
    Case("etcd: without its interpreter", "can't be started: No such file", program("#!/none\n"), OWN_ETCD),
    # streams, of commands that have nothing to do but print
    *(
        Case(f"{' '.join(arguments)}, output {what}", told, arguments=arguments, redirect=redirect)
        for arguments in (["--help"], ["--version"], ["doctor"], ["doctor", "--json"], ["doctor", "--help"])
        for what, redirect, told in (
            ("closed", ">&-", "nothing can be printed: standard output is closed"),
            ("full", ">/dev/full", "not all could be printed: standard output: No space left on device"),
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_a_start_lacks_is_told_in_one_message(tmp_path: Path, case: Case) -> None:
    """Whatever it is."""
    case.prepare(tmp_path)
    try:
        done = run(tmp_path, *case.arguments, redirect=case.redirect, **case.environ)
    finally:
        for path in tmp_path.rglob("*"):  # for who clears up
            if not path.is_symlink() and path.is_dir():
                path.chmod(0o700)
    assert done.stderr.splitlines()[-1:] != []
    assert "Traceback" not in done.stderr
    assert done.returncode == 1, done.stderr
    assert "config-service: " in done.stderr
    assert case.told in done.stderr
    assert "it can't go on" not in done.stderr, "a message of its own"
    assert etcds_in(tmp_path) == []


@pytest.mark.parametrize("arguments", [[], ["doctor"]])
def test_a_working_directory_that_is_gone_is_told(tmp_path: Path, arguments: list[str]) -> None:
    """The doctor starts nothing, and needs none."""
    gone = tmp_path / "gone"
    gone.mkdir()
    command = [sys.executable, "-m", "service", *arguments]
    done = subprocess.run(
        dying_with_us(["/bin/sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh", *command]),
        cwd=gone, env=environment(HOST="127.0.0.1", PORT=str(free_ports(1)[0])), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    if not arguments:
        assert done.returncode == 1
        assert "config-service: the working directory is gone or closed to this user: No such file" in done.stderr
    else:
        assert "not running; an instance would start" in done.stdout


@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
def test_a_service_runs_whatever_becomes_of_its_streams(tmp_path: Path, redirect: str) -> None:
    """A user who closes them wants to hear nothing. Sockets don't get their numbers: complaints would end up there."""
    instance = Redirected(tmp_path, redirect)
    try:
        instance.start().wait_until_ready()
        assert instance.put("a", b"1").status_code == 201
        kinds = {number: str(Path(f"/proc/{instance.pid}/fd/{number}").readlink()) for number in (0, 1, 2)}
        assert not [link for link in kinds.values() if link.startswith(("socket:", "anon_inode:"))], kinds
        assert instance.stop() == 0
    finally:
        instance.kill()


class Redirected(InstanceProcess):
    """Started by a shell that closes something first."""

    def __init__(self, directory: Path, redirect: str, **settings: str) -> None:
        super().__init__(directory, **settings)
        self._redirect = redirect

    def start(self) -> Redirected:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                dying_with_us(["/bin/sh", "-c", f'exec "$@" {self._redirect}', "sh", sys.executable, "-m", "service"]),
                cwd=self.directory,
                env=environment(**self._settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self


def test_a_terminal_that_is_closed_does_not_keep_it_from_ending_in_order(tmp_path: Path) -> None:
    """Its last words have nowhere to go then."""
    ours, theirs = os.openpty()
    instance = InstanceProcess(tmp_path)
    instance.output = theirs
    try:
        instance.start().wait_until_ready()
        os.close(theirs)
        os.close(ours)
        assert instance.stop() == 0
        assert '"stopped"' in instance.printed()
    finally:
        instance.kill()


def test_an_encoding_that_lacks_letters_leaves_none_out(tmp_path: Path) -> None:
    """The doctor's text has more than ASCII in it."""
    for arguments in (["--help"], ["doctor"]):
        done = run(tmp_path, *arguments, PYTHONIOENCODING="ascii")
        assert done.stderr == ""
        assert done.returncode == 0


@pytest.mark.parametrize("name", ["PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"])
def test_metrics_in_files_of_several_processes_are_not_begun(tmp_path: Path, name: str) -> None:
    """Set for something else in the same container; here it would end the start, or keep nothing in /metrics."""
    with InstanceProcess(tmp_path, **{name: str(tmp_path / "none")}) as instance:
        assert f"{name} is set, and ignored" in instance.printed()
        instance.put("a", b"1")
        assert "config_http_requests_total{" in instance.request("GET", "/metrics").text


@pytest.mark.parametrize("package", ["pydantic", "structlog", "grpc", "granian", "flask", "prometheus_client"])
def test_a_package_that_is_missing_is_named_with_how_to_get_it(tmp_path: Path, package: str) -> None:
    """Such as with the system's Python. Those that are loaded late leave no etcd behind."""
    hider = tmp_path / "sitecustomize.py"
    hider.write_text(f"import sys\nsys.modules[{package!r}] = None\n")
    done = run(tmp_path, PYTHONPATH=os.pathsep.join((str(tmp_path), str(PROJECT))))
    assert "Traceback" not in done.stderr
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"config-service: the package {package} is not installed for {sys.executable}. Start the ")
    assert "`make run`" in last
    assert etcds_in(tmp_path) == []


OLD_PYTHONS = sorted(
    {found for name in ("2.7", "3.6", "3.7", "3.8", "3.9", "3.10") if (found := shutil.which(f"python{name}"))}
    | {str(path) for path in Path("/root/.pyenv/versions").glob("*/bin/python") if os.access(path, os.X_OK)}
)


def version_of(python: str) -> tuple[int, ...]:
    """Such as (3, 8); the newest there can be for what is none, such as a stand-in that looks for one in vain."""
    code = "import sys; print('%d %d' % sys.version_info[:2])"
    told = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    return tuple(map(int, told.stdout.split())) if told.returncode == 0 else (99,)


def test_the_first_lines_are_read_by_any_python() -> None:
    """By the oldest grammar that this one knows; and none of what later ones added stands there."""
    source = (PROJECT / "service" / "__main__.py").read_text()
    tree = ast.parse(source, feature_version=(3, 4))
    newer = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.FunctionDef)
    assert not [node for node in ast.walk(tree) if isinstance(node, newer)]
    assert "__future__" not in source


def test_an_old_python_is_told_which_one_is_expected(tmp_path: Path) -> None:
    """With each that is here."""
    shutil.copy(PROJECT / "requirements.txt", tmp_path)
    old = [python for python in OLD_PYTHONS if version_of(python) < (3, 11)]
    for python in old:
        done = subprocess.run(
            [python, "-B", "-m", "service"], cwd=tmp_path, env=environment(), capture_output=True, text=True,
            timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode == 1, python
        assert done.stderr.startswith("config-service: this is Python "), done.stderr
        assert "expected 3.11 or newer" in done.stderr
        made = subprocess.run(
            ["make", "-f", PROJECT / "Makefile", "run", f"PYTHON={python}"], cwd=tmp_path, capture_output=True,
            text=True, timeout=30, check=False,
        )  # fmt: skip
        assert f"{python} is Python " in made.stderr
        assert "expected 3.11 or newer, for example make PYTHON=python3.11" in made.stderr
        assert not (tmp_path / ".venv").exists()


def test_an_error_that_nobody_foresaw_is_one_line_without_its_text(tmp_path: Path) -> None:
    """Its text may hold anything; where it came from is told."""
    hider = tmp_path / "sitecustomize.py"
    hider.write_text(
        "import socket\ndef refuse(*_, **__):\n    raise ZeroDivisionError('s3cret')\nsocket.getaddrinfo = refuse\n"
    )
    done = run(tmp_path, PYTHONPATH=os.pathsep.join((str(tmp_path), str(PROJECT))))
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("config-service: it can't go on: ZeroDivisionError (service/process/listener.py:")
    assert ", from service/process/life.py:" in last
    assert "s3cret" not in done.stderr
    assert "Traceback" not in done.stderr
