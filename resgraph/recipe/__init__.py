"""How a network is trained: optimiser, schedule, and all else that a recipe says."""

from resgraph.recipe.model import HE2016, Recipe
from resgraph.recipe.parts import AdamW, Optimizer, Sgd, Steps

__all__ = ["HE2016", "AdamW", "Optimizer", "Recipe", "Sgd", "Steps"]
