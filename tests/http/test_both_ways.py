"""The front answers what Flask answers, whatever is asked; and Flask isn't bothered with documents, batches and probes.

Flask behind the door is the same service for any WSGI server; the front is what its own server calls.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder, run_wsgi_app

from consistency.instance import trimmer
from metrics import Instruments
from service.answering import Answering
from service.http.bridge import Bridge
from service.http.front import Front
from service.http.requests import Environ
from service.settings.model import Settings
from tests.http.conftest import ANSWERS, Gateway, keyring, start_front, start_gateway
from tests.support import asgi, contract
from tests.support.etcd import EtcdServer

Headers = list[tuple[str, str]]

# The last two: what é is in UTF-8, taken for Latin-1, is the name of another document.
KEYS = ("a", "b/c", "absent", "\xe9", "\xc3\xa9")
FLEET = "fee1f1ee7fee1f1e"
OURS = f"config_revision_{FLEET}"
"""The cookie of this fleet."""

CURRENT = "<current>"
"""In a condition: the entity tag that the document has."""

paths = st.one_of(
    st.sampled_from([f"/config/{key}".encode() for key in KEYS]),
    st.sampled_from([b"/config", b"/config/", b"//config/a", b"/config//a", b"/config/a/", b"/config/../a", b"/", b""]),
    st.binary(max_size=6).map(lambda rest: b"/config/" + rest),
    st.just(b"/config/" + b"x" * 513),
)
queries = st.one_of(
    st.just(""),
    st.sampled_from(["", "use_cache=true", "use_cache=false", "consistency=linearizable", "min_revision=1"]),
    st.sampled_from(
        ["use_cache=True", "use_cache", "use_cache=true&use_cache=true", "revision=1", "revision=2", "a=b"]
    ),
    st.sampled_from(["min_revision=9223372036854775807", "stale_if_error=3", "=", "&", "%ff=%fe", "\xe9"]),
    st.text(st.characters(max_codepoint=255), max_size=12),
)
tags = st.one_of(
    st.none(),
    st.sampled_from(
        ["*", '"1"', '"2"', '"3"', 'W/"2"', '"2", "3"', "2", '"', "", '"0"', '"02"', ' "2" ', '"2",', "\xe9"]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=8),
)
cookies = st.sampled_from(
    [
        None,
        "",
        f"{OURS}=1",
        f"{OURS}=2; a=b",
        "x=y",
        f"{OURS}=99999999",
        f"{OURS}=x",
        "config_revision=1",
        f"config_revision_{'0' * 16}=99999999",
        "a=b;",
        f";{OURS}=1",
        f"{OURS}=1; {OURS}=2",
    ]
)
others = st.dictionaries(
    st.sampled_from(
        ["HTTP_ACCEPT", "HTTP_ACCEPT_ENCODING", "HTTP_HOST", "HTTP_TRANSFER_ENCODING", "HTTP_RANGE", "CONTENT_LENGTH",
         "HTTP_CONTENT_ENCODING", "HTTP_AUTHORIZATION", "HTTP_IF_MODIFIED_SINCE", "HTTP_EXPECT", "HTTP_CONNECTION",
         "HTTP_X_REQUEST_ID", "HTTP_X_VCAP_REQUEST_ID"]
    ),
    st.sampled_from(["", "x", "a, b", "gzip", "bytes=0-1", "0", "7", "chunked", "identity;q=0"]),
    max_size=2,
)  # fmt: skip
methods = st.sampled_from(["GET", "GET", "GET", "HEAD", "OPTIONS", "get", "PATCH"])


@dataclass(frozen=True)
class Request:
    """What a server hands over."""

    method: str
    path: bytes
    query: str
    if_none_match: str | None
    if_match: str | None
    cookie: str | None
    others: dict[str, str]

    def environ(self, etag: str = '""') -> Environ:
        """A new one for each application: Flask keeps things in it. `etag`: for CURRENT."""
        environ: dict[str, Any] = EnvironBuilder("/").get_environ()
        environ |= {"REQUEST_METHOD": self.method, "PATH_INFO": self.path.decode("latin-1"), **self.others}
        environ["QUERY_STRING"] = self.query
        given = {"HTTP_IF_NONE_MATCH": self.if_none_match, "HTTP_IF_MATCH": self.if_match, "HTTP_COOKIE": self.cookie}
        return environ | {name: value.replace(CURRENT, etag) for name, value in given.items() if value is not None}


requests = st.builds(Request, methods, paths, queries, tags, tags, cookies, others)


@pytest.fixture(scope="module")
def known(new_etcd: type[EtcdServer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Two documents, and a key that is known to be absent; also one that is not ASCII.

    On an etcd of its own, with records of changes that nobody trims: elsewhere somebody's write, or a lease that ends,
    would be counted among the revisions.
    """
    with ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setattr(trimmer, "INTERVAL", 3600.0)
        etcd = stack.enter_context(new_etcd(tmp_path_factory.mktemp("etcd")))
        etcd.etcdctl("put", "/hit-path/fleet", FLEET)
        gateway = start_gateway(stack, etcd, "/hit-path")
        for key in KEYS:
            if key != "absent":
                assert gateway.ask("PUT", f"/config/{key}", b'{"value": "%b"}' % key.encode()).status_code == 201
        for key in KEYS:
            gateway.ask("GET", f"/config/{key}")
        yield gateway


