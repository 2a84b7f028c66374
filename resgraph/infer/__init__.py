"""Classify pictures with an exported network; needs onnxruntime, not torch."""

from resgraph.infer.classifier import Classifier, Prediction
from resgraph.infer.evaluation import Evaluation, evaluation
from resgraph.infer.images import (
    Pictures,
    Problem,
    find_pictures,
    read_files,
    read_images,
)

__all__ = [
    "Classifier",
    "Evaluation",
    "Pictures",
    "Prediction",
    "Problem",
    "evaluation",
    "find_pictures",
    "read_files",
    "read_images",
]
