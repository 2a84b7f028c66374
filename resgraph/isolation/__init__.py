"""Foreign code in a process of its own, which answers questions about it.

Code that resgraph did not write is never imported by the process that judges it. A child
loads it; whatever the code does there (an exit, a signal, an endless loop, a patched
library), the parent has whole answers, or an error that says what happened and where.
"""

from resgraph.isolation.child import Child, command, ended_with
from resgraph.isolation.messages import Message
from resgraph.isolation.serving import At, die_with_parent, serve

__all__ = [
    "At",
    "Child",
    "Message",
    "command",
    "die_with_parent",
    "ended_with",
    "serve",
]
