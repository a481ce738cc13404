"""Losses that keep fine-tuning near its start; pure, on tensors."""

import keras
import numpy as np
from keras import ops


def l2_sp(weights, start_weights, head_weights=(), alpha=0.1, beta=0.01):
    """Squared distance to the weights that fine-tuning started from.

    loss = alpha / 2 * sum ||w - w_start||^2 + beta / 2 * sum ||w_head||^2

    Args:
        weights: list of n tensors of any shapes, the backbone's.
        start_weights: list of n arrays of the same shapes: their values at the start.
        head_weights: list of tensors that have no start worth keeping.
        alpha: float >= 0, pull to the start.
        beta: float >= 0, pull of the head to zero.

    Returns:
        float32 scalar, >= 0; 0 at the start with an empty or zero head.

    Raises:
        ValueError: the two lists differ in length.

    Source: Li, Grandvalet & Davoine 2018 (arXiv:1802.01483), equation 2.
    """
    if len(weights) != len(start_weights):
        raise ValueError(
            f"Got {len(weights)} weights and {len(start_weights)} start weights, "
            "expected one start for each; take both lists from the same layers."
        )
    moved = [ops.sum(ops.square(w - s)) for w, s in zip(weights, start_weights)]  # noqa: B905
    size = [ops.sum(ops.square(w)) for w in head_weights]
    return 0.5 * (alpha * sum(moved) + beta * sum(size))


def delta(maps, start_maps, channel_weights=None):
    """Squared distance to the activation maps of the network at the start.

    loss = sum_j weight_j * mean over images and positions of (map_j - start_map_j)^2

    Args:
        maps: float32 (batch, height, width, channels), of the network in training.
        start_maps: the same shape, of the network at the start, on the same images.
        channel_weights: float (channels,), >= 0 and adding up to 1, for example from
            `channel_attention`; None for equal ones.

    Returns:
        float32 scalar, >= 0. The paper sums over positions where this takes the mean,
        so that the strength does not depend on the image size.

    Raises:
        ValueError: shapes differ.

    Source: Li et al. 2019 (arXiv:1901.09229), equations 4 to 6.
    """
    if tuple(maps.shape[1:]) != tuple(start_maps.shape[1:]):
        raise ValueError(
            f"Got maps of shape {tuple(maps.shape)} and {tuple(start_maps.shape)}, "
            "expected the same; take both after the same block."
        )
    distances = ops.mean(ops.square(maps - start_maps), axis=(0, 1, 2))
    if channel_weights is None:
        return ops.mean(distances)
    return ops.sum(ops.convert_to_tensor(channel_weights, "float32") * distances)


def bss(features, k=1):
    """Squares of the k smallest singular values of a batch of features.

    loss = sum over the k smallest of sigma_i^2

    Directions of small singular values are the ones that transfer least; the
    penalty presses them to nothing.

    Args:
        features: float32 (batch, d).
        k: int in [1, min(batch, d)].

    Returns:
        float32 scalar, >= 0; 0 for a batch of lower rank.

    Raises:
        ValueError: k out of range, where the batch size is known.

    Source: Chen et al. 2019, Catastrophic Forgetting Meets Negative Transfer
        (NeurIPS 2019), equation 5; strength 0.001 there.
    """
    rank = min((n for n in features.shape if n is not None), default=k)
    if not 1 <= k <= rank:
        raise ValueError(
            f"Got k={k} for features of shape {tuple(features.shape)}, expected 1 to "
            f"{rank}; the batch has no more singular values."
        )
    values = ops.svd(features, full_matrices=False, compute_uv=False)
    return ops.sum(ops.square(values[..., -k:]))  # they come in falling order


def channel_attention(model, block, images, labels):
    """How much each channel of a block matters to a trained classifier, for `delta`.

    weight = softmax over channels of (loss without channel j - loss)

    Args:
        model: Classifier whose head is already fitted.
        block: block name.
        images: uint8 or float32 (n, height, width, 3), RGB, [0, 255].
        labels: int (n,).

    Returns:
        float32 (channels,), adding up to 1.

    Source: Li et al. 2019 (arXiv:1901.09229), equation 8.
    """
    end = model.get_layer(model.block_layers[block]).output
    maps = keras.Model(model.input, end).predict(images, verbose=0)
    rest = keras.Model(end, model.output)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def loss_without(channel):
        kept = np.arange(maps.shape[-1]) != channel
        logits = rest(maps * kept.astype("float32"), training=False)
        return float(loss(labels, logits))

    losses = np.array([loss_without(channel) for channel in range(maps.shape[-1])])
    rise = losses - loss_without(None)
    exponents = np.exp(rise - rise.max())
    return (exponents / exponents.sum()).astype("float32")
