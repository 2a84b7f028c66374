"""Clients that only keep a server waiting, beside those that `load_serve` measures.

The idle ones say nothing, or three bytes; the slow ones send the head of a request and then a
byte of its body now and then. Whoever is closed comes again a second later.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

_AGAIN = 1.0  # seconds
_BYTE = 0.25  # seconds from one byte of a slow client to its next
_HEAD = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
_IDLE = (b"", b"GET")


class Place(Protocol):
    """Where a server listens."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


@dataclass
class Crowd:
    """What they have done so far."""

    connections: int = 0
    sent: int = 0
    """Bytes."""
    closed: int = 0
    """Connections that the server ended."""


@contextmanager
def hostile(
    server: Place, *, idle: int, slow: int, addresses: int = 1
) -> Iterator[Crowd]:
    """So many of them, from 127.0.0.2 and the addresses after it, until the block ends.

    The block begins when each has been connected once.
    """
    crowd, here, loop = Crowd(), threading.Event(), asyncio.new_event_loop()
    clients = [
        _client(server, crowd, f"127.0.0.{2 + number % addresses}", number - idle)
        for number in range(idle + slow)
    ]

    async def everyone() -> None:
        tasks = [asyncio.create_task(client) for client in clients]
        while crowd.connections < len(tasks):
            await asyncio.sleep(0.01)
        here.set()
        await stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=[everyone()])
    thread.start()
    here.wait(60)
    try:
        yield crowd
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


async def _client(server: Place, crowd: Crowd, address: str, number: int) -> None:
    """One of them, for ever; those with a negative number are idle."""
    while True:
        with suppress(OSError):
            await _visit(server, crowd, address, number)
        crowd.closed += 1
        await asyncio.sleep(_AGAIN)


async def _visit(server: Place, crowd: Crowd, address: str, number: int) -> None:
    reader, writer = await asyncio.open_connection(
        server.host, server.port, local_addr=(address, 0)
    )
    crowd.connections += 1
    first = _HEAD if number >= 0 else _IDLE[number % len(_IDLE)]
    writer.write(first)
    crowd.sent += len(first)
    reading = asyncio.create_task(reader.read())
    try:
        while number >= 0 and not reading.done():
            writer.write(b"x")
            crowd.sent += 1
            await asyncio.wait([reading], timeout=_BYTE)
        await reading
    finally:
        reading.cancel()
        writer.close()
