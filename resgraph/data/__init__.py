"""Data sets: found, decoded once, checked; arrays of uint8, and nothing of torch."""

from resgraph.data.dataset import Dataset, load_data

__all__ = ["Dataset", "load_data"]
