"""`configctl` as a command, against a real instance over a real etcd."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config_client import Service
from config_client.ctl import exits
from tests.client.real_service import Command, environ
from tests.client.scripted_server import ScriptedServer
from tests.client.test_ctl_rooms import NAMES
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within

pytestmark = pytest.mark.lasting


@pytest.fixture(scope="module")
def instance(etcd: EtcdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InstanceProcess]:
    settings = {"ETCD_ENDPOINTS": etcd.endpoint, "USER_KEY_PREFIX": "configctl"}
    with InstanceProcess(tmp_path_factory.mktemp("instance"), **settings) as started:
        started.wait_for_slot()
        yield started


@pytest.fixture
def ctl(instance: InstanceProcess, tmp_path: Path) -> Command:
    return Command(instance.url, tmp_path)


@pytest.fixture
def at(request: pytest.FixtureRequest) -> str:
    """A prefix of a test's own."""
    return f"{request.node.name.split('[')[0]}/"


def test_a_document_is_written_read_and_deleted(ctl: Command, at: str) -> None:
    done = ctl.run("set", f"{at}a", '{"rate": 1.10}')
    assert done.returncode == 0, done.stderr
    assert f"+ {at}a" in done.stderr, "it is shown what is done"
    assert ctl.ok("get", f"{at}a") == '{"rate": 1.10}'
    told = json.loads(ctl.ok("--json", "get", f"{at}a"))
    assert (told["key"], told["value"]) == (f"{at}a", {"rate": 1.1})
    assert yaml.safe_load(ctl.ok("-o", "yaml", "get", f"{at}a")) == told
    assert "is that already" in ctl.run("set", f"{at}a", '{"rate": 1.10}').stderr
    assert ctl.run("set", f"{at}a", "2", "--if-match", "0").returncode == exits.CHANGED_MEANWHILE
    ctl.ok("set", f"{at}b", "plain", "--string")
    ctl.ok("set", f"{at}c", "--file", "-", stdin="[1]")
    assert ctl.ok("get", f"{at}b") == '"plain"'
    assert [each["key"] for each in json.loads(ctl.ok("--json", "ls", at))] == [f"{at}a", f"{at}b", f"{at}c"]
    ctl.ok("rm", f"{at}a")
    assert ctl.run("get", f"{at}a").returncode == exits.NO_SUCH_KEY
    assert ctl.run("rm", f"{at}a").returncode == exits.NO_SUCH_KEY


@pytest.mark.parametrize(
    "command", [["set", "{}x/../a", "2"], ["rm", "{}x/../a"], ["get", "{}./a"], ["history", "{}./a"]]
)
def test_a_key_with_dots_is_no_other_key(ctl: Command, at: str, command: list[str]) -> None:
    ctl.ok("set", f"{at}a", "1")
    done = ctl.run(*(word.format(at) for word in command))
    assert (done.returncode, "is no key" in done.stderr) == (exits.FAILED, True), done.stderr
    assert ctl.ok("get", f"{at}a") == "1"


def test_lists_are_for_people_too(ctl: Command, at: str) -> None:
    for name in ("a/b", "a/c", "[bold]d"):
        ctl.ok("set", f"{at}{name}", "1")
    lines = ctl.ok("ls", at).splitlines()
    assert lines[0].split() == ["key", "mod_revision"]
    assert [line.split()[0] for line in lines[1:]] == [f"{at}[bold]d", f"{at}a/b", f"{at}a/c"]
    shown = ctl.ok("tree", at)
    assert [line.split()[-1] for line in shown.splitlines()] == [at, f"{at}", "[bold]d", "a/", "b", "c"]


def test_nothing_is_cut_off_where_no_terminal_has_a_width(ctl: Command, at: str) -> None:
    key, text = f"{at}{'k' * 150}", " ".join(["word"] * 60)
    ctl.ok("set", key, json.dumps(text))
    assert ctl.ok("ls", at).splitlines()[1].split()[0] == key
    assert ctl.ok("tree", at).splitlines()[-1].split()[-1] == "k" * 150
    assert ctl.ok("grep", "word", at).splitlines()[1].split(maxsplit=2)[2] == json.dumps(text)


