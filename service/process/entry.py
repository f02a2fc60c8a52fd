"""Where the command line begins and ends: what goes wrong gets past here as one message and an exit code, no more.

No message repeats the text of an unforeseen error, which may hold a secret; it tells the kind, and the lines of ours
that led there.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from service.process import standard_streams, stopping
from service.process.program import CHECKOUT, Program
from service.process.startup import StartupError

OURS = ("consistency", "metrics", "service")
CODE_FAILED, CODE_STOPPED = 1, stopping.EXIT_CODE

_PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120  # pathlib takes time


def enter(program: Program = CHECKOUT) -> NoReturn:
    """Runs the command that the arguments name, and ends the process. Signals have been taken by now."""
    standard_streams.secure()
    _leave(main(program))


def main(program: Program = CHECKOUT) -> int:
    """The exit code: 0 stopped as asked, 1 could not start or serve, 2 unknown argument, 130 stopped while starting.

    Of `doctor`: 0 nothing to do, 1 the service would not work, 3 it would, but there are warnings.
    """
    try:
        from service.process.command import run_command

        return run_command(sys.argv[1:], program)
    except SystemExit as error:  # from argparse
        return error.code if isinstance(error.code, int) else CODE_FAILED
    except KeyboardInterrupt:
        standard_streams.complain(stopping.STOPPED)
        return CODE_STOPPED
    except StartupError as error:
        standard_streams.complain(str(error))
    except ImportError as error:
        standard_streams.complain(_words_for_import(error, program))
    except Exception as error:  # noqa: BLE001  # whatever is missing, unreadable, unwritable or closed
        standard_streams.complain(_words_for(error))
    return CODE_FAILED


def _words_for_import(error: ImportError, program: Program) -> str:
    package = (error.name or "").partition(".")[0]
    if not package or package in OURS:
        return f"a part of the service itself can't be loaded: {error}. Copy its files again, all of one version"
    how = "is not installed" if isinstance(error, ModuleNotFoundError) else "can't be loaded"
    remedy = (
        "Start the service with `make run`, which installs what it needs into .venv, or install it: "
        "python3 -m pip install -r requirements.txt"
        if program is CHECKOUT
        else f"Install {program.name} again, with pip, which brings what it needs"
    )
    return f"the package {package} {how} for {sys.executable}. {remedy}"


def _words_for(error: Exception) -> str:
    reason = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
    return f"it can't go on: {type(error).__name__}{reason} ({_way_to(error)})"


def _way_to(error: Exception) -> str:
    """The lines of ours that led to an error, the last one first; no values."""
    lines, trace = [], error.__traceback__
    while trace:
        code = trace.tb_frame.f_code
        file = os.path.relpath(code.co_filename, _PROJECT) if code.co_filename.startswith(_PROJECT) else ""
        if file.startswith(OURS):
            lines.append(f"{file}:{trace.tb_lineno} in {code.co_name}")
        trace = trace.tb_next
    return ", from ".join(reversed(lines))


def _leave(code: int) -> NoReturn:
    """Ends without waiting for threads: a request that was not answered in time keeps one of Granian's alive."""
    if "logging" in sys.modules:
        sys.modules["logging"].shutdown()
    standard_streams.flush()
    os._exit(code)
