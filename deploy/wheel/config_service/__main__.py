"""The command `config-service`, which is `python -m config_service`, too.

Owns the way from an installation to the service: puts `app` first among the places where Python looks for modules, and
says where data belongs. Knows nothing of what the commands do. `app` holds `service`, `consistency`, `metrics` and
`tools`, as a checkout has them: names too common to lay claim to in everybody's site-packages.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

APP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "app")  # noqa: PTH100, PTH118, PTH120  # pathlib takes time


def main() -> None:
    """Do what the arguments say, and end the process."""
    sys.path.insert(0, APP)
    from service.process import stopping

    stopping.end_at_once()
    from service.process.entry import enter
    from service.process.program import Program

    enter(Program("config-service", _data(), {"fleet": ("run a fleet on this machine (see fleet --help)", _fleet)}))


def _data() -> str:
    """Where data is kept unless --data-dir says where: the user's own directory for it, as the XDG specification says.

    "instance", beneath the working directory, for a user without a home: containers have such.
    """
    home = os.path.expanduser("~")  # noqa: PTH111  # pathlib takes time
    given = os.environ.get("XDG_DATA_HOME", "")
    if os.path.isabs(given):  # noqa: PTH117  # the specification: a relative one is ignored
        return os.path.join(given, "config-service")  # noqa: PTH118
    return os.path.join(home, ".local", "share", "config-service") if os.path.isabs(home) else "instance"  # noqa: PTH117, PTH118


def _fleet(arguments: Sequence[str], data: str) -> int:
    from tools.fleet import main

    return main(arguments, program="config-service fleet", data=data)


if __name__ == "__main__":
    main()
