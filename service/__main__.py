"""`python -m service`: starts one instance, or examines its etcd. Turns errors into one message and an exit code."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import textwrap

from service.process import run
from service.settings import Settings, SettingsError
from service.startup import StartupError


def main() -> int:
    """The exit code: 0 stopped as asked, 1 could not start or serve, 2 unknown argument, 130 stopped while starting.

    Of `doctor`: 0 nothing to do, 1 the service would not work, 3 it would, but there are warnings.
    """
    arguments = sys.argv[1:]
    try:
        if arguments[:1] == ["doctor"]:
            return _doctor(as_json=_doctor_parser().parse_args(arguments[1:]).json)
        _parser().parse_args(arguments)
        return run(os.environ)
    except (SettingsError, StartupError) as error:
        sys.stderr.write(f"config-service: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("config-service: stopped while starting\n")
        return 130


def _parser() -> argparse.ArgumentParser:
    """Of what comes without a command. (argparse's own commands would take the value of a misspelt option for one.)"""
    parser = argparse.ArgumentParser(
        prog="python -m service",
        usage="%(prog)s [-h] [--version] [doctor]",
        description="Starts one instance of the configuration service; with a command, does that instead.",
        epilog=f"{_COMMANDS}\n\nsettings, all of them environment variables:\n\n{_settings()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    return parser


_COMMANDS = """commands:
  doctor      examine the etcd that an instance would use, and say what to do (see doctor --help)"""


def _doctor_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m service doctor",
        description="Examines the etcd that an instance with the same settings would use, and says what to do. "
        "Exit code: 0 nothing to do, 1 the service would not work, 2 unknown argument, 3 it would work, with warnings.",
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _doctor(*, as_json: bool) -> int:
    # Not before now: gRPC takes a while to load.
    from service import logs

    logs.configure("ERROR")
    from service.doctor import examine

    report = examine(os.environ)
    sys.stdout.write(report.json() if as_json else report.text())
    return report.exit_code


class _Version(argparse.Action):
    """Looks the version up only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from metrics.build import version

        sys.stdout.write(f"config-service {version()}\n")
        parser.exit()


def _settings() -> str:
    return "\n".join(
        f"  {doc.name}{f' (default {doc.default_with_unit})' if doc.default else ''}\n"
        + textwrap.fill(
            f"{doc.description}: {doc.expected}. Example: {doc.example}",
            width=100,
            initial_indent="      ",
            subsequent_indent="      ",
            break_on_hyphens=False,
        )
        for doc in Settings.describe()
    )


def _leave(code: int) -> None:
    """Ends without waiting for threads: a request that was not answered in time keeps one of Granian's alive."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _leave(main())
