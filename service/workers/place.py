"""The things that a supervisor hands to a worker: its number, the ports, and the line on which the two speak.

It stands in one variable of the environment, which is taken out of it at once: `2/4:5,6,7:10` is worker 2 of 4, with
the line, the shared port and its own port as the open files 5, 6 and 7, of whom a sign of life is wanted every 10 s.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path

from service.process.startup import StartupError

VARIABLE = "CONFIG_SERVICE_WORKER"
_FORM = re.compile(r"([0-9]{1,2})/([0-9]{1,2}):([0-9]{1,9}),([0-9]{1,9}),([0-9]{1,9}):([0-9.]{1,9})(!?)")


@dataclass(frozen=True, slots=True)
class Place:
    """number: from 1 on, of `of`. line: to the supervisor. held, own: the port of all, and its own; neither listens.

    speaks_every: seconds at most between two signs of life on the line. introduces: whether it says for all of them
    where the service is, and who may in.
    """

    number: int
    of: int
    line: socket.socket
    held: socket.socket
    own: socket.socket
    speaks_every: float
    introduces: bool

    @property
    def own_port(self) -> int:
        """At which it alone is reached."""
        return int(self.own.getsockname()[1])

    def close(self) -> None:
        """When the process is about to end."""
        for each in (self.line, self.held, self.own):
            each.close()


def words(number: int, of: int, files: tuple[int, int, int], speaks_every: float, *, introduces: bool) -> str:
    """What stands in VARIABLE. files: line, held and own, as numbers of open files."""
    return f"{number}/{of}:{','.join(map(str, files))}:{speaks_every:g}{'!' if introduces else ''}"


def taken_from(environ: MutableMapping[str, str]) -> Place | None:
    """The place of this process, if it is a worker. Raises StartupError if what stands there is none."""
    told = environ.pop(VARIABLE, "")
    if not told:
        return None
    found = _FORM.fullmatch(told)
    try:
        if found is None:
            raise ValueError(told)
        number, of, *files = map(int, found.groups()[:5])
        line, held, own = (_socket(file) for file in files)
        speaks_every = float(found[6])
    except (OSError, ValueError):
        raise StartupError(
            f"{VARIABLE} is set, but not by a supervisor of this service, which alone may set it. Unset it"
        ) from None
    _name_the_process(number, of)
    return Place(number, of, line, held, own, speaks_every, introduces=bool(found[7]))


def _socket(file: int) -> socket.socket:
    os.set_inheritable(file, False)
    return socket.socket(fileno=file)


def _name_the_process(number: int, of: int) -> None:
    """As `ps -o comm`, `top` and `pgrep` show it: whoever looks for worker 2 finds it."""
    with contextlib.suppress(OSError):  # no Linux, or no /proc
        Path("/proc/self/comm").write_text(f"config-w{number}of{of}", encoding="ascii")
