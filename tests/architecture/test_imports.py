"""The rooms and their doors: who may import whom, and who alone may touch what."""

from __future__ import annotations

import ast
import functools
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PACKAGES = ("consistency", "metrics", "service")
FILES = sorted(file for package in PACKAGES for file in (PROJECT / package).glob("**/*.py"))


@functools.cache
def imported(file: Path) -> frozenset[str]:
    """The modules a file imports, dotted."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def importers(module: str) -> set[str]:
    """The files that import `module` or something in it."""
    return {
        str(file.relative_to(PROJECT))
        for file in FILES
        if any(name == module or name.startswith(f"{module}.") for name in imported(file))
    }


def test_there_is_something_to_look_at() -> None:
    assert len(FILES) > 20
    assert "consistency.core.store" in imported(PROJECT / "consistency" / "cache.py")


@pytest.mark.parametrize(
    "module", ["flask", "werkzeug", "granian", "prometheus_client", "structlog", "service", "metrics"]
)
def test_the_protocol_knows_neither_web_nor_metrics(module: str) -> None:
    assert not {file for file in importers(module) if file.startswith("consistency/")}


def test_metrics_know_the_protocols_events_and_words_only() -> None:
    for file in (PROJECT / "metrics").glob("*.py"):
        ours = {name for name in imported(file) if name.startswith(("consistency", "service"))}
        assert {
            name for name in ours if not name.startswith(("consistency.core.events", "consistency.core.model"))
        } == set(), file


def test_prometheus_is_known_to_metrics_only() -> None:
    assert all(file.startswith("metrics/") for file in importers("prometheus_client"))


def test_httpx_is_known_to_one_file_that_is_loaded_when_the_fleet_is_asked() -> None:
    """It takes 4 MB, which most instances never need."""
    assert importers("httpx") == importers("httpcore") == {"service/fleet/connection.py"}
    assert importers("service.fleet.connection") == set()
    loaded = "import sys, service.process.compose; print(sorted({'httpx', 'httpcore', 'anyio'} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", loaded], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_flask_is_loaded_when_a_page_is_asked_for() -> None:
    """It takes 7 MB with what it needs, and most instances have nobody who looks at a page."""
    loaded = (
        "import sys, service.process.life, service.process.serving; "
        "print(sorted({'flask', 'werkzeug', 'jinja2', 'click', 'service.app'} & sys.modules.keys()))"
    )
    found = subprocess.run([sys.executable, "-c", loaded], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_what_relays_tls_is_loaded_where_certificates_have_names_and_nowhere_else() -> None:
    loaded = (
        "import sys, service.process.life, service.process.serving; "
        "print(sorted({'service.http.relayed', 'service.tls.relay', 'difflib'} & sys.modules.keys()))"
    )
    found = subprocess.run([sys.executable, "-c", loaded], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_what_stands_beside_the_instances_does_not_load_what_speaks_to_etcd() -> None:
    """It takes 15 MB, in each process."""
    beside = ("service.process.life", "service.workers.supervisor", "service.workers.machine", "service.policy.checker")
    loaded = f"import sys, {', '.join(beside)}; print(sorted({{'grpc', 'etcd3'}} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", loaded], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_certificates_are_read_where_https_is_set_up_and_nowhere_else() -> None:
    """It takes 8 MB, and a tenth of a second of each start."""
    loaded = "import sys, service.process.life, service.process.serving; print('cryptography' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", loaded], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


def test_one_file_connects_to_etcd_and_those_that_ask_make_messages_for_it() -> None:
    """Two more read what is answered, and streams, which end with gRPC's errors."""
    connects, *read = "consistency/etcd/channels.py", "consistency/etcd/calls.py", "consistency/etcd/watch.py"
    assert importers("grpc") == {connects, *read}
    assert callers("insecure_channel", "secure_channel") == {connects}
    assert importers("etcd3") == {
        "consistency/etcd/channels.py",
        "consistency/etcd/store.py",
        "consistency/etcd/intents.py",
        "consistency/etcd/leases.py",
        "consistency/etcd/listings.py",
        "consistency/etcd/past.py",
        "consistency/etcd/remembered.py",
        "consistency/etcd/transactions.py",
        "consistency/etcd/probe.py",
    }


PURE = [
    *(PROJECT / "consistency" / "core").glob("*.py"),
    *(PROJECT / "consistency" / "etcd" / f"{name}.py" for name in ("transactions", "readings")),
]


@pytest.mark.parametrize("file", PURE, ids=lambda file: file.stem)
def test_what_is_pure_imports_neither_clocks_nor_threads_nor_sockets(file: Path) -> None:
    impure = {"time", "threading", "socket", "os", "random", "subprocess", "logging", "tenacity"}
    assert not imported(file) & impure


