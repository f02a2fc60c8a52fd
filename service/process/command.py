"""The command line of `python -m service`: starts one instance, or examines its etcd, or tells what there is to set."""

from __future__ import annotations

import argparse
import os
import textwrap
from collections.abc import Sequence

from service.process.standard_streams import print_all
from service.settings.model import Settings


def run_command(arguments: Sequence[str]) -> int:
    """What the arguments ask for; the exit code. Raises StartupError, KeyboardInterrupt, and argparse's SystemExit."""
    if arguments[:1] == ["doctor"]:
        return _doctor(as_json=_doctor_parser().parse_args(arguments[1:]).json)
    _parser().parse_args(arguments)
    from service.process.life import run

    return run(os.environ)


def _parser() -> argparse.ArgumentParser:
    """Of what comes without a command. (argparse's own commands would take the value of a misspelt option for one.)"""
    parser = argparse.ArgumentParser(
        prog="python -m service",
        usage="%(prog)s [-h] [--version] [doctor]",
        description="Starts one instance of the configuration service; with a command, does that instead.",
        epilog=f"{_COMMANDS}\n\nsettings, all of them environment variables:\n\n{_settings()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument("-h", "--help", action=_Help, nargs=0, help="show this and exit")
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
        add_help=False,
    )
    parser.add_argument("-h", "--help", action=_Help, nargs=0, help="show this and exit")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _doctor(*, as_json: bool) -> int:
    # Not before now: gRPC takes a while to load.
    from service.process import logs

    logs.configure("ERROR")
    from service.doctor import examine

    report = examine(os.environ)
    print_all(report.json() if as_json else report.text())
    return report.exit_code


class _Version(argparse.Action):
    """Looks the version up only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from metrics.build import version

        print_all(f"config-service {version()}\n")
        parser.exit()


class _Help(argparse.Action):
    """argparse's own would print past what minds how standard output is."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print_all(parser.format_help())
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
