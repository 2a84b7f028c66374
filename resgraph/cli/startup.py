"""Fewer rounds of Python's cyclic garbage collector, from before the large imports on.

Importing makes many objects and no garbage: a tenth of `resgraph compile` went into
looking for some.
"""

import gc

gc.set_threshold(200_000, 20, 20)
