"""An untrained backbone, small enough to be trained from nothing in minutes."""

import numpy as np

from tl_helpers.backbones import Backbone
from tl_helpers.backbones.small import WIDTHS, build_small, small_blocks
from tl_helpers.datasets.image_set import Provenance
from tl_helpers.inputs import check_channels_last, check_numbers, check_whole


def small_backbone(seed=0, widths=WIDTHS):
    """Build an untrained backbone to pretrain: it goes wherever a loaded one goes.

    Args:
        seed: int >= 0, decides the weights.
        widths: int (k,), channels of the stem and of every block, each of which halves
            the image: five for 32 px and more.

    Returns:
        Backbone with the blocks "stem", "block1", ...; trainable.

    Raises:
        ValueError: a seed or widths that are no whole numbers, or one width alone.
    """
    check_channels_last()
    check_whole(seed=seed)
    widths = check_numbers("widths", widths, "(k,)", least=2)
    check_whole(1, **{f"width {i}": one for i, one in enumerate(widths.tolist(), 1)})
    widths = tuple(np.asarray(widths).tolist())
    network = build_small(widths, int(seed))
    provenance = Provenance(
        name="small backbone",
        origin=f"random weights, seed {seed}",
        licence="MIT",
        citation="this repository, tl_helpers/backbones/small.py",
        size=f"{network.count_params() / 1e6:.2f} M parameters",
    )
    return Backbone("small", network, small_blocks(widths), provenance)
