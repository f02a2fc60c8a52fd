"""The result of a run as Markdown: `python -m bench.table instance/bench.json`."""

from __future__ import annotations

import sys
from pathlib import Path

from bench import report


def main() -> int:
    """Prints the table; the exit code."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        sys.stderr.write("expected the result of a run: python -m bench; python -m bench.table instance/bench.json\n")
        return 2
    sys.stdout.write(report.markdown(report.load(Path(sys.argv[1]))) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
