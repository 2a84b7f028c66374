"""Train a generated network: load the file, load data, train, find the run again."""

from resgraph.recipe import Recipe
from resgraph.train import _openmp  # noqa: F401 (takes effect before torch is loaded)
from resgraph.train.about import Record
from resgraph.train.folder import RunFolder, open_run
from resgraph.train.module import Generated, load_generated
from resgraph.train.options import TrainOptions
from resgraph.train.records import Event, Result
from resgraph.train.start import train

__all__ = [
    "Event",
    "Generated",
    "Recipe",
    "Record",
    "Result",
    "RunFolder",
    "TrainOptions",
    "load_generated",
    "open_run",
    "train",
]
