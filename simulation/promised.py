"""What can't be right of what is told to who follows changes (rule 18), whatever etcd has. Pure."""

from __future__ import annotations

from consistency import Token, Told

SLACK = 1e-6


def wrong_with(told: Told, token: Token | None, bound: float, elapsed: float) -> str:
    """Which promise this breaks to a client that held `token`; "": none.

    bound, elapsed: seconds of the instance's own clock; elapsed: since it was asked, or later.
    """
    if token is not None and told.to.revision < token.revision:
        return f"it goes back from {token.revision} to {told.to.revision}"
    told_nothing = not told.changes and not told.reset and not (token is not None and token.place)
    if told_nothing and (told.age is None or told.age >= bound):
        return f"nothing has changed, it says, by a proof that is {told.age} s old"
    if told.reset == "asked" and (told.age is None or told.age > bound + elapsed + SLACK):
        return f"a whole scope is told by a proof that is {told.age} s old, {elapsed} s after it was asked for"
    if told.reset == "compacted" and token is not None and token.place and told.to.revision <= token.revision:
        return f"it begins anew at {told.to.revision}, of which the rest has been compacted"
    return ""
