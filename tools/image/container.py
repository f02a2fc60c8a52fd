"""Runs a program in a tree as a container's runtime would: docker run --read-only --cap-drop ALL --memory …

Stricter than Docker: nothing at all can be written to, but /dev/shm where that is asked for. Owns the processes that it
starts. Needs root, on Linux, with a control group for memory of version 1 or 2.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.etcd import dying_with_us
from tests.support.memory_group import V1, MemoryGroup

END_WITHIN = 10.0

_NOTHING_MORE = (
    "--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--no-new-privs",
    "--pdeathsig=KILL",  # the kernel forgets unshare's own wish when the user changes
)  # fmt: skip

# $1: the tree; $2: an empty directory, for it; $3: the control group; $4: where the group is mounted; $5, $6: a
# directory that is lent to it, and where, if any; $7: whether there is a /dev/shm; the rest: the command.
_RUNTIME = """
set -e
its_path=$PATH PATH=/usr/sbin:/usr/bin:/sbin:/bin
tree=$1 root=$2 group=$3 mounted=$4 lent=$5 place=$6 shm=$7
shift 7
echo $$ > "$group/cgroup.procs"
[ -z "$lent" ] || mkdir -p "$tree$place"
mount --bind "$tree" "$root"
mount -o remount,bind,ro,nosuid,nodev "$root"
cd "$root"
if [ -n "$lent" ]; then
    mount --bind "$lent" ".$place"
    mount -o remount,bind,ro,nosuid,nodev,noexec ".$place"
fi
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t tmpfs -o mode=755,size=64k,nosuid,nodev,noexec tmpfs sys/fs/cgroup
[ "$mounted" = . ] || mkdir "sys/fs/cgroup/$mounted"
mount --bind "$group" "sys/fs/cgroup/$mounted"
mount -o remount,bind,ro,nosuid,nodev,noexec "sys/fs/cgroup/$mounted"
[ "$mounted" = . ] || mount -o remount,ro,nosuid,nodev,noexec sys/fs/cgroup
mount -t tmpfs -o mode=755,size=64k,nosuid tmpfs dev
for device in null zero full random urandom; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
ln -s /proc/self/fd dev/fd
mkdir dev/shm
mount -o remount,ro,nosuid dev
[ -z "$shm" ] || mount -t tmpfs -o mode=1777,size=64m,nosuid,nodev,noexec tmpfs dev/shm
pivot_root . .
umount -l .
cd /
PATH=$its_path
exec setpriv "$@"
"""


class Container:
    """A program as process 1 of its own namespaces, but in this network.

    root: its tree. user: two numbers. memory: the group that it is in. log: the file for what it prints. lent: a
    directory, and where it is inside, read-only. shm: whether /dev/shm can be written to, as with Docker. As a context
    manager it is ended by force, if need be.
    """

    def __init__(
        self,
        root: Path,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        user: str,
        memory: MemoryGroup,
        log: Path,
        lent: tuple[Path, str] | None = None,
        shm: bool = False,
    ) -> None:
        self.environment = dict(environment)
        self.log = log
        self._user = user
        self.memory = memory
        namespaces = ["--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--propagation", "private"]
        places = (root, tempfile.mkdtemp(dir=log.parent), memory.path, "memory" if V1.exists() else ".")
        places += (*(lent or ("", "")), "yes" if shm else "")
        runtime = ["/usr/bin/env", "unshare", *namespaces, "sh", "-c", _RUNTIME, "sh", *map(str, places)]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                dying_with_us([*runtime, *self._as_user(), *command]),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()  # and the kernel its child with it
            self.process.wait()

    def _as_user(self) -> list[str]:
        user, group = self._user.split(":")
        return [f"--reuid={user}", f"--regid={group}", *_NOTHING_MORE, "--"]

    @property
    def pid(self) -> int:
        """The number outside of what is process 1 inside. Raises AssertionError when there is none."""
        assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.printed()}"
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        assert children, self.printed()
        return int(children[0])

    def status(self, pid: int | None = None) -> dict[str, str]:
        """What /proc says of process 1, or of another."""
        lines = Path(f"/proc/{pid or self.pid}/status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def writable(self) -> list[str]:
        """Where something is mounted inside that isn't read-only, apart from /proc and devices."""
        found = []
        for line in Path(f"/proc/{self.pid}/mountinfo").read_text().splitlines():
            words = line.split()
            place, options, kind = words[4], words[5], words[words.index("-") + 1]
            if "rw" in options.split(",") and kind != "proc" and Path(f"/proc/{self.pid}/root{place}").is_dir():
                found.append(place)
        return found

    def run(self, *command: str, within: float = 30.0, **more: str) -> subprocess.CompletedProcess[str]:
        """Runs one more program inside, with the same user and as few rights, as `docker exec` does."""
        inside = ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--ipc", "--uts", "--root", "--wd"]
        return subprocess.run(
            [*inside, "setpriv", *self._as_user(), *command],
            env=self.environment | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )

    def send(self, number: signal.Signals) -> None:
        """Sends it to process 1 from outside, as the runtime does."""
        os.kill(self.pid, number)

    def stop(self, number: signal.Signals, within: float = END_WITHIN) -> tuple[int, float]:
        """Sends it the signal; its exit code, and the seconds that it took.

        Raises TimeoutExpired.
        """
        began = time.monotonic()
        self.send(number)
        return self.process.wait(within), time.monotonic() - began

    def printed(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")
