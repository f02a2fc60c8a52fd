"""`python -m service`: the first lines. They look for a Python that can read the rest, so any Python must read them.

Then come the handlers of signals, and only then what takes time to load.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  # whoever starts it decides by which Python
    found = "this is Python " + sys.version.split()[0] + " (" + sys.executable + "), expected 3.11 or newer"
    remedy = "Start it with `make run`, which looks for one, or name another, for example python3.11 -m service"
    sys.stderr.write("config-service: " + found + ". " + remedy + "\n")
    sys.exit(1)

from service.process import stopping

if __name__ == "__main__":
    stopping.end_at_once()
    from service.process.entry import enter

    enter()
