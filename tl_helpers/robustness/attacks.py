"""Attacks within a budget: a worse image near each one, by FGSM and PGD."""

import functools

import numpy as np
from keras import ops

from tl_helpers.explanation.gradients import gradient_of, in_batches
from tl_helpers.inputs import (
    check_callable,
    check_labels,
    check_numbers,
    check_pixels,
    check_positive,
    check_whole,
)
from tl_helpers.robustness.budget import check_budget, limits
from tl_helpers.robustness.losses import log_odds_and_margin, squared_distance
from tl_helpers.training import check_fits, predict_logits

REACH = 2.5  # budgets that the steps of PGD add up to, as its paper takes them


def fgsm(model, images, labels, budget, loss=None):
    """Take one step of the whole budget in the direction that raises the loss.

    attacked = image + budget x sign(d loss / d image), within [0, 255]

    The loss is cross-entropy, climbed by its `log_odds`.

    Args:
        model: keras.Model from images to logits, or to whatever `loss` takes. It
            answers as in `predict`, and none of its weights moves.
        images: ImageSet, or uint8 or float (n, height, width, 3), RGB, [0, 255].
        labels: int (n,), the true ones; or what else `loss` takes, rows (n, ...).
        budget: how far a value may move, in grey levels of [0, 255].
        loss: callable (labels, answers) -> (n,) in `keras.ops`, which the attack
            raises; None for `log_odds`. Define it once: a new function is compiled
            anew.

    Returns:
        float32 (n, height, width, 3), RGB, [0, 255], no further from the images than
        the budget, to the last bit. Whole images and a whole budget give whole values,
        which survive being saved.

    Raises:
        ValueError: a budget below 0 or above 255, images or labels that do not fit
            the model, or a loss that is not one number an image.

    Source: Goodfellow et al. 2015 (arXiv:1412.6572).
    """
    images, labels, value = check_attack(model, images, labels, budget, loss)
    gradient = gradient_of(model, value, images, labels)

    def step(images, labels, low, high):
        slopes = gradient(images, labels)[1]
        return np.clip(images + np.float32(budget) * np.sign(slopes), low, high)

    return in_batches(step, images, labels, *limits(images, budget))


def pgd(
    model,
    images,
    labels,
    budget,
    steps=10,
    step_size=None,
    restarts=1,
    seed=0,
    loss=None,
):
    """Take many small steps, each back into the budget, and keep the worst image.

    The first start is the image itself, whose first step is that of `fgsm`: PGD is
    never weaker. Further starts are drawn from all images within the budget. Of all
    points on the way the one is kept that `margin` calls worst (wrong before right),
    or the one of the highest `loss`, where there is one.

    An attacker who knows of a detector attacks both: a model with two outputs, and

        def loss(labels, answers):
            return log_odds(labels, answers["logits"]) - 0.1 * score(answers["values"])

    One who wants a certain answer gives its labels and a loss that falls with it.

    Args:
        model: as for `fgsm`, like the four that follow and `loss`.
        images: ImageSet, or uint8 or float (n, height, width, 3), RGB, [0, 255].
        labels: int (n,), the true ones; or what else `loss` takes, rows (n, ...).
        budget: how far a value may move, in grey levels of [0, 255].
        steps: int >= 1, gradients a start.
        step_size: grey levels, > 0; None for 2.5 budgets over the steps.
        restarts: int >= 1, number of starts.
        seed: int, decides where all but the first begin.
        loss: callable (labels, answers) -> (n,), or None for `log_odds`.

    Returns:
        float32 (n, height, width, 3), RGB, [0, 255], within the budget to the last
        bit. `np.rint` of it keeps a whole budget, where the images are whole.

    Raises:
        ValueError: as for `fgsm`, or numbers of steps that are none.

    Source: Madry et al. 2018 (arXiv:1706.06083).
    """
    images, labels, value = check_attack(model, images, labels, budget, loss)
    check_whole(1, steps=steps, restarts=restarts)
    check_whole(seed=seed)
    step_size = _step_size(step_size, budget, steps)
    low, high = limits(images, budget)
    climb = functools.partial(_climb, model, value)
    sizes = [step_size] * steps
    best, highest = climb(images, labels, low, high, [budget, *sizes[1:]])
    rng = np.random.default_rng(seed)
    for _ in range(1, restarts):
        start = _draw(rng, low, high)
        found, values = climb(start, labels, low, high, sizes)
        best, highest = _worst(best, highest, found, values)
    return best


