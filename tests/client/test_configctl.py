"""`configctl` as a command, against a real instance over a real etcd."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from config_client.ctl import exits
from tests.client.real_service import Command
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within


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


@pytest.mark.parametrize("command", [["set", "{}x/../a", "2"], ["rm", "{}x/../a"], ["get", "{}./a"], ["history", "{}./a"]])
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
    (folder / "name.yaml").unlink()
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
