"""`make container-check`: builds a wheel, executes the steps of the Dockerfile, and tries what they made.

It takes minutes, and root. Owns `instance/image`: the archives of the base stay there, so that the next time is
quicker; the trees go.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from metrics.build import version
from tools.image.build import PROJECT, Failed, build
from tools.image.trial import tell
from tools.release import BUILT

KEPT = PROJECT / "instance" / "image"
NEEDED = {"mmdebstrap": "mmdebstrap", "unshare": "util-linux", "nsenter": "util-linux", "tar": "tar"}
"""Programs, and Debian's packages of them."""


def missing() -> str:
    """What keeps this machine from it, if anything."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "Making file systems and containers needs Linux, and root."
    absent = {package for program, package in NEEDED.items() if not shutil.which(program)}
    return f"Install {' '.join(sorted(absent))} with apt." if absent else ""


def context(place: Path) -> Path:
    """What the build is given: this checkout, with a wheel of its own, so that none that was released is replaced.

    Raises CalledProcessError.
    """
    made = place / "context"
    into = made / BUILT / version()
    into.mkdir(parents=True)
    for each in PROJECT.iterdir():
        if each.name not in (BUILT.parts[0], ".git", ".venv"):
            (made / each.name).symlink_to(each)
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(into), "."]
    subprocess.run(command, cwd=PROJECT, stdout=subprocess.DEVNULL, check=True)
    return made


def main() -> int:
    """Does all; 1 when a step fails, or something is not true of what they made."""
    parser = argparse.ArgumentParser(prog="python -m tools.image", description="Tries the image without Docker.")
    parser.add_argument("--keep", action="store_true", help="leave the trees and logs there, and say where")
    arguments = parser.parse_args()
    if problem := missing():
        sys.stderr.write(f"{problem}\n")
        return 1
    KEPT.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="made-", dir=KEPT))
    try:
        root = build(context(place), place / "stages", KEPT, tell)
        trial = place / "trial"
        trial.mkdir()
        apart = ["unshare", "--net", sys.executable, "-m", "tools.image.trial", str(root), str(trial)]
        return subprocess.run(apart, cwd=PROJECT, check=False).returncode
    except Failed as problem:
        tell(f"FAILED  {problem}")
        return 1
    finally:
        if arguments.keep:
            tell(f"kept: {place}")
        else:
            shutil.rmtree(place)


if __name__ == "__main__":
    sys.exit(main())
