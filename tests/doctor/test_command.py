"""`python -m service doctor` as a command: what it prints, its exit code, and the etcd that it chooses."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from service.doctor.report import Report, ok, warning, wrong
from tests.support.etcd import EtcdServer, free_ports
from tests.support.https import Https
from tests.support.instances import InstanceProcess, environment, run_service

pytestmark = pytest.mark.lasting


def doctor(directory: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    done = run_service(directory, "doctor", *arguments, env=environment(**settings))
    assert done.stderr == ""
    return done


def test_a_line_for_each_check_then_what_to_do() -> None:
    report = Report(
        "config-service: etcd at a",
        [ok("leader", "it leads"), warning("version", "old", "Upgrade."), wrong("auth", "no", "Do:\nthis"),
         wrong("read", "no", "Do:\nthis")],
    )  # fmt: skip
    assert report.text() == (
        "config-service: etcd at a\n"
        "\n"
        "ok       leader       it leads\n"
        "warning  version      old\n"
        "wrong    auth         no\n"
        "wrong    read         no\n"
        "\n"
        "What to do:\n"
        "  1. Do:\n"
        "      this\n"
        "  2. Upgrade.\n"
    )
    assert Report("x", [ok("a", "b")]).text().endswith("\n\nNothing to do.\n")


def test_warnings_alone_are_healthy_but_not_nothing() -> None:
    fine, warned, broken = ok("a", ""), warning("b", "", ""), wrong("c", "", "")
    assert Report("x", [fine, warned]).healthy
    assert not Report("x", [fine, broken]).healthy
    codes = [Report("x", findings).exit_code for findings in ([fine], [fine, warned], [warned, broken], [broken])]
    assert codes == [0, 3, 1, 1]


def https_finding(directory: Path, https: Https, **settings: str) -> dict[str, str]:
    done = doctor(directory, "--json", HOST="127.0.0.1", **https.settings(), **settings)
    found: list[dict[str, str]] = [each for each in json.loads(done.stdout)["findings"] if each["check"] == "https"]
    (finding,) = found
    return finding


def test_the_certificate_that_clients_are_shown_is_looked_at(tmp_path: Path) -> None:
    """Before a start, and while an instance goes on showing the one from before."""
    https = Https.made(tmp_path / "tls")
    told = https_finding(tmp_path, https)
    assert told["level"] == "ok"
    assert told["found"].startswith("the certificate is for localhost, 127.0.0.1, until ")
    https.renew("config.example")
    told = https_finding(tmp_path, https)
    assert told["level"] == "warning"
    assert told["found"].endswith("and other instances would ask for 127.0.0.1")
    assert https_finding(tmp_path, https, TLS_PEER_NAME="config.example")["level"] == "ok"
    https.mount(https.authority.issue("127.0.0.1", days=3))
    assert "ends at" in https_finding(tmp_path, https)["found"]
    https.mount(https.authority.issue("127.0.0.1", expired=True))
    told = https_finding(tmp_path, https)
    assert (told["level"], "it expired at" in told["found"]) == ("wrong", True)
    assert '"https"' not in doctor(tmp_path, "--json", HOST="127.0.0.1").stdout


def would_work(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether the exit code says so, and of warnings as the text does: the release that tests have may be one."""
    return done.returncode == (3 if "\nwarning " in done.stdout else 0)


@pytest.mark.parametrize(
    ("program", "code", "said"), [("etcd_recent", 0, "ok       version "), ("etcd_351", 3, "warning  version ")]
)
def test_the_exit_code_tells_warnings_from_nothing_to_do(
    request: pytest.FixtureRequest, tmp_path: Path, program: str, code: int, said: str
) -> None:
    """All well, and well but for the faults of its release."""
    with EtcdServer(tmp_path / "etcd", program=request.getfixturevalue(program)) as etcd:
        done = doctor(tmp_path, HOST="127.0.0.1", ETCD_ENDPOINTS=etcd.endpoint)
    assert (done.returncode, said in done.stdout) == (code, True), done.stdout
    assert f"etcd at {etcd.endpoint} (from ETCD_ENDPOINTS)" in done.stdout


def test_the_exit_code_says_that_the_service_would_not_work(tmp_path: Path) -> None:
    done = doctor(tmp_path, ETCD_ENDPOINTS=f"http://127.0.0.1:{free_ports(1)[0]}")
    assert done.returncode == 1
    assert "\nwrong    endpoint " in done.stdout


