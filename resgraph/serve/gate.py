"""Who keeps the server waiting, for how long, and who must go when there are too many.

A client that only sends slowly must cost nothing but its own time. New connections are never
refused for the sake of old ones, since all clients may come from one address, a proxy's:
when there are too many, the one that is furthest behind goes. A client that sends its
request as fast as its line allows is never that one.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter

_TICK = 0.25  # seconds between two looks at who is late
_LINGER = 2.0  # seconds in which a refused client may read why
_IN_USE = 1.0  # seconds from an answer in which the next request is no matter
_STOP = 20.0  # seconds that are left for what is half sent when the server stops


class Phase(Enum):
    """What a connection keeps the server waiting for."""

    HEAD = "head"
    """A request, the first or the next; or the rest of its head."""
    BODY = "body"
    """The rest of a request's body."""
    ANSWER = "answer"
    """That the client reads what was sent."""
    REFUSED = "refused"
    """That the client closes, having read why it was refused."""


@dataclass(frozen=True)
class Patience:
    """How long the server waits, and for how many."""

    head_seconds: float
    body_seconds: float
    rate: float
    """Bytes per second of a body."""
    connections: int
    per_address: int
    bytes: int
    """Of all bodies that are not complete."""


@dataclass(eq=False)
class Guest:
    """A connection, as far as it keeps the server waiting."""

    end: Callable[[str], object]
    """Ends it; is told why: `timeout` or `crowded`."""
    address: str = ""
    phase: Phase | None = None
    """None: the server is at work for it."""
    since: float = 0.0
    """When the phase began."""
    due: float = 0.0
    """When its bytes were due at the least rate: the longer ago, the further it is behind.
    Never later than now, so nobody saves up time by sending fast at first; but for a second
    after an answer, so that a crowd of newcomers does not close a connection in use."""
    served: bool = False
    """Whether it has sent a whole request."""
    held: int = 0
    """Bytes of its body."""


_due = attrgetter("due")


class Gate:
    """All connections that keep the server waiting. Times are `clock`'s."""

    def __init__(
        self,
        patience: Patience,
        counted: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`counted` is told why, for each connection that is ended."""
        self.patience = patience
        self.counted, self._clock = counted, clock
        self._guests: dict[str, set[Guest]] = {}
        self._count, self._held = 0, 0
        self._last = math.inf

    @property
    def waiting(self) -> int:
        """How many there are."""
        return self._count

    def turn(self, guest: Guest, phase: Phase | None) -> None:
        """Note what the guest keeps the server waiting for from now on."""
        if phase is guest.phase:
            return
        self._remove(guest)
        guest.phase = phase
        if phase is None:
            guest.served = True
        else:
            guest.since = self._clock()
            guest.due = guest.since + _IN_USE * guest.served
            self._guests.setdefault(guest.address, set()).add(guest)
            self._count += 1
            self._make_room(guest.address)

    def received(self, guest: Guest, count: int) -> None:
        """Note that so many bytes came."""
        now = self._clock()
        guest.due = max(guest.due, min(guest.due + count / self.patience.rate, now))
        if guest.phase is Phase.BODY:
            guest.held += count
            self._held += count
            while self._held > self.patience.bytes:
                self._end(min(filter(_holds, self._all()), key=_due), "crowded")

    def stop(self) -> None:
        """Give what is half sent a little longer, and no more."""
        self._last = min(self._last, self._clock() + _STOP)

    async def watch(self) -> None:
        """End who is late, for ever."""
        while True:
            await asyncio.sleep(_TICK)
            self.sweep()

    def sweep(self) -> None:
        """End who is late."""
        now = self._clock()
        for guest in [g for g in self._all() if self._deadline(g) <= now]:
            self._end(guest, "timeout")

    def _deadline(self, guest: Guest) -> float:
        wanted = self.patience
        seconds: Mapping[Phase | None, float] = {
            Phase.HEAD: wanted.head_seconds,
            Phase.BODY: wanted.body_seconds,
            Phase.ANSWER: wanted.body_seconds,
            Phase.REFUSED: _LINGER,
        }
        ends = guest.since + seconds[guest.phase]
        stalls = guest.due + wanted.head_seconds
        return min(ends, self._last, stalls if guest.phase is Phase.BODY else ends)

    def _make_room(self, address: str) -> None:
        here = self._guests[address]
        if len(here) > self.patience.per_address:
            self._end(min(here, key=_due), "crowded")
        if self._count > self.patience.connections:
            self._end(min(self._all(), key=_due), "crowded")

    def _end(self, guest: Guest, why: str) -> None:
        if guest.phase is not Phase.REFUSED:  # which was counted as what it was
            self.counted(why)
        guest.end(why)
        self._remove(guest)
        guest.phase = None

    def _remove(self, guest: Guest) -> None:
        if guest.phase is None:
            return
        here = self._guests[guest.address]
        here.remove(guest)
        if not here:
            del self._guests[guest.address]
        self._count -= 1
        self._held -= guest.held
        guest.held = 0

    def _all(self) -> Iterable[Guest]:
        return (guest for here in self._guests.values() for guest in here)


def _holds(guest: Guest) -> bool:
    return guest.held > 0
