"""Tries, in a process of its own, whether the server takes a certificate: one that it does not take ends its process.

Run as a program it is the trial: `python -m service.http.trial CERT KEY [CLIENT_CA]`. It listens on a port of this
machine for a moment, answers nobody, and ends with 0.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from service.embedded_etcd.child import child_environment
from service.process.startup import StartupError
from service.tls.files import written
from service.tls.shown import Material

PROGRAM = "service.http.trial"
WITHIN = 20.0
"""Seconds. It takes less than one, unless others need the machine."""

_WORDS = re.compile(rb"value: ([ -~]{1,200})")
"""How the server's library says what it has found; it repeats nothing of a key."""


def check(material: Material) -> None:
    """Blocks for half a second. Raises StartupError: what the server does not take, as far as it says."""
    try:
        with written(*filter(None, (material.cert, material.key, material.client_ca))) as files:
            done = subprocess.run(
                [sys.executable, "-P", "-m", PROGRAM, *map(str, files)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=child_environment() | {"PYTHONPATH": os.pathsep.join(each for each in sys.path if each)},
                timeout=WITHIN,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise _refusal(f"the server has not begun with them within {WITHIN:g} s") from None
    except OSError as error:
        raise _refusal(f"they can't be tried: {error.strerror}") from None
    if done.returncode:
        said = _WORDS.search(done.stderr)
        raise _refusal(f"the server does not take them{f': {said[1].decode()}' if said else ''}")


def _refusal(found: str) -> StartupError:
    return StartupError(
        f"TLS_CERT, TLS_KEY or TLS_CLIENT_CA can't be used: {found}. Expected certificates of X.509 version 3 and a "
        "key of RSA, P-256, P-384 or Ed25519, for example TLS_CERT=/etc/config-service/tls/tls.crt and "
        "TLS_KEY=/etc/config-service/tls/tls.key"
    )


async def _try(files: list[Path]) -> None:
    from service.http.accepting import Accepting
    from service.process.listener import reserve

    with reserve("127.0.0.1", 0) as held:
        tried = Accepting(_nobody, held.getsockname()[:2], connections=1, tls=files)
        await tried.start((), lambda _: None)
        tried.stop()


async def _nobody(_scope: Any, _receive: Any, _send: Any) -> None:
    """Never answers."""


def main() -> None:
    """The trial. Raises what the server raises."""
    asyncio.run(_try([Path(each) for each in sys.argv[1:]]))
    os._exit(0)  # threads of the server may not have noticed yet


if __name__ == "__main__":
    main()
