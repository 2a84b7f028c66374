"""Tell OpenMP, before torch loads it, that waiting threads are to sleep.

By default they spin, and where the cores have other work too they keep it, and each other,
from going on: ResNet-20 then trains more than ten times slower than it need. Where
`OMP_WAIT_POLICY` is set, or torch is loaded already, nothing changes.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
