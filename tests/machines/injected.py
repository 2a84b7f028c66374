"""Correct networks on kernels that round worse than this machine's: none may be refused."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from resgraph.verify.rounding import DOUBLE, SINGLE
from tests.machines.kernels import Kernels
from tests.machines.networks import (
    Compared,
    Named,
    compared,
    computed_under,
    deviations,
)
from tests.machines.settings import Row, as_row

AMOUNTS = (1, 2, 4)
"""In units of the roundoff: 2^-53, 2^-52, 2^-51 in float64, 2^-24 to 2^-22 in float32."""


def rows(network: Named, seeds: int) -> Iterator[Row]:
    """What the checks say of so many runs; every second one's noise is normal."""
    with compared(network, batch=2, steps=1, sizes=(2,)) as one:
        for check, found, units in _runs(one, seeds):
            yield {"units": units, **as_row(network.label, check, found)}


def _runs(one: Compared, seeds: int) -> Iterator[tuple[str, object, int]]:
    reference = one.comparison().reference
    verification = one.verification
    (images,) = verification.batches
    module, double = one.module().eval(), one.module().double()
    for seed in range(seeds):
        units = AMOUNTS[seed % len(AMOUNTS)]
        normal = bool(seed // len(AMOUNTS) % 2)
        noise = partial(Kernels, units * DOUBLE, seed, normal)
        for quantity, found in deviations(
            reference, computed_under(noise, double, reference)
        ):
            yield quantity, found, units
        with torch.no_grad(), Kernels(units * SINGLE, seed, normal):
            logits = module(images)
        (output,) = verification.inference.names
        found = verification.inference.deviation({output: logits}, images, SINGLE)
        yield "float32", found, units
