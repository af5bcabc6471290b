"""Recipes of zoos, by name."""

from gnndiff.names import by_name
from gnndiff.zoo.recipes.base import Recipe, Training
from gnndiff.zoo.recipes.branches import Branches
from gnndiff.zoo.recipes.independent import Independent
from gnndiff.zoo.recipes.paper import Paper

__all__ = ["RECIPES", "Recipe", "Training", "find"]

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (Independent(), Branches(), Paper())}


def find(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ConfigError: There is none.
    """
    return by_name("zoo", name, RECIPES)
