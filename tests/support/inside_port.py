"""Where an instance's server listens, behind the relay: a port that nobody is told."""

from __future__ import annotations

from pathlib import Path

LISTENS = "0A"


def ports_of(pid: int) -> set[int]:
    """All ports at which this process listens."""
    own = {str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir() if file.is_symlink()}
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {
        int(fields[1].partition(":")[2], 16)
        for fields in lines
        if fields[3] == LISTENS and f"socket:[{fields[9]}]" in own
    }