Way = Callable[[Environ], tuple[int, Headers, bytes]]
"""From what a WSGI server would hand over to status, headers and body."""


def by_flask(gateway: Gateway) -> Way:
    """The application that `create_app` makes."""

    def way(environ: Environ) -> tuple[int, Headers, bytes]:
        pieces, status, headers = run_wsgi_app(gateway.app, environ, buffered=True)
        return int(status.split()[0]), headers.to_wsgi_list(), b"".join(pieces)

    return way


def by_front(gateway: Gateway) -> Way:
    """What the service's server calls; whether it ends the connection is no part of the comparison."""

    def way(environ: Environ) -> tuple[int, Headers, bytes]:
        told = gateway.cache.do(asgi.ask(gateway.front, asgi.request_of(environ)))
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in told.headers]
        assert all(name == name.lower() for name, _ in headers), "as ASGI asks for"
        assert told.is_whole
        return told.status, [pair for pair in headers if pair[0] != "connection"], told.body

    return way


def answer(way: Way, request: Request, etag: str = '""') -> tuple[int, Headers, bytes, int]:
    """Status, headers in order but for Age, body, Age. Raises AssertionError when openapi.yaml describes no such."""
    status, headers, body = way(request.environ(etag))
    contract.check(request.method, request.path.decode("latin-1"), status, dict(headers), body)
    told = [(name.lower(), value) for name, value in headers]
    age = next((int(value) for name, value in told if name == "age"), 0)
    return status, sorted(pair for pair in told if pair[0] != "age"), body, age


@pytest.mark.lasting
@settings(max_examples=1500, deadline=None)
@given(request=requests)
@example(Request("GET", b"/config/a", "", None, None, None, {}))
@example(Request("HEAD", b"/config/a", "", None, None, None, {}))
@example(Request("GET", b"/config/a", "", CURRENT, None, None, {}))
@example(Request("GET", b"/config/a", "", None, CURRENT, None, {}))
@example(Request("GET", b"/config/a", "", None, '"1"', None, {}))
@example(Request("GET", b"/config/absent", "", None, None, None, {}))
@example(Request("GET", b"/config/\xc3\xa9", "", None, None, None, {}))
@example(Request("GET", b"/config/a", "", None, None, f"{OURS}=99999999", {}))
@example(Request("GET", b"/config//a", "a=b", "x", "y", None, {}))
@example(Request("GET", b"/config/a", "", None, None, None, {"HTTP_X_REQUEST_ID": "x"}))
@example(Request("GET", b"/config/a", "", CURRENT, None, None, {"HTTP_X_REQUEST_ID": "x"}))
def test_the_answer_is_the_same_both_ways(known: Gateway, request: Request) -> None:
    """Byte for byte, but for Age, which may pass from one second to the next in between."""
    front, flask = by_front(known), by_flask(known)
    _, headers, *_ = answer(flask, request)  # what is not in memory yet is now
    etag = dict(headers).get("etag", '""')
    *expected, age = answer(flask, request, etag)
    *found, age_found = answer(front, request, etag)
    assert found == expected
    assert 0 <= age_found - age <= 1 or age_found == 0 or age == 0


