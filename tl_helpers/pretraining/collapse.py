"""Whether anything is left to tell images apart by, after training without labels."""

import warnings
from typing import NamedTuple

import keras
import numpy as np

from tl_helpers.inputs import TINY, check_features, check_kind, check_numbers

LEAST_SPREAD = 0.1  # of 1, which rows have that point everywhere alike
LEAST_RANK = 2.0  # below it there is one direction, and all the rest is next to nothing


class Collapse(NamedTuple):
    """How much of its space an embedding uses.

    Attributes:
        spread: standard deviation of a column of the rows, scaled to length 1, times
            sqrt(d): about 1 where they point everywhere alike, 0 where all are one.
        effective_rank: of their covariance, in [0, d]: how many directions count.
        width: d.
    """

    spread: float
    effective_rank: float
    width: int

    @property
    def is_collapsed(self):
        """Whether the rows are all but one point, or lie all but on one line."""
        return self.spread < LEAST_SPREAD or self.effective_rank < LEAST_RANK

    def __str__(self):
        used = (
            f"spread {self.spread:.2f} of 1, {self.effective_rank:.1f} of {self.width} "
            "directions"
        )
        if not self.is_collapsed:
            return f"The embedding tells images apart: {used}."
        return (
            f"The embedding has collapsed, all images look alike to it: {used}; stop, "
            "and lower the learning rate, take stronger views or a larger batch."
        )


def collapse(embedding):
    """Measure how far an embedding has collapsed.

    A loss does not show it: for SimSiam a constant is the best answer there is.

    Args:
        embedding: float (n, d), n >= 2, a row an image; of different images.

    Returns:
        Collapse.

    Raises:
        ValueError: no table of finite numbers.

    Source: spread, Chen & He 2021 (arXiv:2011.10566), figure 2; effective rank, the
        exponential of the entropy of the singular values, Roy & Vetterli 2007,
        doi:10.5281/zenodo.40411, as used by Garrido et al. 2023 (arXiv:2210.02885).
    """
    check_features("embedding", embedding)
    rows = np.asarray(embedding, float)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows / np.where(lengths > 0, lengths, 1)
    centred = rows - rows.mean(axis=0)
    width = rows.shape[1]
    spread = float(centred.std(axis=0).mean() * np.sqrt(width))
    values = np.linalg.svd(centred, compute_uv=False)
    if spread < 1e-6:  # what is left is rounding
        return Collapse(spread, 0.0, width)
    shares = values / values.sum()
    entropy = -(shares * np.log(shares + TINY)).sum()
    return Collapse(spread, float(np.exp(entropy)), width)


class WarnOfCollapse(keras.callbacks.Callback):
    """Measures the projections of some images after every epoch, and warns.

    Attributes:
        reports: list of Collapse, one an epoch.

    Args:
        images: float32 or uint8 (n, height, width, 3), RGB, [0, 255]; n different
            images, as many as go through the network at once.

    Raises:
        ValueError: no images, or a model that makes no projections.
    """

    def __init__(self, images):
        super().__init__()
        self.images = check_numbers("images", images, "(n, height, width, 3)", least=2)
        self.reports = []

    def on_epoch_end(self, epoch, logs=None):
        """Measure, write `spread` and `effective_rank` into the logs, and warn."""
        from tl_helpers.pretraining.models import TwoViewModel

        check_kind(TwoViewModel, model=self.model)
        found = collapse(self.model.projections(self.images))
        self.reports.append(found)
        if logs is not None:
            logs["effective_rank"] = found.effective_rank
            logs["spread"] = found.spread
        if found.is_collapsed:
            warnings.warn(f"Epoch {epoch + 1}: {found}", stacklevel=2)