def test_what_a_document_was_is_told_and_comes_back(ctl: Command, at: str) -> None:
    for number in range(3):
        ctl.ok("set", f"{at}a", str(number))
    ctl.ok("rm", f"{at}a")
    ctl.ok("set", f"{at}a", "7")
    ctl.ok("set", f"{at}a", "8")
    found = json.loads(ctl.ok("--json", "history", f"{at}a"))
    assert [each["op"] for each in found] == ["put", "put", "delete", "put", "put", "put"]
    assert json.loads(ctl.ok("--json", "history", "-n", "2", f"{at}a")) == found[:2]
    ctl.ok("revert", f"{at}a", "--to", str(found[1]["revision"]))
    assert ctl.ok("get", f"{at}a") == "7"
    assert ctl.run("history", f"{at}none").returncode == exits.NO_SUCH_KEY


def test_a_prefix_is_what_it_was_again(ctl: Command, at: str) -> None:
    for name in "ab":
        ctl.ok("set", f"{at}{name}", f'{{"is": "{name}"}}')
    good = json.loads(ctl.ok("--json", "history", f"{at}b"))[0]["revision"]
    ctl.ok("set", f"{at}a", "1")
    ctl.ok("rm", f"{at}b")
    ctl.ok("set", f"{at}c", "1")
    done = ctl.run("rollback", at, "--to", str(good), "--reason", "it was better")
    assert done.returncode == 0, done.stderr
    signs = [line for line in done.stderr.splitlines() if line[1:3] == f" {at[0]}" and at in line]
    assert signs == [f"~ {at}a", f"+ {at}b", f"- {at}c"]
    assert [ctl.ok("get", f"{at}{name}") for name in "ab"] == ['{"is": "a"}', '{"is": "b"}']
    assert json.loads(ctl.ok("--json", "history", f"{at}c"))[0]["why"] == "it was better"
    assert "nothing to do" in ctl.run("rollback", at, "--to", str(good)).stderr


def test_an_edit_is_checked_and_merged_with_what_somebody_else_did(
    ctl: Command, at: str, tmp_path: Path, instance: InstanceProcess
) -> None:
    """The editor is a program: it changes a line, and meanwhile somebody else another one."""
    document = '{\n  "a": 1,\n  "b": 2,\n  "c": 3\n}\n'
    ctl.ok("set", f"{at}a", document)
    editor = tmp_path / "editor"
    other = (
        f"curl -sS --noproxy '*' -o /dev/null -X PUT --data-binary @{tmp_path / 'theirs'} {instance.url}/config/{at}a"
    )
    (tmp_path / "theirs").write_text(document.replace("3", "30"))
    editor.write_text(
        f'#!/bin/sh\nsed -i \'s/"a": 1,/"a": 10,/\' "$1"\n[ -e {tmp_path}/done ] || {other}\ntouch {tmp_path}/done\n'
    )
    editor.chmod(0o755)
    done = ctl.run("edit", f"{at}a", env={"EDITOR": str(editor)})
    assert done.returncode == 0, done.stderr
    assert "somebody else has changed" in done.stderr
    assert ctl.ok("get", f"{at}a") == document.replace("1", "10").replace("3", "30")
    editor.write_text('#!/bin/sh\necho "{" > "$1"\n')
    done = ctl.run("edit", f"{at}a", env={"EDITOR": str(editor)})
    assert done.returncode != 0
    assert "this is no JSON, and is not sent" in done.stderr


