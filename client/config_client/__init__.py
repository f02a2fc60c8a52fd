"""Configuration in memory, told of every change: the client of config-service."""

from config_client.aio import AsyncConfigClient
from config_client.base import Delete, Options, Put
from config_client.blocking import ConfigClient
from config_client.changes import Change
from config_client.connection import Connection
from config_client.core.feed import FeedOptions
from config_client.core.model import Document, Fresh, Lost, Stale, State, View
from config_client.errors import (
    CallFailed,
    Closed,
    ConfigError,
    Denied,
    Fault,
    Forked,
    Gone,
    InvalidValue,
    NoSuchKey,
    OutcomeUnknown,
    PolicyViolation,
    PreconditionFailed,
    ReasonRequired,
    Rejected,
    StartFailed,
    TimedOut,
    Unavailable,
)
from config_client.memory import Snapshot
from config_client.service import Service, Written

__all__ = [
    "AsyncConfigClient",
    "CallFailed",
    "Change",
    "Closed",
    "ConfigClient",
    "ConfigError",
    "Connection",
    "Delete",
    "Denied",
    "Document",
    "Fault",
    "FeedOptions",
    "Forked",
    "Fresh",
    "Gone",
    "InvalidValue",
    "Lost",
    "NoSuchKey",
    "Options",
    "OutcomeUnknown",
    "PolicyViolation",
    "PreconditionFailed",
    "Put",
    "ReasonRequired",
    "Rejected",
    "Service",
    "Snapshot",
    "Stale",
    "StartFailed",
    "State",
    "TimedOut",
    "Unavailable",
    "View",
    "Written",
]
