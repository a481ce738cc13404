"""One protocol for every adaptation: who may see what, and in which unit."""

from typing import NamedTuple

import numpy as np

from tl_helpers.backbones.backbone import Backbone
from tl_helpers.datasets import ImageSet, split
from tl_helpers.features import Features, extract, standardise
from tl_helpers.inputs import (
    check_domains,
    check_flag,
    check_kind,
    check_labels,
    check_numbers,
    check_same_classes,
    check_whole,
)
from tl_helpers.probes import probe_accuracy

VALIDATION_SHARE = 0.25  # of the source
TEST_SHARE = 0.5  # of the target
NUM_BLOCKS = 3  # from which one is chosen: the last ones, which serve most tasks


class Draw(NamedTuple):
    """Both domains, split by one seed; s source, v validation, t target, e test rows.

    Attributes:
        seed: int.
        source: Features (s, d), to learn from.
        validation: Features (v, d), source rows to choose by.
        target: float32 (t, d), to adapt to, without labels.
        test: Features (e, d), target rows that only test.
        oracle: Features (t, d), the rows of `target` with their labels: for the
            oracle, for labels that are paid for, and to explain a result afterwards.
    """

    seed: int
    source: Features
    validation: Features
    target: np.ndarray
    test: Features
    oracle: Features


def draw(source, target, seed=0, by_domain=True):
    """Split both domains by one seed and standardise them.

    Three quarters of the source are learnt from, one quarter validates, with the same
    share of every class on both sides. Half of the target is adapted to, half tests;
    that split is blind, since nobody knows the target's labels. Validation rows are
    standardised like the source rows that are learnt from, test rows like the target
    rows that are adapted to: whatever is judged has no say in mean and deviation.

    Args:
        source: Features of the source, n >= 8 rows.
        target: Features from the same block, m >= 4 rows; all of its classes are in
            the source.
        seed: int.
        by_domain: standardise each domain by its own visible rows (AdaBN); False
            standardises the target's rows like the source, as if nothing had changed.

    Returns:
        Draw.

    Raises:
        ValueError: features or labels that do not fit (see `check_domains`,
            `check_labels`), or too few rows to split.

    Source: AdaBN, Li et al. 2016 (arXiv:1603.04779).
    """
    check_kind(Features, source=source, target=target)
    check_domains(source.values, target.values)
    check_labels("source", *source)
    check_labels("target", *target)
    check_same_classes(source, target, ("the source", "the target"))
    check_whole(seed=seed)
    check_flag(by_domain=by_domain)
    train, validation = _split_source(source, seed)
    seen, test = split(target, 1 - TEST_SHARE, TEST_SHARE, stratify=False, seed=seed)
    for half in (train, seen):  # a mean and a deviation need two rows
        check_numbers("rows to learn from", half.values, "(n, d)", least=2)
    like = seen if by_domain else train
    oracle = standardise(seen, like=like)
    return Draw(
        seed,
        standardise(train),
        standardise(validation, like=train),
        oracle.values,
        standardise(test, like=like),
        oracle,
    )


def choose_block(backbone, source_images, seeds=(0,)):
    """Choose the block whose probe is best on validation images of the source.

    One of the last three blocks, by the mean over the seeds; no target image is asked.
    The splits are those of `draw`.

    Args:
        backbone: Backbone.
        source_images: ImageSet with n >= 8 images.
        seeds: ints, at least one: a split of the source for each.

    Returns:
        str, name of the block; the earlier one of equals.

    Raises:
        ValueError: no Backbone, no seed, or images too few to split.
    """
    check_kind(Backbone, backbone=backbone)
    check_kind(ImageSet, source_images=source_images)
    check_numbers("seeds", seeds, "(n,)")
    for seed in seeds:
        check_whole(seed=seed)
    at_home = {}
    for block in backbone.blocks[-NUM_BLOCKS:]:
        rows = extract(backbone, source_images, block)
        draws = [_split_source(rows, seed) for seed in seeds]
        at_home[block] = np.mean([probe_accuracy(*parts) for parts in draws])
    return max(at_home, key=at_home.get)


def _split_source(rows, seed):
    """Return (rows to learn from, rows to validate) with the same share of a class."""
    return split(rows, 1 - VALIDATION_SHARE, VALIDATION_SHARE, seed=seed)