# `tasks`: how tasks are owned, what they wait for, and the calls that they share. It stands beside the rooms, for all.
@pytest.mark.parametrize(
    ("room", "may_import"),
    [
        ("core", {"core"}),
        ("instance", {"core", "instance", "tasks"}),
        ("etcd", {"core", "etcd", "tasks"}),
    ],
)
def test_rooms_of_the_protocol_import_downwards_only(room: str, may_import: set[str]) -> None:
    allowed = tuple(f"consistency.{each}" for each in may_import)
    for file in (PROJECT / "consistency" / room).glob("*.py"):
        ours = {name for name in imported(file) if name.startswith("consistency.")}
        upwards = {name for name in ours if not name.startswith(allowed) and f"consistency.{room}" != name}
        assert not {name for name in upwards if not name.endswith((".core", ".etcd"))}, file


PROTOCOL_FILES = [file for file in FILES if file.is_relative_to(PROJECT / "consistency")]


def callers(*names: str, files: list[Path] = PROTOCOL_FILES) -> set[str]:
    """The files that call a function or a method of one of these names, wherever it was imported from."""
    return {
        str(file.relative_to(PROJECT))
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in names
    }


def test_tasks_of_the_protocol_are_created_in_one_file() -> None:
    """And handed over from a thread in another."""
    assert callers("create_task", "ensure_future", "gather", "TaskGroup", "as_completed", "Task") == {
        "consistency/tasks.py"
    }
    assert callers("run_coroutine_threadsafe", "run_in_executor", "to_thread") == {"consistency/loop.py"}


TASK_MAKERS = {
    "consistency/tasks.py": "workers and errands, whose owners await their end (the next test)",
    "service/fleet/peers.py": "the members of a question are a TaskGroup's",
    "service/http/accepting.py": "the server's own; `Server.stop` and `ended` await it",
    "service/process/serving.py": "`_unless` awaits both of its two",
    "service/tls/relay.py": "one for each client, and who accepts them; `Relay.end` awaits all of them",
}


def test_tasks_are_created_where_somebody_owns_them() -> None:
    assert callers("create_task", "ensure_future", files=FILES) == TASK_MAKERS.keys()
    assert callers("TaskGroup", files=FILES) == {"service/fleet/peers.py"}  # its end awaits them
    assert callers("gather", "as_completed", "run_in_executor", files=FILES) == set()


def test_no_task_is_dropped_as_soon_as_it_is_created() -> None:
    """asyncio forgets a task that nobody holds, and what it failed with."""
    dropped = {
        f"{file.relative_to(PROJECT)}:{node.lineno}"
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        if ast.unparse(node.value.func).endswith((".create_task", ".ensure_future"))
    }
    assert dropped == set()


@pytest.mark.parametrize(("made", "awaited"), [("Worker", "ended"), ("Errands", "stop")])
def test_whoever_makes_an_owner_of_tasks_awaits_their_end(made: str, awaited: str) -> None:
    """In the same class, in what ends it."""
    makers = 0
    for file in FILES:
        for owner in (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ClassDef)):
            inside = [ast.unparse(node.func) for node in ast.walk(owner) if isinstance(node, ast.Call)]
            if made in inside:
                makers += 1
                ends = [
                    ast.unparse(node.value)
                    for method in owner.body
                    if isinstance(method, ast.AsyncFunctionDef) and method.name in ("close", "ended", "stop", "unguard")
                    for node in ast.walk(method)
                    if isinstance(node, ast.Await)
                ]
                assert any(f".{awaited}(" in end for end in ends), f"{file.name}: {owner.name}"
    assert makers >= 3


def test_the_protocol_has_no_lock_but_where_the_blocking_facade_meets_the_loop() -> None:
    """The same for asyncio's: what is awaited between reading and writing is read again (`Auditor`, `FleetId`)."""
    assert callers("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Barrier") == {
        "consistency/blocking.py",
        "consistency/loop.py",
        "consistency/instance/past_values.py",  # guards nothing: it bounds how many large answers are on their way
    }
    assert callers("Lock", "RLock", "Condition", "Barrier") == {"consistency/blocking.py", "consistency/loop.py"}


def test_no_cancellation_is_swallowed_by_wait_for() -> None:
    """Before Python 3.12 `asyncio.wait_for` returns a result that comes with a cancellation, and drops that."""
    assert [file for file in FILES if "wait_for(" in file.read_text()] == []


def test_the_protocol_has_no_lock_and_no_thread_but_where_the_blocking_facade_meets_the_loop() -> None:
    assert {file for file in importers("threading") if file.startswith("consistency/")} == {
        "consistency/blocking.py",
        "consistency/loop.py",
    }


THREADS = {
    "consistency/loop.py": "the loop of a process that has none, for the blocking cache; an instance has its own",
    "service/http/bridge.py": "Flask's, few and bounded",
    "service/process/log_writer.py": "the log's: whoever reads it may stop reading",
}
"""Who may create threads, and why. Everything else is done on the loop."""


