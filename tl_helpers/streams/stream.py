"""Test images as they would arrive: in batches, and not always well mixed."""

from dataclasses import replace

import numpy as np

from tl_helpers.datasets.image_set import ImageSet
from tl_helpers.inputs import check_choice, check_kind, check_positive, check_whole
from tl_helpers.streams.corruptions import CORRUPTIONS, MAX_SEVERITY, corrupt


def stream(images, batch_size, order="shuffled", concentration=0.1, drift=None, seed=0):
    """Hand out a set's images once each, batch by batch, in the order of a day.

    - shuffled: as in a benchmark, every batch a fair sample.
    - runs: an animal stays before the camera for a while. The time is cut into as
      many stretches as there are classes; every class is spread over them by a
      Dirichlet distribution, and in each stretch the classes come one after another.
    - by_class: all of one class, then all of another, in random order.

    The order does not depend on the batch size.

    Args:
        images: ImageSet.
        batch_size: int >= 1; the last batch may be smaller, nothing is dropped.
        order: "shuffled", "runs" or "by_class".
        concentration: float > 0, of the Dirichlet distribution in "runs": the
            smaller, the fewer stretches a class is seen in. No other order looks at
            it.
        drift: None, or a kind of `corrupt`: the images grow worse from severity 0 to
            5 and better again to 0, in eleven stretches of equal length.
        seed: int >= 0; the same seed gives the same stream.

    Returns:
        iterator of ImageSet; with a drift their extras hold "severity", int (b,).

    Raises:
        ValueError: no ImageSet, no image, or arguments out of range.

    Source: Gong et al. 2022 (arXiv:2208.05117) for runs.
    """
    check_kind(ImageSet, images=images)
    check_whole(1, images=len(images), batch_size=batch_size)
    check_choice(ORDERS, order=order)
    check_positive(concentration=concentration)
    if drift is not None:
        check_choice(CORRUPTIONS, drift=drift)
    check_whole(seed=seed)
    rng = np.random.default_rng(seed)
    rows = ORDERS[order](images.labels, rng, concentration)
    severity = _there_and_back(len(rows))
    return (
        _drifted(images[rows[part]], drift, severity[part], seed)
        for part in (slice(i, i + batch_size) for i in range(0, len(rows), batch_size))
    )


def _drifted(images, drift, severity, seed):
    if drift is None:
        return images
    pixels = images.pixels().copy()
    for level in np.unique(severity):
        is_here = severity == level
        pixels[is_here] = corrupt(pixels[is_here], drift, int(level), seed)
    extras = images.extras | {"severity": severity}
    return replace(images, images=pixels, extras=extras)


def _there_and_back(num_images):
    """Return int (n,): 0 to 5 and down to 0 again, in equal stretches."""
    stretch = np.arange(num_images) * (2 * MAX_SEVERITY + 1) // num_images
    return MAX_SEVERITY - np.abs(stretch - MAX_SEVERITY)


def _shuffled(labels, rng, concentration):
    return rng.permutation(len(labels))


def _by_class(labels, rng, concentration):
    classes = rng.permutation(np.unique(labels))
    return np.concatenate([rng.permutation(_rows(labels, one)) for one in classes])


def _runs(labels, rng, concentration):
    classes = np.unique(labels)
    stretches = [[] for _ in classes]
    for one in classes:
        shares = rng.dirichlet(np.full(len(classes), concentration))
        rows = rng.permutation(_rows(labels, one))
        ends = np.rint(np.cumsum(shares)[:-1] * len(rows)).astype(int)
        for stretch, run in zip(stretches, np.split(rows, ends), strict=True):
            stretch.append(run)
    in_turn = [
        stretch[i] for stretch in stretches for i in rng.permutation(len(classes))
    ]
    return np.concatenate(in_turn)


def _rows(labels, one):
    return np.flatnonzero(labels == one)


ORDERS = {"shuffled": _shuffled, "runs": _runs, "by_class": _by_class}
