"""Two views of every image, made where batches are made."""

import numpy as np

from tl_helpers.augmentation import Policy
from tl_helpers.inputs import check_kind


def two_views(policy):
    """Make a function that turns a batch into two changed copies of it.

    Args:
        policy: augmentation.Policy that leaves labels alone, such as "views".

    Returns:
        callable (images, labels) -> ({"first": images, "second": images}, labels),
        for `images.batches(..., augment=)` and `training.fit_steps(..., augment=)`;
        both copies are drawn anew, each image for itself.

    Raises:
        ValueError: no policy, or one that mixes images.

    Source: Chen et al. 2020 (arXiv:2002.05709), section 2.1.
    """
    check_kind(Policy, policy=policy)
    if policy.is_mixing:
        raise ValueError(
            f"Got policy {policy.name}, expected one without mixup and cutmix, which "
            "put another image into a view; take 'views'."
        )

    def make(images, labels=None):
        count, both = _twice(images)
        both = policy(both)
        pair = {"first": both[:count], "second": both[count:]}
        return pair if labels is None else (pair, labels)

    return make


def _twice(images):
    """Return the number of images, and the batch with each of them twice."""
    if isinstance(images, np.ndarray):
        return len(images), np.concatenate([images, images])
    import tensorflow as tf  # inside tf.data they are its tensors on every backend

    return tf.shape(images)[0], tf.concat([images, images], axis=0)
