"""Stand-in until the branch arrives."""
from __future__ import annotations
from typing import Any
Value = Any
from resgraph.expr import written as _w
def written(value: Any) -> str:
    return _w(value) if not isinstance(value,(bool,str,tuple)) and not hasattr(value,'kind') else str(value)

def show(value: Any) -> str:
    from resgraph.expr import show as _s
    return _s(value) if not isinstance(value,(bool,str,tuple)) and not hasattr(value,'kind') else str(value)
