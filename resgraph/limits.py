"""How much of anything is taken: every limit of resgraph, each once.

What goes beyond one is refused before the work is begun, with the number that it would need.
"""

from __future__ import annotations
