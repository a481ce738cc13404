"""Which backbone, and where to cut it: LogME first, then a probe on held-out folds."""

from typing import NamedTuple

import numpy as np

from tl_helpers.choosing import rank
from tl_helpers.evaluation import compare_paired
from tl_helpers.features import extract, standardise
from tl_helpers.fitting.protocol import (
    fold_accuracies,
    held_out_logits,
    probe_logits,
)

NUM_BLOCKS = 3  # the last ones, which serve most tasks
NUM_PROBED = 3  # the candidates that LogME puts first
MIN_PER_CLASS = 5  # labels; with fewer a choice is no better than a coin (chapter 02)
SMALL = ("embedded", "drawn")  # pretrained on small images
SMALL_PX, USUAL_PX = 64, 128


class Candidate(NamedTuple):
    """A backbone cut behind a block.

    Attributes:
        backbone: str.
        block: str.
    """

    backbone: str
    block: str

    def __str__(self):
        """Return for example 'embedded, cut behind block5'."""
        return f"{self.backbone}, cut behind {self.block}"


def size_of(name):
    """Return the height and width in px at which a backbone is fed."""
    return SMALL_PX if name.startswith(SMALL) else USUAL_PX


def rank_candidates(loaded, train, seed=0):
    """Order the last blocks of some backbones by LogME, on standardised features.

    Args:
        loaded: {name: Backbone}.
        train: ImageSet, to learn from.
        seed: int.

    Returns:
        (ranks, features): list of choosing.Rank, best first, whose names are
        Candidates, and {Candidate: Features}.
    """
    features = {}
    for name, backbone in loaded.items():
        images = train.resized(size_of(name))
        for block in backbone.blocks[-NUM_BLOCKS:]:
            features[Candidate(name, block)] = extract(backbone, images, block)
    units = {one: standardise(rows) for one, rows in features.items()}
    return rank(units, num_samples=20, seed=seed), features


def choose_candidate(ranks, features, folds, seed=0):
    """Choose one of those that LogME puts first by probes on held-out folds.

    With fewer than five labels a class the rule of chapter 02 chooses: the last block
    of the backbone whose last block LogME prefers.

    Args:
        ranks: list of Rank, as of `rank_candidates`.
        features: {Candidate: Features}, as of `rank_candidates`.
        folds: list, as of `make_folds`.
        seed: int.

    Returns:
        (chosen, found): a Candidate, and a dict with the numbers behind the choice:
        "chosen" [backbone, block], "is_rule" bool, "ranks" a list of dicts, "probed"
        {"backbone, block": accuracies, one a fold}, "lead" Difference to the next best
        as a list, or None.
    """
    labels = next(iter(features.values())).labels
    is_rule = bool(np.median(np.unique(labels, return_counts=True)[1]) < MIN_PER_CLASS)
    order = [one.name for one in ranks]
    probed = order[:NUM_PROBED]
    if is_rule:
        lasts = {name: block for name, block in features}
        probed = [one for one in order if one.block == lasts[one.backbone]][:1]
    accuracies = {
        one: fold_accuracies(probe_on_folds(features[one], folds, seed), labels, folds)
        for one in probed
    }
    means = {one: float(np.mean(x)) for one, x in accuracies.items()}
    best = sorted(probed, key=lambda one: -means[one])
    lead = None
    if len(best) > 1:
        pair = (accuracies[one] for one in best[:2])
        lead = list(compare_paired(*pair, test_share=1 / len(folds)))
    return best[0], {
        "chosen": list(best[0]),
        "is_rule": is_rule,
        "next": list(best[1]) if len(best) > 1 else None,
        "ranks": [{**one._asdict(), "name": str(one.name)} for one in ranks],
        "probed": {str(one): accuracies[one] for one in best},
        "lead": lead,
    }


def probe_on_folds(features, folds, seed=0):
    """Return the logits of probes for rows they have not seen, float (n, classes)."""

    def answer(_, learnt, held):
        return probe_logits(features[learnt], features.values[held], seed)

    num_classes = len(features.class_names)
    return held_out_logits(answer, folds, len(features), num_classes)
