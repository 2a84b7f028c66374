"""HTTP/1.1 on a connection: uvicorn's protocol, held to time, sizes and answers of our own.

uvicorn calls the application as soon as the head of a request is here, waits for the rest as
long as it takes, and forgets a client that does not read. `Connection` tells the `Gate` what
it waits for, which ends it where that takes too long.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from resgraph import limits
from resgraph.serve.gate import Gate, Guest, Phase

_LAST_CALL = (
    0.5  # seconds in which a request may still be on its way when the server stops
)
_CLOSE = (b"connection", b"close")
_REFUSABLE = (h11.IDLE, h11.SEND_RESPONSE)
"""States in which no answer has begun."""


@dataclass(frozen=True)
class Refusal:
    """Why a request does not reach the application."""

    status: int
    code: str
    error: str
    hint: str


_LATE = {
    "timeout": Refusal(
        408,
        "timeout",
        "the request did not come in time",
        "send it at once and without pauses; --head-timeout, --body-timeout and --min-rate "
        "of the server give more time",
    ),
    "crowded": Refusal(
        408,
        "crowded",
        "too many requests are half sent, and this one was furthest behind",
        "send it again, at once and without pauses; --max-connections, --max-per-address "
        "and --max-held-bytes of the server let more wait",
    ),
}
_LARGE_HEAD = Refusal(
    431,
    "large_head",
    f"the head of the request has more than {limits.SERVE_HEAD_BYTES:,} bytes or "
    f"{limits.SERVE_HEAD_FIELDS} lines",
    "leave out cookies and other headers: none is needed",
)
_SMALL_CHUNKS = Refusal(
    400,
    "small_chunks",
    f"the body has more than {limits.SERVE_CHUNKS:,} chunks of less than "
    f"{limits.SERVE_CHUNK_BYTES} bytes on average",
    "send it with a Content-Length, or in larger chunks",
)
_BAD_REQUEST = Refusal(
    400,
    "bad_request",
    "the request is no HTTP/1.1",
    "curl -F image=@picture.png http://.../classify",
)


class _RefusedError(h11.RemoteProtocolError):
    """A request that is HTTP and is refused all the same."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.error, error_status_hint=refusal.status)
        self.refusal = refusal