def test_threads_are_created_where_there_is_a_reason_for_them() -> None:
    assert callers("Thread", "Timer", "ThreadPoolExecutor", "ProcessPoolExecutor", files=FILES) <= THREADS.keys()
    assert callers("start_new_thread", "set_default_executor", files=FILES) == set()


BORROWED = {
    "service/http/relayed.py": "a renewed certificate is loaded",
    "service/http/server.py": "the kernel is asked who listens, while a certificate is renewed",
    "service/tls/renewal.py": "files of certificates are looked at, which may be far away",
    "service/process/banner.py": "files that vouch for others are loaded, once",
    "service/fleet/peers.py": "httpx is loaded, once; files that vouch for others",
    "service/process/compose.py": "the file of tokens is looked at; memory is given back to the kernel",
}
"""Who has something done on a thread of asyncio's own: all of it waits for files or the kernel, none for a request.

Of its five or more, names that are looked up take two at most (service/fleet/names.py): none of this waits for others.
"""


def test_threads_are_borrowed_for_files_and_by_nobody_else() -> None:
    assert callers("to_thread", files=FILES) - {"consistency/loop.py"} == BORROWED.keys()


LOCKS = {
    "service/http/server.py": "no threads: renewals of a certificate take turns on the loop",
    "service/tls/relay.py": "no threads: bounds how many connections there are",
    "service/http/bridge.py": "whichever of Flask's threads has the first request, makes Flask's routes for all",
    "metrics/tally.py": "counted on the loop, and by Flask's threads; read by a scrape",
    "service/process/event_log.py": "an observer, of whichever thread",
    "service/process/log_writer.py": "lines come from every thread",
    "service/fleet/names.py": "asyncio's, which hold nobody but tasks",
}


def test_locks_of_the_service_are_where_threads_meet() -> None:
    found = callers("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", files=FILES)
    assert {file for file in found if not file.startswith("consistency/")} <= LOCKS.keys()


PROGRAMS = ("bench", "contract", "mutants", "simulation", "tools", "torture")
"""What is started by itself, and is no part of the service. Their tests are in tests/, in a folder of the same name."""


def test_nothing_that_is_deployed_needs_the_programs_or_the_tests() -> None:
    assert {name: importers(name) for name in (*PROGRAMS, "tests")} == {name: set() for name in (*PROGRAMS, "tests")}


_JUDGES = ("case", "checker", "followed", "history", "schedule", "truth", "violations")
JUDGES = tuple(f"torture.{each}" for each in _JUDGES)
"""The checker of histories, and their form: pure, and for whoever makes a history."""


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_needs_no_test_and_no_other_program(program: str) -> None:
    """What starts real etcds and instances (tests/support), or a fleet (tools), is for all of them."""
    shared = (program, "tools", "tests.support", *JUDGES)
    for file in (PROJECT / program).rglob("*.py"):
        ours = {name for name in imported(file) if name.split(".")[0] in (*PROGRAMS, "tests")} - {"tests"}
        assert {name for name in ours if not name.startswith(shared)} == set(), file


def test_a_simulation_needs_nothing_that_runs_real_processes() -> None:
    names = {name for file in (PROJECT / "simulation").rglob("*.py") for name in imported(file)}
    assert not {name for name in names if name.startswith(("tests", "tools", "service"))}


def test_what_lies_among_the_tests_is_started_by_pytest() -> None:
    """A command that somebody types is a program, and lies beside the tests."""
    assert list((PROJECT / "tests").rglob("__main__.py")) == []
    assert "-m tests." not in (PROJECT / "Makefile").read_text()


def test_catalogues_hold_no_logic() -> None:
    for package in PACKAGES:
        body = ast.parse((PROJECT / package / "__init__.py").read_text()).body
        assert all(isinstance(node, ast.Import | ast.ImportFrom | ast.Assign | ast.Expr) for node in body), package


def test_every_module_says_what_it_is() -> None:
    assert [file for file in FILES if not ast.get_docstring(ast.parse(file.read_text()))] == []


def test_no_exception_is_kept_to_be_raised_again() -> None:
    """Each time it is raised it keeps the frames that it passed as well, for ever: requests, and tokens in them."""
    modules = [".".join(file.relative_to(PROJECT).with_suffix("").parts) for file in FILES]
    kept = {
        f"{module}.{name}"
        for module in modules
        for name, value in vars(importlib.import_module(module)).items()
        if isinstance(value, BaseException)
    }
    assert kept == set()


def test_schemas_are_held_against_documents_in_a_process_of_their_own() -> None:
    """What takes for ever there, nothing can interrupt; and no instance without schemas loads it."""
    assert importers("jsonschema_rs") == {"service/policy/checker.py"}
    loaded = "import sys, service.process.compose, service.policy.schemas; print('jsonschema_rs' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", loaded], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
