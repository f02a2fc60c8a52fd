"""The command line: starts one instance, or examines its etcd, or tells what there is to set."""

from __future__ import annotations

import argparse
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path

from service.process.program import CHECKOUT, Program
from service.process.standard_streams import print_all
from service.settings.model import Settings

_COMMANDS = {
    "run": "start one instance; so does no command at all",
    "doctor": "examine the etcd that an instance would use, and say what to do (see doctor --help)",
    "alive": "ask the instance on this machine whether it is alive; exit code 0 if it is, else 1",
    "settings": "list the settings, all of them environment variables",
}


def run_command(arguments: Sequence[str], program: Program = CHECKOUT) -> int:
    """What the arguments ask for; the exit code. Raises StartupError, KeyboardInterrupt, and argparse's SystemExit."""
    command = arguments[0] if arguments and arguments[0] in {*_COMMANDS, *program.more} else ""
    rest = arguments[1:] if command else arguments
    if command in program.more:
        return program.more[command][1](rest, program.data)
    if command == "settings":
        _bare_parser(program, command, "Lists the settings, all of them environment variables.").parse_args(rest)
        print_all(f"{_settings()}\n")
        return 0
    if command == "alive":
        _bare_parser(program, command, "Asks the instance on this machine whether it is alive.").parse_args(rest)
        return _alive()
    if command == "doctor":
        given = _doctor_parser(program).parse_args(rest)
        return _doctor(Path(given.data_dir), as_json=given.json)
    given = _parser(program).parse_args(rest)
    from service.process.life import run

    return run(os.environ, Path(given.data_dir))


def _parser(program: Program) -> argparse.ArgumentParser:
    """Return the parser of the arguments without a command. (argparse's own commands would take the value of a misspelt
    option for one.)"""
    commands = {**_COMMANDS, **{name: does for name, (does, _) in program.more.items()}}
    listed = "\n".join(f"  {name:<12}{does}" for name, does in commands.items())
    parser = argparse.ArgumentParser(
        prog=program.name,
        usage=f"%(prog)s [-h] [--version] [--data-dir DIRECTORY] [{' | '.join(commands)}]",
        description="Starts one instance of the configuration service; with a command, does that instead.",
        epilog=f"commands:\n{listed}\n\nsettings, all of them environment variables:\n\n{_settings()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument("-h", "--help", action=_Help, nargs=0, help="show this and exit")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    _take_data_dir(parser, program)
    return parser


def _bare_parser(program: Program, command: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{program.name} {command}", description=description, allow_abbrev=False, add_help=False
    )
    parser.add_argument("-h", "--help", action=_Help, nargs=0, help="show this and exit")
    return parser


def _doctor_parser(program: Program) -> argparse.ArgumentParser:
    parser = _bare_parser(
        program,
        "doctor",
        "Examines the etcd that an instance with the same settings would use, and says what to do. "
        "Exit code: 0 nothing to do, 1 the service would not work, 2 unknown argument, 3 it would work, with warnings.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    _take_data_dir(parser, program)
    return parser


def _take_data_dir(parser: argparse.ArgumentParser, program: Program) -> None:
    parser.add_argument(
        "--data-dir",
        metavar="DIRECTORY",
        type=_directory,
        default=program.data,
        help="where etcd.config.json and the embedded etcd's data are; made if needed (default: %(default)s)",
    )


def _directory(given: str) -> str:
    """As it was given. Raises ArgumentTypeError for what can't be one."""
    if not given or "\0" in given:
        raise argparse.ArgumentTypeError(
            "expected the path of a directory, for example --data-dir /var/lib/config-service"
        )
    return given


def _doctor(data: Path, *, as_json: bool) -> int:
    # Not before now: gRPC takes a while to load.
    from service.process import logs

    logs.configure("ERROR")
    from service.doctor import examine

    report = examine(os.environ, data)
    print_all(report.json() if as_json else report.text())
    return report.exit_code


def _alive() -> int:
    from service.process.alive import trouble

    found = trouble(os.environ)
    if found:
        print_all(f"config-service: {found}\n")
    return 1 if found else 0


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