def test_a_folder_goes_there_and_comes_back(ctl: Command, at: str, tmp_path: Path) -> None:
    folder = tmp_path / "wanted"
    (folder / "limits").mkdir(parents=True)
    (folder / "limits" / "api.json").write_text('{"rate": 1.10,\n "é": [1,2]}\n')
    (folder / "name.yaml").write_text("first: x\n")
    plan = ctl.run("--json", "plan", str(folder), "--prefix", at)
    assert plan.returncode == exits.DIFFERENT
    assert [(step["do"], step["key"]) for step in json.loads(plan.stdout)["steps"]] == [
        ("create", f"{at}limits/api"),
        ("create", f"{at}name"),
    ]
    assert ctl.run("diff", str(folder), "--prefix", at).returncode == exits.DIFFERENT
    ctl.ok("apply", str(folder), "--prefix", at, "--yes")
    assert ctl.run("diff", str(folder), "--prefix", at).returncode == 0
    assert "nothing to do" in ctl.run("apply", str(folder), "--prefix", at).stderr
    ctl.ok("export", str(tmp_path / "found"), "--prefix", at)
    assert (tmp_path / "found/limits/api.json").read_bytes() == (folder / "limits/api.json").read_bytes().strip()
    assert json.loads((tmp_path / "found/name.json").read_text()) == {"first": "x"}
    again = ctl.run("export", str(folder), "--prefix", at)
    assert f"{folder / 'name.yaml'} was there before, and is no document" in again.stderr
    (folder / "name.yaml").unlink()
    (folder / "name.json").unlink()
    (folder / "limits/api.json").write_text("2")
    assert f"- {at}name" in ctl.run("diff", str(folder), "--prefix", at, "--prune").stderr.splitlines()
    ctl.ok("apply", str(folder), "--prefix", at, "--prune")
    assert [each["key"] for each in json.loads(ctl.ok("--json", "ls", at))] == [f"{at}limits/api"]
    assert ctl.run("diff", str(folder), "--prefix", at[:-1]).returncode == exits.FAILED


def test_more_than_one_batch_is_only_done_when_it_is_said(ctl: Command, at: str, tmp_path: Path) -> None:
    for number in range(101):
        (tmp_path / f"{number:03}.json").write_text(str(number))
    done = ctl.run("apply", str(tmp_path), "--prefix", at)
    assert done.returncode == exits.FAILED
    assert "101 documents differ, and 100 can be changed at once" in done.stderr
    ctl.ok("apply", str(tmp_path), "--prefix", at, "--in-parts")
    assert len(json.loads(ctl.ok("--json", "ls", at))) == 101
    found = ctl.run("grep", "^10[0-9]?$", at, "--keys-only")
    assert found.stdout.split()[1:] == [f"{at}010", f"{at}100"]
    assert ctl.run("grep", "nowhere", at).returncode == exits.FAILED


def test_what_etcd_exports_is_taken_over(ctl: Command, at: str, tmp_path: Path) -> None:
    kvs = [{"key": "L2FwcC9h", "value": "eyJhIjogMS4xMH0="}]  # /app/a: {"a": 1.10}
    (tmp_path / "etcd.json").write_text(json.dumps({"kvs": kvs, "count": 1}))
    ctl.ok("import", "etcd", str(tmp_path / "etcd.json"), "--strip", "/app/", "--prefix", at)
    assert ctl.ok("get", f"{at}a") == '{"a": 1.10}'
    assert ctl.run("import", "consul", str(tmp_path / "etcd.json")).returncode == exits.FAILED


def test_changes_are_watched_and_waited_for(ctl: Command, at: str) -> None:
    watching = ctl.start("--json", "watch", at)
    assert watching.stderr
    assert watching.stdout
    assert watching.stderr.readline().startswith(f"following {at} from revision ")
    waiting = ctl.start("wait", f"{at}a", "--until", 'equals={"b": 1}')
    ctl.ok("set", f"{at}a", "1")
    ctl.ok("set", f"{at}a", '{"b":1}', "--reason", "80 % im März")
    ctl.ok("rm", f"{at}a", "--reason", "no use")
    found = [json.loads(watching.stdout.readline()) for _ in range(3)]
    assert [(each["op"], each["key"], each.get("value")) for each in found] == [
        ("put", f"{at}a", "1"),
        ("put", f"{at}a", '{"b":1}'),
        ("delete", f"{at}a", None),
    ]
    assert [each.get("why") for each in found] == [None, "80 % im März", "no use"]
    watching.send_signal(signal.SIGINT)
    assert watching.wait(20) == 0
    if waiting.poll() is None:  # it came too late to see it: then it has still to come
        ctl.ok("set", f"{at}a", '{"b":1}')
    assert waiting.wait(20) == 0
    assert ctl.run("wait", f"{at}none", "--timeout", "0.1").returncode == exits.TIMED_OUT
    assert ctl.run("wait", f"{at}none", "--until", "absent").returncode == 0
    for process in (watching, waiting):
        process.communicate()