class _Parser(h11.Connection):
    """h11's parser, which also refuses what is valid and only meant to keep it busy."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, limits.SERVE_HEAD_BYTES)
        self.refusal = _BAD_REQUEST
        self._chunks, self._content = 0, 0

    def next_event(self) -> Any:
        try:
            event = super().next_event()
            self._check(event)
        except h11.RemoteProtocolError as error:
            self.refusal = _reason(error)
            raise
        return event

    def _check(self, event: Any) -> None:
        if isinstance(event, h11.Request):
            self._chunks, self._content = 0, 0
            if event.http_version not in (b"1.0", b"1.1"):
                raise _RefusedError(_BAD_REQUEST)
            if _is_large(event):
                raise _RefusedError(_LARGE_HEAD)
        elif isinstance(event, h11.Data):
            self._chunks += event.chunk_start
            self._content += len(event.data)
            small = self._content < limits.SERVE_CHUNK_BYTES * self._chunks
            if self._chunks > limits.SERVE_CHUNKS and small:
                raise _RefusedError(_SMALL_CHUNKS)


def _is_large(head: h11.Request) -> bool:
    size = len(head.target) + sum(len(a) + len(b) + 4 for a, b in head.headers)
    many = len(head.headers) > limits.SERVE_HEAD_FIELDS
    return many or size > limits.SERVE_HEAD_BYTES


def _reason(error: h11.RemoteProtocolError) -> Refusal:
    if isinstance(error, _RefusedError):
        return error.refusal
    return _LARGE_HEAD if error.error_status_hint == 431 else _BAD_REQUEST


class Connection(H11Protocol):
    """One connection, which the gate may end while it keeps the server waiting."""

    def __init__(self, gate: Gate, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self.conn: _Parser = _Parser()
        self._gate, self._guest = gate, Guest(self._dismissed)
        self._refused, self._last, self._unread = False, False, False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # So that `pause_writing` comes for whatever the client has not taken yet.
        transport.set_write_buffer_limits(0)
        self._guest.address = _network(self.client[0] if self.client else "")
        self._turn()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gate.turn(self._guest, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Hand it to the parser, in pieces, so that no head is much larger than its limit."""
        for start in range(0, len(data), limits.SERVE_HEAD_BYTES):
            if self._refused or self.transport.is_closing():
                break  # what still comes is not read
            super().data_received(data[start : start + limits.SERVE_HEAD_BYTES])
        if self._last:
            self._announce_end()
        self._turn()
        self._gate.received(self._guest, len(data))

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whether to keep the connection for an answer: a client may close its own side."""
        answering = self._phase() in (None, Phase.ANSWER)
        self._announce_end()
        return answering

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = True
        self._turn()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread = False
        self._turn()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._turn()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls for every request that cannot be parsed."""
        self._gate.counted(self.conn.refusal.code)
        self._refuse(self.conn.refusal)
        try:
            self.transport.write_eof()  # and wait a moment, so that the answer arrives
        except OSError:  # the client has closed both sides
            self.transport.abort()

    def shutdown(self) -> None:
        """Close, but for a request that is on its way, which is answered first."""
        self._gate.stop()
        if self._refused or self.transport.is_closing():
            self.transport.close()
        elif self._phase() is Phase.HEAD:
            self._last = True
            self.loop.call_later(_LAST_CALL, self._close_if_silent)
        else:
            self._announce_end()
            super().shutdown()

    def _announce_end(self) -> None:
        """Have the answer under way say that none comes after it."""
        cycle = self.cycle
        if cycle is not None and cycle.keep_alive and not cycle.response_started:
            cycle.keep_alive = False
            cycle.default_headers = [*cycle.default_headers, _CLOSE]

    def _close_if_silent(self) -> None:
        silent = self._phase() is Phase.HEAD and not self.conn.trailing_data[0]
        if silent and not self.transport.is_closing():
            super().shutdown()

    def _turn(self) -> None:
        self._gate.turn(self._guest, self._phase())

    def _phase(self) -> Phase | None:
        if self._refused:
            return Phase.REFUSED
        if self._unread:
            return Phase.ANSWER
        return {h11.IDLE: Phase.HEAD, h11.SEND_BODY: Phase.BODY}.get(
            self.conn.their_state
        )

    def _dismissed(self, why: str) -> None:
        begun = self._guest.phase is Phase.BODY or self.conn.trailing_data[0]
        if begun and not self._refused:
            self._refuse(_LATE[why])
        if self._unread:
            self.transport.abort()
        else:
            self.transport.close()

    def _refuse(self, refusal: Refusal) -> None:
        """Answer in the application's place, if it has not begun to, and read no more."""
        self._refused = True
        self._unset_keepalive_if_required()
        if self.conn.our_state in _REFUSABLE:
            asked = self.scope and self.conn.our_state is h11.SEND_RESPONSE
            head = bool(asked and self.scope["method"] == "HEAD")
            self.transport.write(_answer(refusal, body=not head))
            self.conn.send_failed()  # there is nothing more to say
        if self.cycle is not None:  # what the application still says goes nowhere
            self.cycle.disconnected = True
            self.cycle.message_event.set()


def _answer(refusal: Refusal, *, body: bool) -> bytes:
    told = {"error": refusal.error, "code": refusal.code, "hint": refusal.hint}
    text = json.dumps(told)
    head = (
        f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n"
    )
    return (head + text * body).encode()


def _network(address: str) -> str:
    """The address, or the network of an IPv6 one: whoever has one has 2^64 of them."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 4 or found.ipv4_mapped:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False))
