"""Soups: the mean of the weights of models that were fine-tuned from one start."""

from typing import NamedTuple

import keras

from tl_helpers.combining.mixing import check_alike, copy_of, mix_into, scored
from tl_helpers.inputs import check_callable


class GreedySoup(NamedTuple):
    """A soup of the models that did it good.

    Attributes:
        model: keras.Model, the soup, not compiled.
        kept: tuple of int, the models in it, the best one first.
        score: float, of the soup on what chose it, so too good for a report.
    """

    model: keras.Model
    kept: tuple
    score: float


def soup(models):
    """Average the weights of models of one architecture.

    An answer costs as much as one model's. It works where the models lie in one
    valley of the loss, as those fine-tuned from one start may (`walk` shows whether
    they do). The moving means and variances of BatchNormalization are averaged like
    all weights, and are then not those of the averaged network: compare with
    `domains.adapt_batch_norm(soup(models), training_images)`.

    Args:
        models: list of keras.Model; they stay as they are.

    Returns:
        keras.Model of the first one's class, not compiled.

    Raises:
        ValueError: no models, or models of different architectures.

    Source: Wortsman et al. 2022 (arXiv:2203.05482).
    """
    check_alike(models)
    mixed = copy_of(models[0])
    mix_into(mixed, models, _equal_shares(models))
    return mixed


def greedy_soup(models, score):
    """Add models to a soup, best first, as long as its score does not fall.

    Args:
        models: list of keras.Model; they stay as they are.
        score: callable(keras.Model) -> number, the higher, the better, on validation
            images that are not reported on. It is called with each model and each
            soup, the soup one model that changes its weights: read it, do not keep it.

    Returns:
        GreedySoup; with the best model alone where no other one helped.

    Raises:
        ValueError: as for `soup`, or a score that is no finite number.

    Source: Wortsman et al. 2022 (arXiv:2203.05482), recipe 1.
    """
    check_alike(models)
    check_callable(score=score)
    scores = [scored(score, model) for model in models]
    first, *rest = sorted(range(len(models)), key=lambda i: -scores[i])
    mixed, kept, best = copy_of(models[first]), [first], scores[first]
    for candidate in rest:
        tried = [models[i] for i in (*kept, candidate)]
        mix_into(mixed, tried, _equal_shares(tried))
        found = scored(score, mixed)
        if found >= best:
            kept, best = [*kept, candidate], found
    chosen = [models[i] for i in kept]
    mix_into(mixed, chosen, _equal_shares(chosen))
    return GreedySoup(mixed, tuple(kept), best)


def _equal_shares(models):
    return [1 / len(models)] * len(models)