def test_files_are_kept_as_the_service_has_them(ctl: Command, at: str, tmp_path: Path) -> None:
    ctl.ok("set", f"{at}limits/api", '{"rate": 1.10}')
    ctl.ok("set", f"{at}host", '"example.org"')
    (tmp_path / "conf.j2").write_text("server {{ config.host }} {{ config['limits/api'].rate }}\n")
    directory, ran = tmp_path / "out", tmp_path / "ran"
    directory.mkdir()
    (directory / "foreign.json").write_text("not ours")
    command = ["mirror", at, str(directory), "--template", f"{tmp_path / 'conf.j2'}:{tmp_path / 'app.conf'}"]
    assert ctl.process(*command, "--once").returncode == 0
    assert (directory / "limits/api.json").read_text() == '{"rate": 1.10}'
    assert (tmp_path / "app.conf").read_text() == "server example.org 1.1\n"
    mirror = ctl.start(*command, "--exec", f"touch {ran}")
    ctl.ok("set", f"{at}host", '"example.com"')
    ctl.ok("rm", f"{at}limits/api")
    ctl.ok("set", f"{at}limits/other", "2")
    (tmp_path / "conf.j2").write_text("server {{ config.host }}\n")
    ctl.ok("set", f"{at}last", "3")
    assert within(20, lambda: (tmp_path / "app.conf").read_text() == "server example.com\n")
    assert within(20, lambda: (directory / "last.json").exists() and not (directory / "limits/api.json").exists())
    assert (directory / "limits/other.json").read_text() == "2"
    assert (directory / "foreign.json").read_text() == "not ours"
    assert within(20, ran.exists)
    mirror.terminate()
    assert mirror.wait(20) == 0
    mirror.communicate()


def test_a_command_that_fails_is_run_again(ctl: Command, at: str, tmp_path: Path) -> None:
    ctl.ok("set", f"{at}a", "1")
    done = ctl.process("mirror", at, str(tmp_path / "out"), "--once", "--exec", "false")
    assert done.returncode == exits.FAILED
    assert "Command '['false']' returned non-zero exit status 1" in done.stderr
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\necho x >> {tmp_path}/tries\n[ $(wc -l < {tmp_path}/tries) -ge 2 ]\n")
    script.chmod(0o755)
    mirror = ctl.start("mirror", at, str(tmp_path / "other"), "--exec", str(script))
    assert within(20, lambda: (tmp_path / "tries").exists() and (tmp_path / "tries").read_text() == "x\nx\n")
    mirror.terminate()
    assert mirror.wait(20) == 0
    mirror.communicate()


def test_a_template_that_fails_changes_nothing_and_ends_nothing(ctl: Command, at: str, tmp_path: Path) -> None:
    """However it fails: here a number becomes a text."""
    ctl.ok("set", f"{at}a", "1")
    (tmp_path / "t.j2").write_text("{{ config.a + 1 }}")
    command = ["mirror", at, str(tmp_path / "out"), "--template", f"{tmp_path / 't.j2'}:{tmp_path / 'target'}"]
    mirror = ctl.start(*command)
    assert within(20, lambda: (tmp_path / "target").exists() and (tmp_path / "target").read_text() == "2")
    ctl.ok("set", f"{at}a", '"x"')
    assert mirror.stderr
    assert "written" in mirror.stderr.readline()
    assert 'can only concatenate str (not "int") to str' in mirror.stderr.readline()
    once = ctl.process(*command, "--once")
    assert (once.returncode, "Traceback" in once.stderr) == (exits.FAILED, False)
    assert (tmp_path / "out/a.json").read_text() == "1"
    ctl.ok("set", f"{at}a", "2")
    assert within(20, lambda: (tmp_path / "target").read_text() == "3")
    mirror.terminate()
    assert mirror.wait(20) == 0
    said = mirror.communicate()[1]
    assert "concatenate" not in said, "a reason is told once"


