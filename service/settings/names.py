"""Which variables look like settings and are none: refused when they are nearly one that guards, else warned about.

Pure, and knows names only: nothing here can repeat a value. A guard is a setting without which somebody is let in, or
is taken for somebody else, who should not be; misspelt, it would fail open.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

WATCHED_PREFIXES = ("ALLOWED_", "API_TOKEN", "CACHE_", "ETCD_", "TLS_")

GONE = ("THREADS", "THREADS_ON_ONE_CPU")
"""Of earlier releases; what they set is no more."""

GUARDS = (
    "ALLOWED_HOSTS", "API_TOKENS", "API_TOKENS_FILE", "ETCD_ENDPOINTS", "ETCD_USER", "ETCD_PASSWORD", "ETCD_CA_CERT",
    "ETCD_CERT", "ETCD_KEY", "TLS_CERT", "TLS_KEY",
    "TLS_CLIENT_CA", "VCAP_SERVICES",
)  # fmt: skip
"""Without ETCD_ENDPOINTS an empty etcd of our own is used, which asks nobody for a password."""

# What other programs call these, as words behind the first one.
_ALIASES = {
    "ALLOWED_HOSTS": ("HOSTNAMES", "HOST_NAMES", "NAMES"),
    "API_TOKENS": ("TOKEN_LIST", "TOKENS_JSON", "TOKEN_JSON", "TOKEN_SHA256", "TOKENS_SHA256"),
    "API_TOKENS_FILE": ("TOKEN_PATH", "TOKENS_PATH", "TOKENS_JSON_FILE", "TOKENS_FILENAME"),
    "ETCD_ENDPOINTS": ("URL", "URLS", "URI", "HOSTS", "SERVERS", "ADDRESS", "ADDRESSES"),
    "ETCD_USER": ("USERNAME", "USER_NAME", "LOGIN"),
    "ETCD_PASSWORD": ("PASS", "PASSWD", "PWD", "PW", "SECRET", "PASSWORD_FILE"),
    "ETCD_CA_CERT": ("CA", "CA_FILE", "CA_PEM", "CA_CERT_FILE", "CA_CRT", "CA_BUNDLE", "CA_CERTIFICATE", "ROOT_CA",
                     "TLS_CA", "SSL_CA", "TRUSTED_CA_FILE"),
    "ETCD_CERT": ("CERT_FILE", "CERT_PEM", "CRT", "CERTIFICATE", "CLIENT_CERT", "CLIENT_CRT", "TLS_CERT", "SSL_CERT"),
    "ETCD_KEY": ("KEY_FILE", "KEY_PEM", "PRIVATE_KEY", "CLIENT_KEY", "CERT_KEY", "TLS_KEY", "SSL_KEY"),
    "TLS_CERT": ("CERT_FILE", "CERT_PEM", "CERT_PATH", "CRT_FILE", "CERTIFICATE", "CERTIFICATE_FILE", "SERVER_CERT"),
    "TLS_KEY": ("KEY_FILE", "KEY_PEM", "KEY_PATH", "PRIVATE_KEY", "PRIVATE_KEY_FILE", "SERVER_KEY"),
    "TLS_CLIENT_CA": ("CLIENT_CA_FILE", "CLIENT_CA_CERT", "CLIENT_CA_PEM", "CLIENT_AUTH", "CLIENT_VERIFY",
                      "CLIENT_CERT", "VERIFY_CLIENT"),
}  # fmt: skip

LONG = 10
"""Letters from which on a name may have two slips; among shorter ones that would make strangers alike."""

# What Kubernetes sets for each service beside us; one that is called etcd gives ETCD_PORT, which is nearly ETCD_CERT.
# And what etcdctl reads, whose ETCDCTL_CERT is as near.
_OF_OTHERS = re.compile(
    r"^ETCDCTL_|_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$"
)


def bare(name: str) -> str:
    """A name without what writers vary: `Api-Tokens` is `APITOKENS`."""
    return re.sub("[^A-Z0-9]", "", name.upper())


_KNOWN_ALIASES = {
    bare(f"{guard.partition('_')[0]}_{alias}"): guard for guard, aliases in _ALIASES.items() for alias in aliases
}


def near_misses(names: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """The names that are nearly a guard's, each with that guard."""
    strangers = sorted(name for name in names if name not in known and not _OF_OTHERS.search(name))
    return {name: guard for name in strangers if (guard := _KNOWN_ALIASES.get(bare(name)) or nearest(name, GUARDS))}


def nearest(name: str, wanted: Iterable[str]) -> str | None:
    """The wanted name that this one is a slip of the pen away from, or two if it is long; None if there is none."""
    found = bare(name)
    for each in wanted:
        expected = bare(each)
        allowed = 2 if min(len(found), len(expected)) >= LONG else 1
        if abs(len(found) - len(expected)) <= allowed and slips(found, expected) <= allowed:
            return each
    return None


def slips(found: str, expected: str) -> int:
    """How many letters were added, left out, exchanged, or swapped with their neighbour (optimal string alignment)."""
    before: list[int] = []
    last = list(range(len(expected) + 1))
    for row, letter in enumerate(found, 1):
        this = [row]
        for column, other in enumerate(expected, 1):
            cost = min(last[column] + 1, this[column - 1] + 1, last[column - 1] + (letter != other))
            if row > 1 and column > 1 and letter == expected[column - 2] and found[row - 2] == other:
                cost = min(cost, before[column - 2] + 1)
            this.append(cost)
        before, last = last, this
    return last[-1]


def unknown(names: Collection[str], known: Sequence[str]) -> tuple[str, ...]:
    """One warning for each other variable that is a setting no more, or looks like one and is none, by name."""
    refused = near_misses(names, known)
    gone = (f"{name} is set, and has no effect: requests have no threads any more" for name in GONE if name in names)
    suspects = (name for name in sorted(names) if name.startswith(WATCHED_PREFIXES) and name not in {*known, *refused})
    return (*gone, *(_warning(name, known) for name in suspects))


def _warning(name: str, known: Sequence[str]) -> str:
    import difflib  # most environments have nothing to warn of

    near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{name} is set, but it is not a setting of this service and has no effect{hint}"
