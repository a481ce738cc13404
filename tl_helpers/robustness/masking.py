"""Is a model robust, or does it only hide the way from attacks that follow it?"""

from typing import NamedTuple

import numpy as np

from tl_helpers.explanation.gradients import gradient_of, in_batches
from tl_helpers.inputs import check_whole
from tl_helpers.robustness.attacks import check_attack, pgd
from tl_helpers.robustness.budget import LARGEST, limits
from tl_helpers.training import predict_logits

ENOUGH = 0.95  # of the images that an attack without limit must turn
SLACK = 0.02  # of the images: what a lucky draw may find before it means something


class GradientCheck(NamedTuple):
    """Share of the images that a model answers wrongly, in [0, 1].

    Attributes:
        clean: without an attack.
        drawn: at the worst of as many random corners of the budget as PGD takes steps.
        attacked: after PGD within the budget.
        unlimited: after PGD within a budget of 255, any image at all.
        blind: share of the images at which the loss has no gradient whatever.
    """

    clean: float
    drawn: float
    attacked: float
    unlimited: float
    blind: float

    @property
    def faults(self):
        """Sentences that say why the attack cannot be trusted; empty when it can."""
        found = []
        if self.drawn > self.attacked + SLACK:
            found.append(
                f"Random images turn {self.drawn:.0%} of the answers, PGD only "
                f"{self.attacked:.0%}: its gradients lead nowhere."
            )
        if self.unlimited < ENOUGH:
            found.append(
                f"Without a limit PGD turns only {self.unlimited:.0%} of the answers: "
                "it does not find the images that are surely there."
            )
        if self.blind > SLACK:
            found.append(
                f"At {self.blind:.0%} of the images the loss has no gradient: look "
                "for rounding, or for probabilities in the place of logits."
            )
        return found


def check_gradients(model, images, labels, budget, steps=10, seed=0):
    """Look for the signs that gradients are masked.

    A model whose gradients vanish or mislead looks robust against PGD and is not.

    Args:
        model: as for `fgsm`, like the three that follow.
        images: ImageSet, or uint8 or float (n, height, width, 3), RGB, [0, 255].
        labels: int (n,), the true ones.
        budget: in grey levels of [0, 255].
        steps: int >= 1, of PGD, and number of random corners.
        seed: int, decides the corners.

    Returns:
        GradientCheck; `faults` says in words what is suspicious.

    Raises:
        ValueError: as for `pgd`.

    Source: Athalye et al. 2018 (arXiv:1802.00420), section 3.1.
    """
    images, labels, value = check_attack(model, images, labels, budget, None)
    check_whole(1, steps=steps)
    check_whole(seed=seed)
    gradient = gradient_of(model, value, images, labels)
    slopes = in_batches(lambda *rows: gradient(*rows)[1], images, labels)

    def wrong(images):
        return predict_logits(model, images).argmax(axis=1) != labels

    rng, (low, high) = np.random.default_rng(seed), limits(images, budget)
    clean = wrong(images)
    drawn = clean.copy()
    for _ in range(steps):
        drawn |= wrong(np.where(rng.random(images.shape) < 0.5, low, high))
    attacked, unlimited = (
        wrong(pgd(model, images, labels, size, steps)) for size in (budget, LARGEST)
    )
    blind = ~slopes.any(axis=(1, 2, 3))
    shares = clean, drawn, attacked, unlimited, blind
    return GradientCheck(*(float(x.mean()) for x in shares))