def test_a_command_is_owed_by_who_goes_on_after_a_kill(ctl: Command, at: str, tmp_path: Path) -> None:
    ctl.ok("set", f"{at}a", "1")
    killed = ctl.process("mirror", at, str(tmp_path / "out"), "--once", "--exec", "sh -c 'kill -9 $PPID'")
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "out/a.json").exists()
    command = ["mirror", at, str(tmp_path / "out"), "--once", "--exec", f"sh -c 'echo x >> {tmp_path}/ran'"]
    for _ in range(2):
        assert ctl.process(*command).returncode == 0
    assert (tmp_path / "ran").read_text() == "x\n"


def test_a_prefix_without_documents_is_an_empty_folder(ctl: Command, at: str, tmp_path: Path) -> None:
    assert ctl.process("mirror", at, str(tmp_path / "out"), "--once").returncode == 0
    assert [*(tmp_path / "out").iterdir()] == []


def test_a_program_has_the_documents_in_its_environment(ctl: Command, at: str, tmp_path: Path) -> None:
    ctl.ok("set", f"{at}limits/api", '{"rate": 1.10}')
    ctl.ok("set", f"{at}host", '"example.org"')
    shown = ctl.process("run", at, "--env-prefix", "APP_", "--", "sh", "-c", 'echo "$APP_HOST $APP_LIMITS_API"; exit 7')
    assert (shown.returncode, shown.stdout) == (7, 'example.org {"rate": 1.10}\n')
    script = f'echo "$HOST" >> {tmp_path}/hosts; exec sleep 60'
    running = ctl.start("run", at, "--", "sh", "-c", script)
    hosts = tmp_path / "hosts"
    assert within(20, lambda: hosts.exists() and hosts.read_text() == "example.org\n")
    ctl.ok("set", f"{at}host", '"example.com"')
    assert within(20, lambda: hosts.read_text() == "example.org\nexample.com\n")
    running.terminate()
    assert running.wait(20) == 128 + signal.SIGTERM
    running.communicate()


def test_documents_that_can_be_no_variables_end_no_program(ctl: Command, at: str, tmp_path: Path) -> None:
    """It goes on with those it has, and is restarted once they can be."""
    ctl.ok("set", f"{at}a-b", "1")
    starts = tmp_path / "starts"
    running = ctl.start("run", at, "--", "sh", "-c", f'echo "$A_B" >> {starts}; exec sleep 60')
    assert within(20, lambda: starts.exists() and starts.read_text() == "1\n")
    ctl.ok("set", f"{at}a_b", "2")
    assert running.stderr
    assert "a_b and a-b would both be A_B; nothing is changed" in running.stderr.readline()
    assert running.poll() is None
    ctl.ok("rm", f"{at}a-b")
    assert within(20, lambda: starts.read_text() == "1\n2\n")
    running.terminate()
    running.wait(20)
    running.communicate()


def test_a_reader_that_goes_away_ends_a_watch(ctl: Command, at: str) -> None:
    watching = ctl.start("watch", at)
    assert watching.stderr
    assert watching.stdout
    assert watching.stderr.readline().startswith("following")
    watching.stdout.close()
    ctl.ok("set", f"{at}a", "1")
    assert watching.wait(20) == exits.FAILED
    assert "Traceback" not in watching.stderr.read()
    watching.stderr.close()


def test_a_watch_is_yaml_too(ctl: Command, at: str) -> None:
    watching = ctl.start("watch", "-o", "yaml", at)
    assert watching.stderr
    assert watching.stdout
    watching.stderr.readline()
    ctl.ok("set", f"{at}a", "1", "--reason", "so")
    lines = [watching.stdout.readline() for _ in range(7)]
    assert lines[0] == "---\n"
    told = yaml.safe_load("".join(lines))
    assert (told["op"], told["key"], told["value"], told["why"]) == ("put", f"{at}a", "1", "so")
    watching.terminate()
    watching.communicate()


