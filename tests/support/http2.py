"""One connection of HTTP/2 over which anything can be said: frames as a client of ill will would make them."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError

Headers = list[tuple[str, str]]

_UNCHECKED = H2Configuration(
    validate_outbound_headers=False, normalize_outbound_headers=False, validate_inbound_headers=False
)


@dataclass
class Answer:
    """What has come over one stream. reset: the code with which the other side ended it early; None: it did not."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    reset: int | None = None
    ended: bool = False


class Http2:
    """Over a connection that has agreed on h2. Every wait has a deadline."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        assert connection.selected_alpn_protocol() == "h2"
        self._socket = connection
        self._h2 = H2Connection(_UNCHECKED)
        self._h2.initiate_connection()
        self._answers: dict[int, Answer] = {}
        self.goodbye: int | None = None
        self._flush()

    def send(self, headers: Headers, *data: bytes, ends: bool = True) -> int:
        """Begin a stream; its number. ends: whether the request is then whole."""
        stream = self._h2.get_next_available_stream_id()
        self._answers[stream] = Answer()
        self._h2.send_headers(stream, headers, end_stream=ends and not data)
        for number, piece in enumerate(data, 1):
            self._h2.send_data(stream, piece, end_stream=ends and number == len(data))
        self._flush()
        return stream

    def reset(self, stream: int) -> None:
        """Take it back, as a client does that wants no answer any more."""
        self._h2.reset_stream(stream, 8)
        self._flush()

    def answer(self, stream: int, within: float = 10.0) -> Answer:
        """To the end of the stream, or of the connection. Raises AssertionError."""
        answer, deadline = self._answers[stream], time.monotonic() + within
        while not answer.ended and self.goodbye is None:
            assert time.monotonic() < deadline, f"no answer within {within} s: {answer}"
            self._receive()
        return answer

    def ask(self, headers: Headers, *data: bytes, ends: bool = True) -> Answer:
        """Both."""
        return self.answer(self.send(headers, *data, ends=ends))

    @property
    def streams(self) -> int:
        """Requests that the other side lets be under way."""
        return self._h2.remote_settings.max_concurrent_streams

    def goodbye_said(self) -> bool:
        """Whether the other side has said that it takes no more."""
        self._receive()
        return self.goodbye is not None

    def _receive(self) -> None:
        self._socket.settimeout(0.1)
        try:
            received = self._socket.recv(65_536)
        except TimeoutError:
            return
        if not received:
            self.goodbye = -1
            return
        try:
            events = self._h2.receive_data(received)
        except ProtocolError:  # h2 takes nothing more once it has read a goodbye, not even the PING that follows it
            self.goodbye = 0
            return
        for event in events:
            self._note(event)
        self._flush()

    def _note(self, event: object) -> None:
        if isinstance(event, ResponseReceived):
            answer = self._answers[event.stream_id]
            answer.headers = {name.decode(): value.decode() for name, value in event.headers}
            answer.status = int(answer.headers[":status"])
        elif isinstance(event, DataReceived):
            self._answers[event.stream_id].body += event.data
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamReset):
            self._answers[event.stream_id].reset = int(event.error_code)
            self._answers[event.stream_id].ended = True
        elif isinstance(event, StreamEnded):
            self._answers[event.stream_id].ended = True
        elif isinstance(event, ConnectionTerminated):
            self.goodbye = int(event.error_code or 0)

    def _flush(self) -> None:
        try:
            self._socket.sendall(self._h2.data_to_send())
        except OSError:
            self.goodbye = -1
