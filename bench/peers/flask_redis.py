"""The usual way to spare a database: a Flask service that keeps what it has read in Redis, on the same machine.

Generous to it: values stay for five minutes, and nothing is invalidated, so that every read but the first is a hit.
What such an answer promises is therefore much less than ours does.
"""

from __future__ import annotations

import flask
import redis
from redis.cache import CacheConfig
from redis.connection import CacheProxyConnection

from bench.documents import HEADERS
from consistency.core.store import Want
from consistency.etcd.store import EtcdConfig, EtcdStore
from consistency.loop import PROCESS_LOOP

# redis-py asks for 7.4 "to maximize compatibility with all Redis products". Redis itself tracks clients since 6.0.
CacheProxyConnection.MIN_ALLOWED_VERSION = "6.0.0"

KEPT = 300
"""Seconds."""

TIMEOUT = 3.0
_HEADERS = list(HEADERS)


def make(redis_port: int, etcd: str, prefix: str, *, tracking: bool) -> flask.Flask:
    """The application. `tracking`: redis-py keeps copies of its own, and Redis tells it when they change (RESP3)."""
    PROCESS_LOOP.enter()
    store = EtcdStore(EtcdConfig((etcd,), prefix))
    cache = redis.Redis(port=redis_port, protocol=3, cache_config=CacheConfig() if tracking else None)
    application = flask.Flask(__name__, static_folder=None)

    @application.get("/config/<path:key>")
    def read(key: str) -> tuple[bytes, list[tuple[str, str]]]:
        value = cache.get(key)
        if not isinstance(value, bytes):
            value = _load(store, key)
            cache.set(key, value, ex=KEPT)
        return value, _HEADERS

    return application


def _load(store: EtcdStore, key: str) -> bytes:
    (found,) = PROCESS_LOOP.run(store.read([Want(key)], None, timeout=TIMEOUT)).found
    if found.document is None:
        flask.abort(404)
    return found.document.data