@pytest.mark.parametrize("command", [["mirror", "a/", "out"], ["run", "a/", "--", "true"], ["wait", "a"], ["watch"]])
def test_a_signal_ends_a_start_that_nobody_answers(tmp_path: Path, command: list[str]) -> None:
    """A container is to end when it is told to, not when its start has failed; and it has not done what it is for."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        starting = Command(f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path).start(*command)
        connection, _ = silent.accept()
        starting.terminate()
        assert starting.wait(4) == exits.INTERRUPTED
        connection.close()
        starting.communicate()
    assert not (tmp_path / "out").exists()


def test_a_write_that_is_interrupted_may_have_been_done(server: ScriptedServer, tmp_path: Path) -> None:
    writing = Command(server.url, tmp_path).start("set", "a", "1")
    server.take().problem(404, "not-found", "There is none.")
    put = server.take()
    writing.send_signal(signal.SIGINT)
    assert writing.wait(20) == exits.UNKNOWN
    assert "it may have been done" in writing.communicate()[1]
    put.close()


def test_an_editor_that_writes_nothing_writes_nothing(ctl: Command, at: str) -> None:
    done = ctl.run("edit", f"{at}a", env={"EDITOR": "true"})
    assert (done.returncode, "nothing was done" in done.stderr) == (exits.INTERRUPTED, True)
    assert ctl.run("get", f"{at}a").returncode == exits.NO_SUCH_KEY


def test_true_is_not_one(ctl: Command, at: str) -> None:
    ctl.ok("set", f"{at}a", '{"a": [true]}')
    wait = ["wait", f"{at}a", "--timeout", "0"]
    assert ctl.run(*wait, "--until", 'equals={"a": [1]}').returncode == exits.TIMED_OUT
    assert ctl.run(*wait, "--until", 'equals={"a":[true]}').returncode == 0


def test_parts_that_were_done_are_told_when_a_later_one_fails(
    ctl: Command, at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody changes a document of the second part while the first is written."""
    for number in range(101):
        (tmp_path / f"{number:03}.json").write_text(str(number))
    batch = Service.batch
    done: list[int] = []

    def with_somebody_else(service: Service, *arguments: object, **more: object) -> object:
        if done:
            service.put(f"{at}100", b"0")
        done.append(1)
        return batch(service, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Service, "batch", with_somebody_else)
    failed = ctl.run("apply", str(tmp_path), "--prefix", at, "--in-parts")
    assert failed.returncode == exits.CHANGED_MEANWHILE
    assert "100 of 101 documents were changed before, by revision " in failed.stderr


DOCUMENTS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False))
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
).flatmap(
    lambda value: st.builds(
        lambda ascii, indent, blank: f"{blank}{json.dumps(value, ensure_ascii=ascii, indent=indent)}{blank}",
        st.booleans(), st.sampled_from([None, 0, 2]), st.sampled_from(["", " ", "\n"]),
    )
) | st.sampled_from(["1.10", "-0.0", "1E+5", '"\\u00e9\\/"', "[" * 50 + "]" * 50])  # fmt: skip


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        NAMES.filter(lambda name: len(name.encode()) < 400 and "%" not in name), DOCUMENTS, min_size=1, max_size=4
    )
)
def test_what_is_exported_is_applied_and_exported_again(ctl: Command, documents: dict[str, str]) -> None:
    """Byte for byte, but for blanks around a document; whatever its name."""
    prefix = "round/trip/"
    with tempfile.TemporaryDirectory() as folder, Service(ctl.connection) as service:
        for key, _ in list(service.keys(prefix)):
            service.delete(key)
        for name, text in documents.items():
            service.put(prefix + name, text.encode())
        ctl.ok("export", f"{folder}/one", "--prefix", prefix)
        assert ctl.run("plan", f"{folder}/one", "--prefix", prefix, "--prune").returncode == 0
        for key, _ in list(service.keys(prefix)):
            service.delete(key)
        ctl.ok("apply", f"{folder}/one", "--prefix", prefix)
        found = service.snapshot(prefix).documents
        assert {key: each.value for key, each in found.items()} == {
            prefix + name: text.strip(" \n").encode() for name, text in documents.items()
        }
        done = ctl.run("export", f"{folder}/one", "--prefix", prefix)
        assert "was there before" not in done.stderr


