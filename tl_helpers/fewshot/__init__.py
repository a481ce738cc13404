"""Learn classes from a few images each: episodes, classifiers, prototypical training.

Classifiers take frozen features of many episodes at once. Letters in shapes: E episodes
of N ways (classes), each with K shots (labelled, the support) and Q queries.
"""

from tl_helpers.fewshot.classifiers import (
    CLASSIFIERS,
    fine_tuned_head,
    logistic,
    nearest_neighbour,
    prototypes,
    ridge,
    transductive_prototypes,
)
from tl_helpers.fewshot.prototypical import PrototypicalNetwork, episode_batches
from tl_helpers.fewshot.sampling import Episodes, episodes, split_classes
from tl_helpers.fewshot.scoring import (
    EpisodeAccuracy,
    centre_and_normalise,
    evaluate_episodes,
)

__all__ = [
    "CLASSIFIERS",
    "EpisodeAccuracy",
    "Episodes",
    "PrototypicalNetwork",
    "centre_and_normalise",
    "episode_batches",
    "episodes",
    "evaluate_episodes",
    "fine_tuned_head",
    "logistic",
    "nearest_neighbour",
    "prototypes",
    "ridge",
    "split_classes",
    "transductive_prototypes",
]