def test_json_says_the_same(etcd: EtcdServer, tmp_path: Path) -> None:
    done = doctor(tmp_path, "--json", ETCD_ENDPOINTS=etcd.endpoint)
    found = json.loads(done.stdout)
    assert found["healthy"] is True
    assert {"level": "ok", "check": "auth", "found": "etcd asks for no user, and none is given", "remedy": ""} in (
        found["findings"]
    )


def test_settings_that_can_not_be_used_are_told_as_a_start_tells_them(tmp_path: Path) -> None:
    done = doctor(tmp_path, LEASE_TTL="soon")
    assert done.returncode == 1
    assert "LEASE_TTL is a text of 4 characters, no number; expected a whole number" in done.stdout


def test_who_is_let_in_is_told_and_a_list_that_would_end_a_start_is_wrong(etcd: EtcdServer, tmp_path: Path) -> None:
    settings = {"ETCD_ENDPOINTS": etcd.endpoint}
    assert "warning  tokens       none, and HOST is 0.0.0.0" in doctor(tmp_path, **settings, HOST="0.0.0.0").stdout
    assert "ok       tokens       none; HOST is 127.0.0.1" in doctor(tmp_path, **settings, HOST="127.0.0.1").stdout
    file = tmp_path / "tokens.json"
    file.write_text('[{"name": "one", "token": "0123456789-abcdef", "scopes": ["read"]}]')
    done = doctor(tmp_path, **settings, API_TOKENS_FILE=str(file))
    assert would_work(done), done.stdout
    assert "ok       tokens       1 token, from API_TOKENS_FILE" in done.stdout
    file.write_text('[{"name": "one", "token": "short", "scopes": ["read"]}]')
    done = doctor(tmp_path, **settings, API_TOKENS_FILE=str(file))
    assert (done.returncode, "wrong    tokens       API_TOKENS_FILE is" in done.stdout) == (1, True)
    assert "Instances that run keep the tokens they have until it is in order." in done.stdout
    assert "short" not in done.stdout.replace("shorter", "")


def test_the_file_decides_if_no_setting_does(etcd: EtcdServer, tmp_path: Path) -> None:
    """The service's own order: ETCD_ENDPOINTS, VCAP_SERVICES, instance/etcd.config.json, embedded."""
    hosts = [{"hostname": "127.0.0.1", "port": etcd.client_port}]
    (tmp_path / "instance").mkdir()
    (tmp_path / "instance" / "etcd.config.json").write_text(json.dumps({"connection": {"grpc": {"hosts": hosts}}}))
    done = doctor(tmp_path)
    assert f"etcd at {etcd.endpoint} (from instance/etcd.config.json)" in done.stdout
    assert would_work(done), done.stdout


def test_the_embedded_etcd_is_examined_if_it_runs_and_never_started(tmp_path: Path) -> None:
    done = doctor(tmp_path, HOST="127.0.0.1")
    assert (done.returncode, "not running; an instance would start" in done.stdout) == (0, True)
    assert list(tmp_path.iterdir()) == []
    with InstanceProcess(tmp_path) as instance:
        instance.wait_for_slot()
        done = doctor(tmp_path)
        assert f"etcd at {instance.embedded_etcd()['endpoint']} (from embedded)" in done.stdout
        assert "1 of 64 slots are taken" in done.stdout


def test_a_file_that_a_dead_owner_has_left_is_nobodys(tmp_path: Path) -> None:
    """Its process id may be anybody's by now: in a container it is 1 each time."""
    (tmp_path / "instance").mkdir()
    found = {"endpoint": "http://127.0.0.1:1", "version": "3", "pid": os.getpid(), "owner": os.getpid()}
    (tmp_path / "instance" / "etcd.json").write_text(json.dumps(found))
    assert "not running; an instance would start" in doctor(tmp_path, HOST="127.0.0.1").stdout


def test_unknown_arguments_are_refused(tmp_path: Path) -> None:
    for arguments in (["doctor", "--jsno"], ["doctro"], ["doctor", "now"]):
        done = run_service(tmp_path, *arguments, env=environment())
        assert done.returncode == 2, arguments
        assert "error: " in done.stderr