def test_a_program_can_be_signalled_instead(ctl: Command, at: str, tmp_path: Path) -> None:
    ctl.ok("set", f"{at}host", '"a"')
    seen = tmp_path / "seen"
    script = f"trap 'echo hup >> {seen}' HUP; echo up >> {seen}; while :; do sleep 0.1; done"
    running = ctl.start("run", at, "--on-change", "signal=HUP", "--", "sh", "-c", script)
    assert within(20, lambda: seen.exists() and seen.read_text() == "up\n")
    ctl.ok("set", f"{at}host", '"b"')
    assert within(20, lambda: seen.read_text() == "up\nhup\n")
    running.terminate()
    running.wait(20)
    running.communicate()


def test_the_fleet_and_the_way_to_it_are_examined(ctl: Command, instance: InstanceProcess, tmp_path: Path) -> None:
    assert json.loads(ctl.ok("--json", "members"))["members"]
    assert "slot" in ctl.ok("members").splitlines()[0]
    well = ctl.run("doctor")
    assert well.returncode == 0, well.stdout
    ill = Command(f"{instance.url},http://127.0.0.1:1", tmp_path).run("--json", "doctor")
    assert ill.returncode == exits.FAILED
    assert {each["address"] for each in json.loads(ill.stdout) if not each["well"]} == {"http://127.0.0.1:1"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["get"], exits.USAGE, "Missing argument 'KEY'"),
        (["nonsense"], exits.USAGE, "No such command 'nonsense'"),
        (["set", "a", "{"], exits.FAILED, "a: the value is no JSON; --string makes a string of it"),
        (["set", "a"], exits.USAGE, "a value or --file is expected, one of them"),
        (["get", "a//b"], exits.FAILED, "GET a//b: 400"),
        (["get", ""], exits.FAILED, "'' is no key"),
        (["get", "\udcff"], exits.FAILED, "it is not Unicode"),
        (["ls", "\udcff"], exits.USAGE, "is not Unicode"),
        (["set", "a", "\udcff"], exits.USAGE, "is not Unicode"),
        (
            ["--url", "http://127.0.0.1:1", "get", "a"],
            exits.UNAVAILABLE,
            "no instance answers; tried http://127.0.0.1:1",
        ),
        (["diff", "none"], exits.FAILED, "none: a folder is expected, found nothing"),
        (["--profile", "x", "get", "a"], exits.FAILED, "there is no such file, so no profile x"),
        (["run", "a/", "--on-change", "boo", "--", "true"], exits.FAILED, "expected restart, ignore, or for example"),
        (["run", "a", "--", "true"], exits.FAILED, "the prefix 'a': a slash at the end is expected"),
        (["mirror", "a", "out"], exits.FAILED, "the prefix 'a': a slash at the end is expected"),
        (["mirror", "a/", "out", "--mode", "abc"], exits.USAGE, "octal digits are expected, for example 640"),
        (["mirror", "a/", "out", "--exec", "echo 'x"], exits.USAGE, "is no command: No closing quotation"),
        (["mirror", "a/", "out", "--exec", ""], exits.USAGE, "a command is expected, found nothing"),
        (["wait", "a", "--timeout", "nan"], exits.USAGE, "a number is expected, found nan"),
        (["wait", "a", "--until", "equal=1"], exits.FAILED, "expected exists, absent, changed or equals=JSON"),
        (["get", "a", "--revision", "0"], exits.USAGE, "'--revision': 0 is not in the range"),
        (["set", "a", "1", "--if-match", "-3"], exits.USAGE, "'--if-match': -3 is not in the range"),
        (["ls", "-o", "xml"], exits.USAGE, "'xml' is not one of"),
    ],
)
def test_what_is_wrong_is_said_with_an_exit_code_of_its_own(
    ctl: Command, arguments: list[str], code: int, said: str
) -> None:
    done = ctl.run(*arguments)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


