"""A model served until a signal comes."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

import numpy as np
import uvicorn

from resgraph.diagnostics import ResgraphError
from resgraph.infer import Classifier
from resgraph.serve.app import create_app
from resgraph.serve.protocol import Connection
from resgraph.serve.service import Service, Settings

try:
    import resource
except ImportError:  # on Windows, where a process has as many as it wants
    resource = None  # type: ignore[assignment]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_BACKLOG = 2048  # connections that wait to be taken
_OTHERS = 256  # descriptors for all that is no connection
_STDERR = 2
_GRACE = 30  # seconds for requests under way when the server stops


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 is any that is free.

    Raises `ResgraphError` if it cannot be had, most often since another server has it.
    """
    try:
        return _listening(host, port)
    except (OSError, OverflowError) as error:
        code = getattr(error, "errno", None)
        if code == errno.EADDRINUSE:
            raise ResgraphError(
                f"port {port} of {host} is in use",
                "stop the server that has it, or choose another: --port 8001, or 0 for any",
            ) from None
        why = os.strerror(code) if code and code > 0 else error
        raise ResgraphError(
            f"cannot listen on {host}:{port}: {why}",
            "--host is a name or address of this machine",
        ) from None


def _listening(host: str, port: int) -> socket.socket:
    # By its protocol asyncio knows that a socket is TCP's, and then sends small answers at
    # once; `socket.create_server` leaves it out, and each answer would take 40 ms more.
    kind = (socket.SOCK_STREAM, socket.IPPROTO_TCP)
    family, *_, address = socket.getaddrinfo(host, port, 0, *kind)[0]
    made = socket.socket(family, *kind)
    try:
        if os.name == "posix":  # elsewhere this would let two servers share the port
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(_BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def serve(
    classifier: Classifier,
    listening: socket.socket,
    settings: Settings,
    started: Callable[[str], object],
) -> None:
    """Answer requests until SIGINT or SIGTERM, then finish those under way.

    `started` is told the address. A first batch is computed before that, so that a model
    that does not work is a `ResgraphError` here and not a server that fails.
    """
    shape = (settings.max_batch, *classifier.input_shape)
    classifier.predict(np.zeros(shape, np.uint8))
    at_a_time = make_room(settings.max_connections)
    service = Service(classifier, settings)
    with _quiet_signals(), _own_words_alone(), listening:
        _serve(service, listening, at_a_time, started)


def _serve(
    service: Service,
    listening: socket.socket,
    at_a_time: int,
    started: Callable[[str], object],
) -> None:
    host, port = listening.getsockname()[:2]
    config = uvicorn.Config(
        create_app(service),
        http=partial(Connection, service.gate),  # type: ignore[arg-type]
        ws="none",
        log_level="error",  # what clients do wrong is told to them, and would fill the log
        access_log=False,
        backlog=at_a_time,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
    )
    started(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    _Server(config).run(sockets=[listening])


class _Server(uvicorn.Server):
    """uvicorn's, which takes a few connections at a time however many are queued, and on a
    stop serves those who are queued as well."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listening in sockets or []:
            listening.listen(_BACKLOG)  # asyncio has one number for both

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        taken = [client for listening in sockets or [] for client in _queued(listening)]
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        for client in taken:
            await loop.connect_accepted_socket(self._protocol, client)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(
            config=self.config,  # type: ignore[call-arg]
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        return made


def _queued(listening: socket.socket) -> Iterator[socket.socket]:
    """The connections that the system has made and nobody has taken."""
    with suppress(OSError):  # there are no more
        while True:
            client, _ = listening.accept()
            client.setblocking(False)
            yield client


def make_room(connections: int) -> int:
    """Have descriptors for so many connections that wait; how many more to take at a time.

    Those are few, so that who must go is not among them: all that have been taken are read
    once before the next are. Raises `ResgraphError` if the system allows fewer descriptors.
    """
    at_a_time = max(1, connections // 8)
    # Those that must go are closed one turn of the loop after others have been taken.
    needed = connections + 2 * at_a_time + _OTHERS
    if (allowed := _files(needed)) < needed:
        raise ResgraphError(
            f"this process may have {allowed:,} files open, and {connections:,} connections "
            f"need {needed:,}",
            f"fewer --max-connections, or allow more: ulimit -n {needed}",
        )
    return at_a_time


def _files(wanted: int) -> int:
    """How many files may be open: as many as wanted, if that can be had."""
    if resource is None:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < wanted:  # it is -1 where there is no limit
        raised = min(hard, wanted) if hard >= 0 else wanted
        with suppress(ValueError, OSError):  # above a limit of the kernel's own
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(soft, wanted) if soft >= 0 else wanted


@contextmanager
def _quiet_signals() -> Iterator[None]:
    """Let an orderly stop be one: uvicorn raises the signal again when it is done."""
    before = {s: signal.signal(s, lambda *_: None) for s in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _own_words_alone() -> Iterator[None]:
    """Drop what C libraries print on stderr: libtiff complains there of damaged pictures.

    Python's own stderr stays; so clients cannot fill the log.
    """
    before, kept = sys.stderr, os.dup(_STDERR)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with os.fdopen(kept, "w", buffering=1, errors="backslashreplace") as own:
        os.dup2(nowhere, _STDERR)
        os.close(nowhere)
        sys.stderr = own
        try:
            yield
        finally:
            sys.stderr = before
            os.dup2(kept, _STDERR)
