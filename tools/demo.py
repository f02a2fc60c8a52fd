"""A fleet to look at: instances under load, documents that change, and the page. `python -m tools.demo`.

Starts what tools.fleet starts, then locust with its own page, which loads the fleet at once, and somebody who changes
a few documents all the time. Ctrl-C stops all of it, the users first, and what they have written is deleted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from service.process.startup import StartupError
from tools import fleet, probes
from tools.processes import Child

LOCUSTFILE = Path(__file__).parents[1] / "locustfile.py"
INSTANCES = 4
USERS = 20
LOOK = """\
On the page: the hit ratio, well above 90 %, since there are 150 reads for each write; open demo/banner, which somebody
changes every three seconds, and press "Who serves what".
http://127.0.0.1:{port}/ is locust's: how many requests, how long they take, and 0 failures. Each answer is checked.
Ctrl-C deletes what they have written, and ends in some ten seconds.
"""


def main(given: Sequence[str] | None = None) -> int:
    """Runs the demonstration until SIGINT or SIGTERM; the exit code."""
    arguments = _arguments(given)
    try:
        probes.require_free("127.0.0.1", arguments.load_port, option="--load-port")
    except StartupError as error:
        sys.stderr.write(f"the demonstration can't start: {error}\n")
        return 1
    guests = partial(_guests, Path("instance"), arguments.load_port)
    return fleet.serve(arguments.n, arguments.host, arguments.port, guests, LOOK.format(port=arguments.load_port))


def _guests(directory: Path, load_port: int, address: str) -> Iterable[Child]:
    web = ["--web-host", "127.0.0.1", "--web-port", str(load_port)]
    load = ["--autostart", "--users", str(USERS), "--spawn-rate", "10", "--host", address]
    yield Child(
        name="load",
        address=f"http://127.0.0.1:{load_port}",
        command=[sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE), *web, *load],
        log=directory / "load.log",
        env=os.environ,
    )
    yield Child(
        name="writer",
        address=address,
        command=[sys.executable, "-m", "tools.demo_writer", address],
        log=directory / "writer.log",
        env=os.environ,
    )


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.demo", description="Shows a fleet under load.")
    parser.add_argument(
        "-n", type=int, default=INSTANCES, metavar="N", help="instances, 1 to 64 (default: %(default)s)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address of the balancer (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port of the balancer and the page (default: 8080)")
    parser.add_argument("--load-port", type=int, default=8089, help="port of locust's page (default: 8089)")
    arguments = parser.parse_args(given)
    if not 1 <= arguments.n <= 64:
        parser.error(f"-n is {arguments.n}; expected 1 to 64, for example -n 4")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