def feature_attack(network, images, budget, steps=10, step_size=None, seed=0):
    """Move images as far as possible in a network's features, without any label.

    Whoever can download a backbone can do this, and try the images on a model that
    was fine-tuned from it and that nobody but its owner has seen.

    Args:
        network: keras.Model from images to features or maps, as of
            `backbone.extractor(block, pool=False)`.
        images: ImageSet, or uint8 or float (n, height, width, 3), RGB, [0, 255].
        budget: how far a value may move, in grey levels of [0, 255].
        steps: int >= 1.
        step_size: grey levels, > 0; None for 2.5 budgets over the steps.
        seed: int, decides where the steps begin: at the image itself the distance
            has no gradient.

    Returns:
        float32 (n, height, width, 3), RGB, [0, 255], within the budget to the last
        bit.

    Raises:
        ValueError: as for `pgd`.

    Source: Naseer et al. 2018 (arXiv:1811.09020), with a budget.
    """
    check_budget(budget=budget)
    images = check_pixels(images)
    check_fits(network, images.shape)
    check_whole(1, steps=steps)
    check_whole(seed=seed)
    step_size = _step_size(step_size, budget, steps)
    low, high = limits(images, budget)
    start = _draw(np.random.default_rng(seed), low, high)
    old = predict_logits(network, images)
    sizes = [step_size] * steps
    return _climb(network, squared_distance, start, old, low, high, sizes)[0]


def _climb(model, value, start, labels, low, high, sizes):
    """Take steps of these sizes; return the worst of all points, and its values."""
    gradient = gradient_of(model, value, start, labels)

    def climb(at, labels, low, high):
        best, highest = at, np.full(len(at), -np.inf, np.float32)
        for size in sizes:
            values, slopes = gradient(at, labels)
            best, highest = _worst(best, highest, at, _kept(values))
            at = np.clip(at + np.float32(size) * np.sign(slopes), low, high)
        values = value(labels, model.predict_on_batch(at))
        return _worst(best, highest, at, ops.convert_to_numpy(_kept(values)))

    return in_batches(climb, start, labels, low, high)


def _kept(values):
    return values[-1] if isinstance(values, tuple) else values


def _worst(images, values, others, other_values):
    """Return of each two images the one with the higher value, and that value."""
    is_worse = other_values > values
    worst = np.where(is_worse[:, None, None, None], others, images)
    return worst, np.where(is_worse, other_values, values)


def _draw(rng, low, high):
    """Draw images evenly between two."""
    share = rng.random(low.shape, np.float32)
    return np.clip(low + share * (high - low), low, high)


def _step_size(step_size, budget, steps):
    if step_size is None:
        return REACH * budget / steps
    check_positive(step_size=step_size)
    return step_size


def check_attack(model, images, labels, budget, loss):
    """Refuse what cannot be attacked.

    Args:
        model: as for `fgsm`, like all that follow.
        images: ImageSet, or uint8 or float (n, height, width, 3), RGB, [0, 255].
        labels: int (n,), or rows (n, ...) for a loss.
        budget: in grey levels of [0, 255].
        loss: callable, or None.

    Returns:
        (images float32 (n, height, width, 3), labels (n, ...), the value to climb).

    Raises:
        ValueError: as for `fgsm`.
    """
    check_budget(budget=budget)
    images = check_pixels(images)
    check_fits(model, images.shape)
    if loss is None:
        num_classes = _num_classes(model, images)
        labels = check_labels("", images, labels, num_classes)
        return images, labels, log_odds_and_margin
    check_callable(loss=loss)
    labels = check_numbers("labels", labels, "(n, ...)")
    if len(labels) != len(images):
        raise ValueError(
            f"Got {len(labels)} labels for {len(images)} images, expected one for "
            "each; give both in the same order."
        )
    return images, labels, loss


def _num_classes(model, images):
    shape = getattr(model, "output_shape", None)
    if shape is None:  # a model that is no graph of layers
        shape = np.shape(predict_logits(model, images[:1]))
    if not isinstance(shape, tuple) or len(shape) != 2:
        raise ValueError(
            f"Got model {model.name!r} with outputs of shape {shape}, expected logits "
            "(n, classes); give a loss that takes what it answers."
        )
    return shape[1]