SECRETS = {"all": "all-0123456789-abcdef", "b": "b-0123456789-abcdefgh", "writer": "writer-0123456789-abc"}
TOKENS = [
    {"name": "all", "token": SECRETS["all"], "scopes": ["read", "write"]},
    {"name": "b", "token": SECRETS["b"], "scopes": ["read"], "prefix": "b/"},
    {"name": "writer", "token": SECRETS["writer"], "scopes": ["write"]},
]

authorizations = st.one_of(
    st.sampled_from([f"Bearer {token}" for token in SECRETS.values()]),
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["Bearer", "bearer", "BEARER", "Basic", "Token", "", " Bearer", "Bearer Bearer"]),
        st.sampled_from([" ", "  ", "\t", "", ", ", "="]),
        st.one_of(
            st.sampled_from([*SECRETS.values(), "wrong-0123456789-abc"]),
            st.text(st.characters(max_codepoint=255), max_size=20),
        ),
        st.sampled_from(["", "", " ", "=", ", Bearer x", f",Bearer {SECRETS['all']}", "\n", "\xff"]),
    ),
    st.none(),
)


def bearer_of(header: str | None) -> str | None:
    """Which of the tokens a header bears, told in another way than the service does."""
    scheme, _, rest = (header or "").partition(" ")
    found = [name for name, token in SECRETS.items() if rest.lstrip(" ") == token]
    return found[0] if found and scheme.lower() == "bearer" else None


@pytest.fixture(scope="module")
def guarded(known: Gateway) -> Iterator[Gateway]:
    """The same cache, behind tokens."""
    with ExitStack() as stack:
        answering = Answering(known.cache.asynchronous, Settings(), Instruments(), keyring(TOKENS))
        front = start_front(stack, answering, known.cache, known.answering.instruments.observe)
        yield replace(known, answering=answering, front=front)


@pytest.mark.lasting
@settings(max_examples=1500, deadline=None)
@given(request=requests, header=authorizations)
@example(Request("GET", b"/config/a", "", None, None, None, {}), f"Bearer {SECRETS['all']}")
@example(Request("GET", b"/config/a", "", None, None, None, {}), f"Bearer {SECRETS['b']}")
@example(Request("GET", b"/config/b/c", "", None, None, None, {}), f"Bearer {SECRETS['b']}")
@example(Request("GET", b"/config/b/c", "", CURRENT, None, None, {}), f"Bearer {SECRETS['b']}")
@example(Request("HEAD", b"/config/a", "revision=1", None, None, f"{OURS}=1", {}), None)
def test_with_tokens_the_answer_is_the_same_both_ways_or_the_same_refusal(
    known: Gateway, guarded: Gateway, request: Request, header: str | None
) -> None:
    """And nothing but a token's own rights decides which: no key that is there, no other header."""
    sent = {"HTTP_AUTHORIZATION": header} if header is not None else {}
    others = {name: value for name, value in request.others.items() if name != "HTTP_AUTHORIZATION"} | sent
    request = replace(request, others=others)
    answer(by_front(known), request)  # what is not in memory yet is now
    *expected, age = answer(by_flask(guarded), request)
    *found, age_found = answer(by_front(guarded), request)
    assert found == expected
    assert 0 <= age_found - age <= 1 or age_found == 0 or age == 0
    name = bearer_of(header)
    assume(name != "b" or request.path == b"/config/b/c" or not request.path.startswith(b"/config/b/"))
    due = due_to(request, name)
    assert expected[0] in due if due else expected == list(answer(by_front(known), request)[:3])


OPEN_PATHS = (b"", b"/")
COLLECTION = (b"/config", b"/config/")
NO_HOSTS = ("", "a, b", "bytes=0-1", "identity;q=0")
"""Of what `others` may put there."""


