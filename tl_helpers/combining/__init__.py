"""Several models made into one: by their answers, by their weights, by teaching."""

from tl_helpers.combining.distilling import distiller
from tl_helpers.combining.ensembles import ensemble
from tl_helpers.combining.lines import interpolate, walk
from tl_helpers.combining.soups import GreedySoup, greedy_soup, soup

__all__ = [
    "GreedySoup",
    "distiller",
    "ensemble",
    "greedy_soup",
    "interpolate",
    "soup",
    "walk",
]
