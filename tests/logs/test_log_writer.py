"""The stream for log lines: nobody who logs waits, what is not read is dropped and counted, the end is bounded."""

from __future__ import annotations

import io
import threading
import time

from service.process.log_writer import MOST, PIECE, LogWriter, pieces
from tests.support.etcd import wait_for


class Pipe(io.StringIO):
    """A stream that takes nothing while nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.somebody_reads = threading.Event()
        self.reached = threading.Event()

    def write(self, text: str) -> int:
        self.reached.set()
        assert self.somebody_reads.wait(30)
        return super().write(text)


def test_no_line_of_one_process_stands_within_a_line_of_another() -> None:
    """Several workers write to one pipe: of it the kernel takes as a whole what is not longer than a page."""
    lines = [f"{number}: {'é' * (number % 700)}\n" for number in range(500)] + [f"{'x' * 3 * PIECE}\n", "last\n"]
    found = list(pieces(lines))
    assert "".join(found) == "".join(lines)
    assert all(piece.endswith("\n") for piece in found)
    assert [piece for piece in found if len(piece.encode()) > PIECE] == [lines[-2]]
    assert len(found) < len(lines) / 3


def ignore(_: int) -> None:
    """Nothing was dropped, or it doesn't matter."""


def test_lines_come_out_soon_and_in_order() -> None:
    out = io.StringIO()
    writer = LogWriter(out, ignore)
    writer.start()
    for number in range(1000):
        writer.write(f"{number}\n")
    wait_for(lambda: out.getvalue().endswith("999\n"))
    assert out.getvalue() == "".join(f"{number}\n" for number in range(1000))
    assert writer.close(5)


def test_who_logs_does_not_wait_for_who_does_not_read() -> None:
    """What doesn't fit is dropped; it is told how much when there is room again."""
    told: list[int] = []
    pipe = Pipe()
    writer = LogWriter(pipe, told.append)
    writer.start()
    line = "x" * 1023 + "\n"
    writer.write(line)
    assert pipe.reached.wait(10)  # the writer's thread hangs with the first line
    for _ in range(2 * MOST // len(line)):
        writer.write(line)  # the test would hang here
    assert not told
    pipe.somebody_reads.set()
    wait_for(lambda: bool(told))
    assert told == [MOST // len(line)]
    assert writer.close(5)
    assert len(pipe.getvalue()) == MOST + len(line)


def test_what_is_left_is_written_at_the_end() -> None:
    out = io.StringIO()
    writer = LogWriter(out, ignore)
    writer.start()
    writer.write("last words\n")
    assert writer.close(5)
    assert out.getvalue() == "last words\n"


def test_the_end_does_not_wait_for_who_does_not_read() -> None:
    pipe = Pipe()
    writer = LogWriter(pipe, ignore)
    writer.start()
    writer.write("a\n")
    assert pipe.reached.wait(10)
    started = time.monotonic()
    assert not writer.close(0.2)
    assert time.monotonic() - started < 10
    writer.write("b\n")  # still nobody waits
    pipe.somebody_reads.set()


def test_a_stream_that_is_closed_does_no_harm() -> None:
    """There is nobody to tell."""
    out = io.StringIO()
    writer = LogWriter(out, ignore)
    writer.start()
    out.close()
    writer.write("a\n")
    assert writer.close(5)
