"""The two directions of a connection: a fault may hold one of them."""

from __future__ import annotations

from enum import Enum


class Way(Enum):
    """One direction of a connection."""

    TO_SERVER = "to the server"
    TO_CLIENT = "to the client"
