"""The smallest exact form of a trained network for inference: passes over graph and weights."""

from resgraph.deploy.agreement import Agreement, agreement
from resgraph.deploy.network import Network
from resgraph.deploy.report import folded, report
from resgraph.deploy.targets import TARGETS, prepare

__all__ = [
    "TARGETS",
    "Agreement",
    "Network",
    "agreement",
    "folded",
    "prepare",
    "report",
]
