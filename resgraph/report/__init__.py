"""A spec or a run as one HTML file that explains itself, and needs nothing else."""

from resgraph.report.content import of_graphs, of_run, of_spec
from resgraph.report.page import Report

__all__ = ["Report", "of_graphs", "of_run", "of_spec"]
