"""An exported model behind HTTP. The one home of fastapi, uvicorn and prometheus_client."""

from __future__ import annotations

from importlib.util import find_spec

from resgraph.diagnostics import ResgraphError

_EXTRA = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")


def require_extra() -> None:
    """Raise `ResgraphError` unless the packages of the extra `serve` are installed."""
    absent = [name for name in _EXTRA if find_spec(name) is None]
    if absent:
        raise ResgraphError(
            f"the server needs {', '.join(absent)}, which this installation lacks",
            "pip install 'resgraph[serve]'",
        )
