"""YAML with positions -> pydantic models -> a resolved `Spec`, every finding at once."""

from resgraph.spec.files import Sources
from resgraph.spec.load import Loaded, load
from resgraph.spec.model import Spec

__all__ = ["Loaded", "Sources", "Spec", "load"]