def due_to(request: Request, name: str | None) -> tuple[int, ...]:
    """The statuses that there may be for a bearer who may not have this, or not all of it; none: he may."""
    reads, beneath = request.method in ("GET", "HEAD"), request.path.startswith(b"/config/")
    # What is no request at all is told that before anything else.
    wrong_head = "HTTP_TRANSFER_ENCODING" in request.others or request.others.get("HTTP_HOST", "x") in NO_HOSTS
    if request.path in OPEN_PATHS or wrong_head:
        return ()
    if name is None:
        return (401,)
    if not (beneath or request.path in COLLECTION) or name == ("writer" if reads else "b"):
        return (403,)
    if name == "b" and request.path in COLLECTION:
        return (200, 400, 411)
    if name == "b" and request.path != b"/config/b/c":
        return (403, 400)
    return ()


def refuse(environ: Environ, _: object) -> Iterable[bytes]:
    """In Flask's place: nothing should get here."""
    raise AssertionError(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} went to Flask")


@pytest.fixture(scope="module")
def without_flask(known: Gateway) -> Iterator[Gateway]:
    """The front with nothing behind it."""
    bridge, it = Bridge(refuse), known.answering
    yield replace(
        known,
        front=Front(
            it.door,
            it.documents,
            it.hits,
            it.probes,
            it.questions,
            it.changes,
            it.policies,
            it.rollbacks,
            bridge,
            answers=ANSWERS,
            observer=it.instruments.observe,
        ),
    )
    assert known.cache.do(bridge.close(1.0))