def test_on_a_terminal_it_asks(ctl: Command, at: str) -> None:
    """A no is a no: nothing is done."""
    ours, theirs = os.openpty()
    os.write(ours, b"n\n")
    done = ctl.run_on(theirs, "set", f"{at}a", "1")
    os.close(theirs)
    os.close(ours)
    assert done.returncode == exits.INTERRUPTED
    assert "Do this (1 documents)? [y/N]" in done.stderr
    assert "nothing was done" in done.stderr
    assert ctl.run("get", f"{at}a").returncode == exits.NO_SUCH_KEY


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete(ctl: Command, shell: str) -> None:
    assert "_CONFIGCTL_COMPLETE" in ctl.ok("completion", shell)
    completed = ctl.process(
        env={"_CONFIGCTL_COMPLETE": "bash_complete", "COMP_WORDS": "configctl mir", "COMP_CWORD": "1"}
    )
    assert completed.stdout == "plain,mirror\n"
    words = {"zsh": ("configctl mir", "1"), "fish": ("configctl mir", "mir")}.get(shell)
    if words is not None:
        variables = {"_CONFIGCTL_COMPLETE": f"{shell}_complete", "COMP_WORDS": words[0], "COMP_CWORD": words[1]}
        told = ctl.process(env=variables).stdout
        assert told.replace("\t", "\n").replace(",", "\n").splitlines()[:2] == ["plain", "mirror"]


def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    """In a bash, by what the command prints for it."""
    program = tmp_path / "configctl"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m config_client.ctl "$@"\n')
    program.chmod(0o755)
    script = (
        'source <(configctl completion bash); COMP_WORDS=(configctl "$@"); COMP_CWORD=$#; '
        '_configctl_completion configctl; echo "${COMPREPLY[@]}"'
    )
    for typed, completed in ((["mir"], "mirror"), (["run", "--env"], "--env-prefix"), (["ls", "-o", "y"], "yaml")):
        done = subprocess.run(
            ["bash", "-c", script, "bash", *typed],
            env=environ(PATH=f"{tmp_path}:{os.environ['PATH']}"),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout.split()) == (0, [completed]), done.stderr


def test_tokens_are_told_by_name_and_what_keeps_new_ones_out(etcd: EtcdServer, tmp_path: Path) -> None:
    """And to an admin alone."""
    secrets = {"boss": ("boss-0123456789-abc", ["admin"], ""), "team": ("team-0123456789-abc", ["read", "write"], "a/")}
    listed = [
        {"name": name, "token": token, "scopes": scopes, **({"prefix": prefix} if prefix else {})}
        for name, (token, scopes, prefix) in secrets.items()
    ]
    file = tmp_path / "tokens.json"
    file.write_text(json.dumps(listed))
    for name, (token, *_) in secrets.items():
        (tmp_path / name).write_text(token)
    settings = {"ETCD_ENDPOINTS": etcd.endpoint, "USER_KEY_PREFIX": "ctl-tokens", "API_TOKENS_FILE": str(file)}
    with InstanceProcess(tmp_path / "instance", **settings) as started:
        ctl = Command(started.url, tmp_path, CONFIG_TOKEN_FILE=str(tmp_path / "boss"))
        assert json.loads(ctl.ok("--json", "tokens")) == [
            {"address": started.url, "name": "boss", "scopes": "admin", "prefix": ""},
            {"address": started.url, "name": "team", "scopes": "read write", "prefix": "a/"},
        ]
        refused = ctl.run("tokens", env={"CONFIG_TOKEN_FILE": str(tmp_path / "team")})
        assert (refused.returncode, "admin" in refused.stderr) == (exits.DENIED, True)
        file.write_text("[")
        assert within(20, lambda: "the tokens stay as they were" in started.printed())
        done = ctl.run("tokens")
        assert (done.returncode, "which can't be used: it is not JSON" in done.stderr) == (exits.FAILED, True)
        assert "team" in done.stdout


def test_where_everybody_is_let_in_there_are_no_tokens_to_tell(ctl: Command) -> None:
    done = ctl.run("tokens")
    assert (done.returncode, "everybody is let in" in done.stderr) == (0, True)
