"""The commands of docs/security.md, copied verbatim and in order, do what it says: tokens, refusals, rotation."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.house.test_readme import sessions
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within

DOCUMENT = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
MAKE_TOKENS, USE_THEM, ROTATE = re.findall(r"^```console\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
READ_AGAIN = "the tokens have been read again"
END = "-- that was all --"


class Shell:
    """One bash for all commands: they share its variables."""

    def __init__(self, directory: Path) -> None:
        self._bash = subprocess.Popen(
            ["bash"], cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self._bash.stdin
        assert self._bash.stdout
        self._in: IO[str] = self._bash.stdin
        self._out: IO[str] = self._bash.stdout

    def run(self, command: str) -> list[str]:
        """The lines it prints."""
        self._in.write(f"{command}\necho; echo '{END}'\n")
        self._in.flush()
        lines = []
        while (line := self._out.readline().strip()) != END:
            lines.append(line)
            assert self._bash.poll() is None, lines
        return lines

    def close(self) -> None:
        self._bash.kill()
        self._in.close()
        self._out.close()
        self._bash.wait(5)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    shell.close()


def test_the_commands_do_what_is_shown(etcd: EtcdServer, tmp_path: Path, shell: Shell) -> None:
    for command, _ in sessions(MAKE_TOKENS):
        assert shell.run(command) == [""]
    file = str(tmp_path / "tokens.json")
    settings = {"ETCD_ENDPOINTS": etcd.endpoint, "USER_KEY_PREFIX": "/security-document", "API_TOKENS_FILE": file}
    with InstanceProcess(tmp_path / "instance", **settings) as instance:
        shell.run(f"PID={instance.pid}")
        hangups = 0
        for command, shown in sessions(USE_THEM + ROTATE):
            here = command.replace("localhost:8080", f"127.0.0.1:{instance.port}")
            printed = shell.run(here.replace("curl ", "curl -sS --noproxy '*' ", 1))
            assert [line for line in shown if line not in printed] == [], printed
            if command.startswith("kill -HUP"):
                hangups += 1
                assert within(5, lambda told=hangups: instance.printed().count(READ_AGAIN) == told)  # type: ignore[misc]
        assert hangups == 2


def test_what_it_quotes_of_the_log_is_what_is_logged() -> None:
    """By the test above."""
    assert f"`{READ_AGAIN}`" in DOCUMENT


def test_every_field_scope_and_setting_is_in_it() -> None:
    """And no other."""
    from service.api_tokens import Scope
    from service.token_lists import _Entry

    fields = re.findall(r"^\| `(\w+)` \|", DOCUMENT.partition("## Which scope")[0], re.MULTILINE)
    assert [field for field in fields if field.islower()] == list(_Entry.model_fields)
    assert [field for field in fields if field.isupper()] == ["API_TOKENS", "API_TOKENS_FILE", "VCAP_SERVICES"]
    assert all(f"`{scope}`" in DOCUMENT for scope in Scope)
