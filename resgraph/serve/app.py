"""The routes, and the page."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import re
import warnings
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from resgraph import __version__
from resgraph.diagnostics import plain
from resgraph.serve.service import Answer, Service

_LONGEST = 500  # characters of a string in an answer
_TALKATIVE = ("PIL", "python_multipart")
_ELSEWHERE = {404: "no_such_page", 405: "no_such_method"}
_BESIDE: Mapping[int, Mapping[str, str]] = {
    413: {"Connection": "close"},  # what is left of the body is not read
    503: {"Retry-After": "1"},
}


def create_app(service: Service) -> FastAPI:
    """The application; it ends the service's threads when it stops."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with warnings.catch_warnings():
            # Remarks on damaged pictures and forms would let anybody fill the log.
            warnings.filterwarnings("ignore", module=r"PIL\.")
            for name in _TALKATIVE:
                logging.getLogger(name).setLevel(logging.CRITICAL)
            watching = asyncio.create_task(service.gate.watch())
            yield
            watching.cancel()
        service.close()

    # Its pages of documentation would load scripts from elsewhere.
    app = FastAPI(
        title="resgraph",
        version=__version__,
        openapi_url=None,
        lifespan=lifespan,
        redirect_slashes=False,  # the redirection would name the host that the client does
    )
    page = files("resgraph.serve").joinpath("page.html").read_text(encoding="utf-8")
    headers = {"Content-Security-Policy": _policy(page)}

    @app.get("/")
    async def show_page() -> Response:
        return HTMLResponse(page, headers=headers)

    @app.post("/classify")
    async def classify(request: Request) -> Response:
        return _json(await service.classify(request))

    @app.get("/health")
    async def health() -> Response:
        return _json(service.health())

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    @app.exception_handler(HTTPException)
    async def elsewhere(request: Request, error: HTTPException) -> Response:
        answer = Answer(
            error.status_code,
            {
                "error": f"{request.method} {request.scope['path']}: {error.detail}",
                "code": _ELSEWHERE.get(error.status_code, "bad_request"),
                "hint": "POST /classify, GET /health, GET /metrics, and a page at /",
            },
        )
        return _json(answer, error.headers)

    return app


def _json(answer: Answer, more: Mapping[str, str] | None = None) -> Response:
    headers = {"X-Content-Type-Options": "nosniff", **_BESIDE.get(answer.status, {})}
    content = _plain(answer.content)
    return JSONResponse(content, answer.status, {**headers, **(more or {})})


def _plain(content: Any) -> Any:
    """The same with every string in it fit to be shown, whoever wrote it."""
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [*map(_plain, content)]
    return plain(content, _LONGEST) if isinstance(content, str) else content


def _policy(page: str) -> str:
    """Only the page's own script and style, and requests to its own server."""
    hashes = {
        tag: " ".join(
            f"'sha256-{_digest(block)}'"
            for block in re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        )
        for tag in ("script", "style")
    }
    return (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; "
        "img-src blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


def _digest(block: str) -> str:
    return base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