@pytest.mark.parametrize(
    "query", ["", "use_cache=true", "use_cache=false", "consistency=linearizable", "min_revision=1"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_no_read_of_a_document_goes_through_flask(without_flask: Gateway, method: str, query: str) -> None:
    status, _, body, _ = answer(by_front(without_flask), Request(method, b"/config/a", query, None, None, None, {}))
    assert (status, body) == (200, b'{"value": "a"}' if method == "GET" else b"")


@pytest.mark.parametrize("path", [b"/healthz", b"/readyz"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_no_probe_goes_through_flask(without_flask: Gateway, method: str, path: bytes) -> None:
    """They are answered though every page hangs."""
    status, *_ = answer(by_front(without_flask), Request(method, path, "", None, None, None, {}))
    assert status == 200


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [(method, path, "") for method in ("GET", "HEAD") for path in (b"/healthz", b"/readyz")]
    + [("GET", b"/readyz", "for=routing"), ("GET", b"/readyz", "for=nothing"), ("POST", b"/readyz", "")],
)
def test_a_probe_is_answered_the_same_both_ways(known: Gateway, method: str, path: bytes, query: str) -> None:
    """But for how long ago the last proof was, which is another moment's."""
    request = Request(method, path, query, None, None, None, {})
    ways = (by_front(known), by_flask(known))
    found, expected = ((status, headers, _PROOF.sub(b"", body)) for status, headers, body, _ in
                       (answer(way, request) for way in ways))  # fmt: skip
    lengths = [{pair for pair in headers if pair[0] != "content-length"} for _, headers, _ in (found, expected)]
    assert (found[0], lengths[0], found[2]) == (expected[0], lengths[1], expected[2])


ASKED_OF_EACH = (
    (b"/members", ""),
    (b"/members/targets", ""),
    (b"/members/proof", f"token=a&nonce={'0' * 32}&address=10.0.0.7:8080&mac={'0' * 64}"),
    (b"/members/proof", "token=a"),
)
"""What people, Prometheus and other instances ask each instance, and keep asking."""


@pytest.mark.parametrize(("path", "query"), ASKED_OF_EACH)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_what_is_asked_of_each_instance_is_answered_the_same_both_ways(
    known: Gateway, method: str, path: bytes, query: str
) -> None:
    request = Request(method, path, query, None, None, None, {})
    assert answer(by_front(known), request) == answer(by_flask(known), request)


@pytest.mark.parametrize(("path", "query"), ASKED_OF_EACH)
def test_nothing_that_is_asked_of_each_instance_goes_through_flask(
    without_flask: Gateway, path: bytes, query: str
) -> None:
    """Most instances never load it."""
    status, *_ = answer(by_front(without_flask), Request("GET", path, query, None, None, None, {}))
    assert status == (400 if query == "token=a" else 200)


_PROOF = re.compile(rb'"proof_age": [0-9.]+')

WRITTEN = "/config/written"
"""The one key that writes meet."""

BEAR_REVISIONS = ("etag", "x-config-revision", "set-cookie")
REVISION = re.compile(r'^("?|config_revision_[0-9a-f]{16}=)(\d+)')
MADE_UP = re.compile(r"[0-9a-f]{16}")  # a request id, which no two requests share
AT_REVISION = re.compile(r"at revision \d+")  # as a refusal says it
AS_RESULT = re.compile(r'"((?:mod_)?revision)": (\d+)')  # of a batch

bodies = st.one_of(
    st.sampled_from([b'{"a": 1}', b"[1]", b"", b"{", b"NaN", b'"\xff"', b"1" * 2_000, b"[" * 200 + b"]" * 200]),
    st.binary(max_size=4),
)
lengths = st.sampled_from([None, None, None, "", "0", "3", "-1", "x", "9" * 19, "99999999"])
"""None: that of the body."""


@dataclass(frozen=True)
class Write:
    """`method`, `query` and the conditions as a client may send them, with a body."""

    method: str
    query: str
    if_match: str | None
    if_none_match: str | None
    body: bytes
    length: str | None
    others: dict[str, str]
    path: str = WRITTEN

    def environ(self, etag: str) -> Environ:
        """For one application. `etag`: for CURRENT."""
        given = {"HTTP_IF_MATCH": self.if_match, "HTTP_IF_NONE_MATCH": self.if_none_match}
        return {
            **EnvironBuilder("/").get_environ(),
            **self.others,
            **{name: value.replace(CURRENT, etag) for name, value in given.items() if value is not None},
            "REQUEST_METHOD": self.method,
            "PATH_INFO": self.path,
            "QUERY_STRING": self.query,
            "CONTENT_LENGTH": str(len(self.body)) if self.length is None else self.length,
            "wsgi.input": io.BytesIO(self.body),
        }


writes = st.builds(
    Write,
    st.sampled_from(["PUT", "PUT", "POST", "DELETE", "PATCH"]),
    st.one_of(
        st.just(""),
        st.sampled_from(["sync=false", "sync=True", "a=b", "=", "&"]),
        st.text(st.characters(max_codepoint=255), max_size=4),
    ),
    st.one_of(st.none(), tags, st.just(CURRENT), st.just(f'"1", {CURRENT}')),
    st.one_of(st.none(), st.just("*"), tags),
    bodies,
    lengths,
    others,
)


@pytest.mark.lasting
@pytest.mark.parametrize("there", [True, False])
@settings(max_examples=500, deadline=None)
@given(write=writes)
@example(Write("PUT", "", None, None, b"[1]", None, {}))
@example(Write("DELETE", "", None, None, b"", None, {}))
@example(Write("PUT", "", CURRENT, None, b"[1]", None, {}))
@example(Write("DELETE", "", f'"1", {CURRENT}', None, b"", None, {}))
@example(Write("PUT", "", None, None, b"[1]", None, {"HTTP_X_REQUEST_ID": "x"}))
@example(Write("PUT", "", None, None, b"[1]", None, {"HTTP_X_VCAP_REQUEST_ID": "x"}))
def test_a_write_ends_the_same_both_ways(known: Gateway, there: bool, write: Write) -> None:
    """Byte for byte, but for the revisions and the ids that are made up; and so does the document."""
    assert outcome(known, by_front(known), write, there) == outcome(known, by_flask(known), write, there)


def outcome(gateway: Gateway, way: Way, write: Write, there: bool) -> tuple[Any, ...]:
    """Status, headers, body; and what the document is then. Revisions are told from that of before."""
    cache = gateway.cache
    before = cache.put("written", b"[0]").revision if there else cache.delete("written").revision
    status, headers, body = way(write.environ(f'"{before}"'))
    told = {name.lower(): value for name, value in headers}
    assert len(told) == len(headers), "each header stands there once"
    assert told.pop("content-length", None) in (str(len(body)), None)
    told["x-request-id"] = MADE_UP.sub("made up", told.get("x-request-id", "none"))
    told |= {name: since(before, told[name]) for name in BEAR_REVISIONS if name in told}
    text = AT_REVISION.sub("at", body.decode("latin-1"))
    text = AS_RESULT.sub(lambda found: f'"{found[1]}": <{int(found[2]) - before}>', text)
    return status, told, text, cache.get("written", use_cache=False).value


def since(before: int, text: str) -> str:
    """The text, with how many revisions after `before` instead of the revision that it names, if any."""
    return REVISION.sub(lambda found: f"{found[1]}<{int(found[2]) - before}>", text)


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_no_write_of_a_document_goes_through_flask(without_flask: Gateway, method: str) -> None:
    write = Write(method, "", None, None, b"" if method == "DELETE" else b"[1]", None, {})
    status, *_ = outcome(without_flask, by_front(without_flask), write, there=True)
    assert status == (204 if method == "DELETE" else 200)


batches = st.one_of(
    st.sampled_from(
        [
            b'{"operations": [{"op": "put", "key": "written", "value": [1]}]}',
            b'{"operations": [{"op": "put", "key": "written", "value": [1], "if_none_match": "*"}]}',
            b'{"operations": [{"op": "delete", "key": "written", "if_match": "*"}, {"op": "delete", "key": "absent"}]}',
            b'{"operations": [{"op": "delete", "key": "written"}, {"op": "delete", "key": "written"}]}',
            b'{"operations": []}',
        ]
    ),
    bodies,
)


@pytest.mark.parametrize("there", [True, False])
@settings(max_examples=100, deadline=None)
@given(
    write=st.builds(
        Write,
        st.just("POST"),
        st.sampled_from(["", "", "sync=false", "sync=x", "use_cache=true"]),
        st.sampled_from([None, None, "*"]),
        st.sampled_from([None, None, "*"]),
        batches,
        lengths,
        others,
        st.sampled_from(["/config/", "/config"]),
    )
)
def test_a_batch_ends_the_same_both_ways(known: Gateway, there: bool, write: Write) -> None:
    assert outcome(known, by_front(known), write, there) == outcome(known, by_flask(known), write, there)


def test_no_batch_goes_through_flask(without_flask: Gateway) -> None:
    body = b'{"operations": [{"op": "put", "key": "written", "value": [1]}]}'
    for path in ("/config/", "/config"):
        write = Write("POST", "", None, None, body, None, {}, path)
        assert outcome(without_flask, by_front(without_flask), write, there=True)[0] == 200


def test_what_is_served_is_counted_whichever_way_it_took(known: Gateway) -> None:
    """/metrics tells nothing of the two ways."""
    before = known.ask("GET", "/metrics").get_data(as_text=True)
    known.ask("GET", "/config/a")
    known.ask("GET", "/config/a", If_None_Match='"1"')
    assert known.ask("GET", "/config/a", If_None_Match="malformed").status_code == 400  # no hit, since it is refused
    after = known.ask("GET", "/metrics").get_data(as_text=True)
    grown = {
        'config_cache_reads_total{source="hit"}': 2,
        'config_http_requests_total{method="GET",route="/config/<key>",status="200"}': 2,
        'config_http_requests_total{method="GET",route="/config/<key>",status="400"}': 1,
        'config_http_request_duration_seconds_count{method="GET",route="/config/<key>"}': 3,
    }
    assert {series: value(after, series) - value(before, series) for series in grown} == grown


def value(exposition: str, series: str) -> float:
    """Of one series; 0 if it is not there."""
    return next((float(line.rsplit(" ", 1)[1]) for line in exposition.splitlines() if line.startswith(series + " ")), 0)
