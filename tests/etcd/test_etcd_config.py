"""What is refused before anything is connected to, and how it is said."""

from __future__ import annotations

import pytest

from consistency.etcd.config import Endpoint, EtcdConfig


@pytest.mark.parametrize(
    ("url", "target", "tls"),
    [
        ("http://127.0.0.1:2379", "127.0.0.1:2379", False),
        ("https://etcd.example.org:443/", "etcd.example.org:443", True),
        ("http://[::1]:2379", "[::1]:2379", False),
    ],
)
def test_an_endpoint_is_a_scheme_a_host_and_a_port(url: str, target: str, tls: bool) -> None:
    """Point 2."""
    endpoint = Endpoint.parse(url)
    assert (endpoint.target, endpoint.tls) == (target, tls)


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:2379", "http://127.0.0.1", "ftp://a:1", "http://:2379", "http://a:b", "http://a:99999",
            "http://a:1/path", "http://a:1?x=1"],
)  # fmt: skip
def test_any_other_endpoint_is_refused_with_an_example(url: str) -> None:
    """Start-up errors say what was found, what was expected, and an example."""
    with pytest.raises(ValueError, match=r"expected .* for example http://127\.0\.0\.1:2379"):
        EtcdConfig((url,), "p")


def test_a_password_in_an_endpoint_is_refused_and_not_repeated() -> None:
    """It has a setting of its own, and messages end up in logs."""
    with pytest.raises(ValueError, match="nothing but host and port") as caught:
        EtcdConfig(("http://user:secret@a:1",), "p")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"endpoints": ()}, "no etcd endpoint"),
        ({"user": "app"}, "user and password"),
        ({"password": "pw"}, "user and password"),
        ({"cert": b"pem"}, "certificate and key"),
    ],
)
def test_parts_that_need_each_other_are_given_together(config: dict[str, object], message: str) -> None:
    """Half of a pair is a slip, never an intention."""
    parts: dict[str, object] = {"endpoints": ("http://a:1",), "prefix": "p", **config}
    with pytest.raises(ValueError, match=message):
        EtcdConfig(**parts)  # type: ignore[arg-type]
