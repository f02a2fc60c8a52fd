"""`make container-check`: no step of the Dockerfile is left out, and what it runs is as confined as it says."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from metrics.build import version
from tests.support.instances import within
from tests.support.memory_group import USABLE, MemoryGroup
from tools.image import base
from tools.image.build import FILE, ignored
from tools.image.container import Container
from tools.image.steps import Copy, Directory, NotUnderstood, Run, Stage, read
from tools.image.trees import execute, is_ignored

AS_ROOT = pytest.mark.skipif(not USABLE, reason="needs root, and a Linux that counts memory by control groups")
MB = 2**20
USER = "12345:0"


def anything(_: str) -> Mapping[str, str]:
    """The environment of any base."""
    return {"PATH": "/bin"}


def only(text: str) -> Stage:
    """The one stage of a Dockerfile."""
    (stage,) = read(f"FROM base:1\n{text}\n", anything)
    return stage


def test_the_dockerfile_has_two_stages_whose_every_step_is_known() -> None:
    build, last = read(FILE.read_text(encoding="utf-8"), base.environment)
    lines = [line.split()[0] for line in FILE.read_text().splitlines() if line[:1].isupper()]
    steps = [type(step) for stage in (build, last) for step in stage.steps]
    assert [steps.count(kind) for kind in (Run, Copy, Directory)] == [
        lines.count(w) for w in ("RUN", "COPY", "WORKDIR")
    ]
    assert build.base == last.base
    assert last.steps[1] == Copy(("/opt/config-service",), "/opt/config-service", "build")
    assert last.environment["PATH"].split(":")[0] == "/opt/config-service/bin"
    assert last.labels["org.opencontainers.image.version"] == version()
    assert (last.ports, last.stop_signal, last.user) == ((8080,), "SIGTERM", "10001:10001")
    assert (last.entrypoint, last.command, last.health) == (
        ("config-service",),
        ("run",),
        ("config-service", "alive"),
    )


def test_variables_are_those_of_docker() -> None:
    """An ARG ahead of the first FROM counts once a stage asks for it; ENV reads what was before its line."""
    arguments = "ARG A=1\nFROM base:${A} AS first\nARG A\nARG B=b$A\n"
    rest = 'ENV C=$B D="$A x"\nENV C=2 E=$C\nWORKDIR /w\nWORKDIR $B\nRUN x $A'
    (stage,) = read(arguments + rest, anything)
    assert (stage.name, stage.base, stage.directory) == ("first", "base:1", "/w/b1")
    assert stage.environment == {"PATH": "/bin", "C": "2", "D": "1 x", "E": "b1"}
    (run,) = (step for step in stage.steps if isinstance(step, Run))
    assert run.command == ("/bin/sh", "-c", "x $A"), "a shell's variables are for the shell"
    assert run.environment == {"A": "1", "B": "b1", **stage.environment}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ONBUILD RUN x", "ONBUILD is no instruction"),
        ("VOLUME /x", "VOLUME is no instruction"),
        ('SHELL ["/bin/bash"]', "SHELL is no instruction"),
        ("RUN --mount=type=cache,target=/x y", "--mount=type=cache,target=/x is not understood"),
        ("COPY --chown=1:1 a b", "only --from is understood"),
        ("COPY $A b", "nothing says what A is"),
        ("ENV A=${B:-c}", "only $NAME and ${NAME}"),
        ("ARG A", "nothing says what A is"),
        ("USER app", "only numbers"),
        ("HEALTHCHECK CMD curl localhost", "a health check is CMD with a list"),
    ],
)
def test_what_is_not_understood_is_refused(line: str, said: str) -> None:
    with pytest.raises(NotUnderstood) as problem:
        only(line)
    assert f"line 2, {line!r}: " in str(problem.value)
    assert said in str(problem.value)


def test_another_base_is_refused() -> None:
    with pytest.raises(NotUnderstood, match="debian:12 is none of the images"):
        read("FROM debian:12", base.environment)


def test_files_are_copied_as_docker_copies_them(tmp_path: Path) -> None:
    context, root, earlier = tmp_path / "context", tmp_path / "root", tmp_path / "earlier"
    (context / "dist").mkdir(parents=True)
    (earlier / "opt" / "app").mkdir(parents=True)
    for name in ("a.whl", "b.whl", "dist/c.whl", "secret"):
        (context / name).write_text(name)
    (earlier / "opt" / "app" / "program").write_text("program")
    (earlier / "opt" / "app" / "link").symlink_to("/nowhere/yet")

    def copy(line: str) -> str:
        (step,) = only(line).steps
        return execute(step, root, context, ("secret",), {"build": earlier})

    assert copy("COPY *.whl dist/*.whl /to/") == "a.whl\nb.whl\ndist/c.whl\n"
    assert sorted(each.name for each in (root / "to").iterdir()) == ["a.whl", "b.whl", "c.whl"]
    copy("COPY a.whl /renamed")
    assert (root / "renamed").read_text() == "a.whl"
    copy("COPY --from=build /opt/app /opt/app")
    assert (root / "opt" / "app" / "program").read_text() == "program"
    assert str((root / "opt" / "app" / "link").readlink()) == "/nowhere/yet"
    for line, said in {
        "COPY secret /": "there is no secret in the context",
        "COPY *.deb /": r"there is no \*.deb in the context",
        "COPY --from=other /x /": "there is no stage other before",
        "COPY *.whl /one": "2 files match",
    }.items():
        with pytest.raises(NotUnderstood, match=said):
            copy(line)


@pytest.mark.parametrize("path", ["requirements.txt", f"instance/dist/{version()}/config_service.whl"])
def test_the_context_has_what_the_dockerfile_copies(path: str) -> None:
    assert not is_ignored(path, ignored())


@pytest.mark.parametrize("path", [".git/config", "instance/etcd/member", "instance/tokens.json", "service/main.py"])
def test_the_context_has_nothing_else(path: str) -> None:
    assert is_ignored(path, ignored())


@contextmanager
def contained(directory: Path, script: str, *, limit: int = 64 * MB, shm: bool = False) -> Iterator[Container]:
    """A shell that runs the script in the file system of this machine, as a container."""
    started = ("/bin/sh", "-c", script)
    path = {"PATH": "/usr/bin:/bin"}
    with (
        MemoryGroup(limit) as memory,
        Container(Path("/"), started, path, user=USER, memory=memory, log=directory / "log", shm=shm) as container,
    ):
        yield container


@AS_ROOT
def test_a_container_can_do_nothing_but_what_it_may(tmp_path: Path) -> None:
    with contained(tmp_path, "trap 'exit 7' TERM; echo begun; while :; do sleep 0.05; done") as container:
        assert within(10, lambda: "begun" in container.printed()), container.printed()
        status = container.status()
        assert status["NSpid"].split()[-1] == "1"
        assert (status["Uid"].split(), status["Gid"].split()) == (["12345"] * 4, ["0"] * 4)
        assert status["Groups"] == ""
        assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
        assert status["NoNewPrivs"] == "1"
        assert container.writable() == []
        for place in ("/x", "/tmp/x", "/dev/shm/x", "/sys/fs/cgroup/x"):
            done = container.run("touch", place)
            assert done.returncode != 0, place
            assert "Read-only file system" in done.stderr, done.stderr
        assert container.run("cat", "/dev/null").returncode == 0
        seen = container.run(
            "sh", "-c", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max"
        )
        assert seen.stdout == f"{64 * MB}\n"
        assert container.stop(signal.SIGTERM)[0] == 7


@AS_ROOT
def test_a_container_that_may_write_is_found_out(tmp_path: Path) -> None:
    with contained(tmp_path, "echo begun; sleep 60", shm=True) as container:
        assert within(10, lambda: "begun" in container.printed()), container.printed()
        assert container.writable() == ["/dev/shm"]
        assert container.run("touch", "/dev/shm/x").returncode == 0


@AS_ROOT
def test_a_container_that_takes_more_memory_is_ended(tmp_path: Path) -> None:
    with contained(tmp_path, "head -c 200m /dev/zero | tail -c 190m | wc -c; sleep 60", limit=32 * MB) as container:
        assert within(20, lambda: container.memory.kills > 0), container.printed()
