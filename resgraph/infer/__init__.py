"""Classify pictures with an exported network; needs onnxruntime, not torch."""

from resgraph.infer.classifier import Classifier, Prediction
from resgraph.infer.images import Pictures, Problem, read_images

__all__ = ["Classifier", "Pictures", "Prediction", "Problem", "read_images"]
