"""X-Request-Id: taken from the client or the platform if it is plain, made up for what has a line in the log."""

from __future__ import annotations

import re

import pytest

from service.http.requests import request_id, sent_id
from tests.http.conftest import Gateway

MADE_UP = re.compile(r"[0-9a-f]{16}")


@pytest.mark.parametrize("plain", ["a", "7f2c-11", "a.b_c:d/e+f=g@h", "x" * 128])
def test_a_plain_id_is_taken(plain: str) -> None:
    assert sent_id({"HTTP_X_REQUEST_ID": plain}) == request_id({"HTTP_X_REQUEST_ID": plain}) == plain


@pytest.mark.parametrize(
    "other", ["", "-a", "a b", "a\nb", "a\x1b[31m", "a,b", '"a"', "<a>", "\xe9", "٣", "x" * 129, "a\r\nSet-Cookie: b=c"]
)
def test_what_is_not_plain_is_replaced_never_mended(other: str) -> None:
    """It would end up in a header and in a log; a part of it would be another id."""
    assert sent_id({"HTTP_X_REQUEST_ID": other}) == ""
    assert MADE_UP.fullmatch(request_id({"HTTP_X_REQUEST_ID": other, "HTTP_X_VCAP_REQUEST_ID": other}))


def test_the_clients_id_comes_before_the_platforms() -> None:
    both = {"HTTP_X_REQUEST_ID": "mine", "HTTP_X_VCAP_REQUEST_ID": "theirs"}
    assert request_id(dict(both)) == "mine"
    assert request_id({**both, "HTTP_X_REQUEST_ID": "not plain"}) == "theirs"
    assert sent_id({"HTTP_X_VCAP_REQUEST_ID": "theirs"}) == ""


def test_an_id_that_was_made_up_stays_the_same() -> None:
    """It stands in the version of a write before it stands in the answer and in the log."""
    environ: dict[str, object] = {}
    assert request_id(environ) == request_id(environ)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("PUT", "/config/a", b"1"), ("DELETE", "/config/a", None), ("PUT", "/config/a", b"{"), ("PUT", "/config/", b"1"),
     ("POST", "/config/", b'{"operations": [{"op": "delete", "key": "a"}]}'), ("POST", "/config/", b"1")],
)  # fmt: skip
def test_every_answer_to_a_write_bears_an_id(gateway: Gateway, method: str, path: str, body: bytes | None) -> None:
    """Whether it was done or refused, the short way or by Flask; no two alike, unless the client says so."""
    made_up = [gateway.ask(method, path, body).headers["X-Request-Id"] for _ in range(2)]
    assert all(MADE_UP.fullmatch(each) for each in made_up)
    assert made_up[0] != made_up[1]
    assert gateway.ask(method, path, body, X_Request_Id="mine").headers["X-Request-Id"] == "mine"
    assert gateway.ask(method, path, body, X_Vcap_Request_Id="theirs").headers["X-Request-Id"] == "theirs"


@pytest.mark.parametrize(
    "path",
    ["/config/a", "/config/a?use_cache=false", "/config/absent", "/config/?limit=1", "/config/a?x=y", "/healthz", "/a"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_answer_to_a_read_bears_the_clients_id_or_none(gateway: Gateway, method: str, path: str) -> None:
    """A hit has no time to make one up."""
    gateway.ask("PUT", "/config/a", b"1")
    for _ in range(2):  # loaded, then from memory
        assert "X-Request-Id" not in gateway.ask(method, path).headers
        assert "X-Request-Id" not in gateway.ask(method, path, X_Request_Id="not plain").headers
        assert gateway.ask(method, path, X_Request_Id="mine").headers["X-Request-Id"] == "mine"
