"""Are we let in, and may we do what the service does? Tried, not looked up: with each key that the service uses.

Nothing is written for that: etcd refuses before it looks at the condition, which never holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from consistency.core.store import BadCredentials, Denied, NoSpace, StoreError
from consistency.etcd.config import EtcdConfig
from consistency.etcd.probe import EtcdProbe, Trial
from consistency.etcd.store import EtcdStore
from consistency.loop import run
from service.doctor.report import Finding, ok, warning, wrong

LEASE = 60
"""Seconds until etcd removes what the doctor could not."""


@dataclass(frozen=True, slots=True)
class Etcd:
    """The cluster as the service would use it. `origin`: the setting or file that names it."""

    config: EtcdConfig
    probe: EtcdProbe
    store: EtcdStore
    origin: str
    timeout: float

    @property
    def etcdctl(self) -> str:
        """How an administrator's command begins."""
        as_root = " --user=root" if self.config.user else ""
        return f"etcdctl --endpoints={','.join(self.config.endpoints)}{as_root}"


def authentication(etcd: Etcd) -> Finding:
    """Whether etcd lets us in. WRONG also if it gives no answer at all."""
    user = etcd.config.user
    try:
        wants_users = run(etcd.probe.sign_in(etcd.timeout)) if user else False
        run(etcd.probe.read(etcd.timeout))
    except Denied:
        pass  # let in; what is denied is told under permissions
    except BadCredentials as error:
        return _refused(etcd, error)
    except StoreError as error:
        remedy = "Bring back a majority of etcd's members: without one it answers no linearizable read."
        return wrong("read", f"etcd does not answer a linearizable read ({error})", remedy)
    if user is None:
        return ok("auth", "etcd asks for no user, and none is given")
    if not wants_users:
        return warning(
            "auth",
            f"user {user!r} is given, but authentication is off in etcd: whoever reaches it may change everything",
            f"Turn it on, once {user!r} and root have their roles; or give no user:\n{etcd.etcdctl} auth enable",
        )
    return ok("auth", f"etcd knows user {user!r}")


def _refused(etcd: Etcd, error: StoreError) -> Finding:
    user = etcd.config.user
    if user is None:
        remedy = "Set ETCD_USER and ETCD_PASSWORD."
        return wrong("auth", "etcd wants a user and a password, and none is given", remedy)
    where = "" if etcd.origin == "ETCD_ENDPOINTS" else f", or {etcd.origin}"
    remedy = (
        f"Correct the user or the password (ETCD_USER and ETCD_PASSWORD{where}), or set it in etcd:\n"
        f"{etcd.etcdctl} user passwd {user}"
    )
    return wrong("auth", f"etcd refuses user {user!r} with this password ({_last(error)})", remedy)


def permissions(etcd: Etcd) -> list[Finding]:
    """Reading and writing, then the watch and the lease; one line if all are permitted."""
    found = _try_keys(etcd)
    # Neither has a permission of its own: etcd lets watch who may read, and grants leases to whom it lets in.
    for what, attempt in (("watch", _watch), ("grant a lease", _grant), ("renew a lease", _renew)) if not found else ():
        try:
            attempt(etcd)
        except StoreError as error:
            found.append(wrong("permissions", f"can't {what}: {error}", "See the findings above, and etcd's log."))
    said = f"reading, writing, watching and leases are permitted beneath {etcd.config.prefix}/"
    return found or [ok("permissions", said)]


def _try_keys(etcd: Etcd) -> list[Finding]:
    missing: list[Trial] = []
    found: list[Finding] = []
    for trial in etcd.probe.trials():
        try:
            run(etcd.probe.attempt(trial, etcd.timeout))
        except Denied:
            missing.append(trial)
        except NoSpace:
            said = (
                f"writing can't be tried while etcd is out of space; reading is {'denied' if missing else 'permitted'}"
            )
            found.append(warning("permissions", said, "Ask again when there is space."))
            break
        except StoreError as error:
            verb = "written" if trial.write else "read"
            said = f"{trial.keys} can't be {verb}: {error}"
            found.append(wrong("permissions", said, "See the findings above, and etcd's log."))
    return [_denied(etcd, missing), *found] if missing else found


def _watch(etcd: Etcd) -> None:
    run(etcd.store.watch(0, 0, timeout=etcd.timeout)).close()


def _grant(etcd: Etcd) -> None:
    with _lease(etcd):
        pass


def _renew(etcd: Etcd) -> None:
    with _lease(etcd) as lease:
        run(etcd.store.keep_alive(lease, timeout=etcd.timeout))


@contextmanager
def _lease(etcd: Etcd) -> Iterator[int]:
    lease = run(etcd.store.grant(LEASE, timeout=etcd.timeout)).id
    try:
        yield lease
    finally:
        run(etcd.store.revoke(lease, timeout=etcd.timeout))


def _denied(etcd: Etcd, missing: Sequence[Trial]) -> Finding:
    user, prefix = etcd.config.user, etcd.config.prefix
    role = next(iter(_roles(etcd)), None)
    grant = f"{etcd.etcdctl} role grant-permission {role or 'config-service'} --prefix=true readwrite {prefix}/"
    commands = [grant] if role else [
        f"{etcd.etcdctl} role add config-service",
        grant,
        f"{etcd.etcdctl} user grant-role {user or '<user>'} config-service",
    ]  # fmt: skip
    who = f"user {user!r}" if user else "this client's certificate"
    denied = [
        f"{verb} {', '.join(trial.keys for trial in missing if trial.write is write)}"
        for verb, write in (("read", False), ("write", True))
        if any(trial.write is write for trial in missing)
    ]
    return wrong(
        "permissions", f"{who} may not {', nor '.join(denied)}", "\n".join(["Grant what is missing:", *commands])
    )


def _roles(etcd: Etcd) -> tuple[str, ...]:
    """Return the roles of our user; none if etcd won't say."""
    if etcd.config.user is None:
        return ()
    try:
        return run(etcd.probe.roles(etcd.timeout))
    except StoreError:
        return ()


def _last(error: StoreError) -> str:
    return str(error).rpartition(": ")[2]
