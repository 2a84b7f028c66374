"""Verify that a generated network is the one that was meant, and carry weights across."""

from resgraph.train import load_generated
from resgraph.verify.carry import Carried, carry
from resgraph.verify.foreign import build, is_callable_path, read_weights
from resgraph.verify.report import Check, Verdict
from resgraph.verify.verify import Options, Subject, verify
from resgraph.verify.witness import Here, Module, Present, Witness

__all__ = [
    "Carried",
    "Check",
    "Here",
    "Module",
    "Options",
    "Present",
    "Subject",
    "Verdict",
    "Witness",
    "build",
    "carry",
    "is_callable_path",
    "load_generated",
    "read_weights",
    "verify",
]
