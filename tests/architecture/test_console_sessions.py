"""Every session that a document shows is run, and the comparison tells a lie from the truth."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.console import Shell, Step, differences, sessions
from tests.support.etcd import free_ports
from tests.support.instances import PROJECT

RUN_BY = {
    "README.md": "test_readme.py",
    "docs/changing-safely.md": "test_changing_safely_document.py",
    "docs/configctl.md": "../client/test_documents.py",
    "docs/prometheus.md": "test_prometheus_document.py",
    "docs/security.md": "test_security_document.py",
}

ANSWER = ["HTTP/1.1 200 OK", "x-cache: MISS", "age: 0", 'etag: "4"', "date: now", "", '{"limit": 10}']


def test_every_document_with_a_session_has_a_test_that_runs_it() -> None:
    """Nothing that looks like typed into a shell stands elsewhere, in a block of another kind."""
    documents = {str(file.relative_to(PROJECT)): file.read_text() for file in PROJECT.glob("*.md")}
    documents |= {str(file.relative_to(PROJECT)): file.read_text() for file in PROJECT.glob("docs/**/*.md")}
    with_sessions = {
        name for name, text in documents.items() if any(line.startswith("$ ") for line in text.split("\n"))
    }
    assert with_sessions == {name for name, text in documents.items() if sessions(text)} == RUN_BY.keys()
    for name, file in RUN_BY.items():
        test = (Path(__file__).parent / file).read_text()
        assert Path(name).name in test
        assert ".follow(" in test


def test_a_session_is_taken_apart() -> None:
    text = "```console\n$ one\na\n\nb\n\n$ two\n```\n\n```sh\nthree\n```\n```console\n$ four\n```\n"
    assert sessions(text) == [[Step("one", ("a", "", "b")), Step("two", ())], [Step("four", ())]]
    with pytest.raises(ValueError, match="expected a command, found 'a"):
        sessions("```console\na\n$ one\n```\n")


@pytest.mark.parametrize(
    "shown",
    [[], ANSWER, ANSWER[:1], ["HTTP/1.1 200 OK", "age: 0", "date: now"], ["HTTP/1.1 200 OK", "", '{"limit": 10}']],
)
def test_what_is_left_out_is_no_lie(shown: list[str]) -> None:
    assert differences(shown, ANSWER) == []


@pytest.mark.parametrize(
    "shown",
    [
        ["HTTP/1.1 201 Created"],
        ["HTTP/1.1 200 OK", "x-cache: HIT"],
        ["HTTP/1.1 200 OK", "age: 1"],
        ["HTTP/1.1 200 OK", 'etag: "4"', "age: 0"],
        ["HTTP/1.1 200 OK", "x-cache: MISS", "", '{"limit": 1}'],
        ["HTTP/1.1 200 OK", "", '{"limit": 10}', ""],
        ['{"limit": 10}'],
    ],
)
def test_what_is_shown_and_did_not_come_is_told(shown: list[str]) -> None:
    """Another status, header, order or body; a body where an answer came with its head."""
    assert len(differences(shown, ANSWER)) == 1


def test_commands_share_one_shell_and_its_failures_are_told(tmp_path: Path) -> None:
    with Shell(tmp_path, free_ports(1)[0]) as shell:
        assert shell.run("NAME='a  b'") == []
        shell.follow(Step('printf %s "$NAME"', ("a  b",)))
        with pytest.raises(AssertionError, match="exit code 3"):
            shell.run("(exit 3)")
        with pytest.raises(AssertionError, match=r"echo b: .*expected \['a'\], got \['b'\]"):
            shell.follow(Step("echo b", ("a",)))
        with pytest.raises(AssertionError, match="exit code 7"):
            shell.run("curl localhost:8080/")
