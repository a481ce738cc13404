"""AdaBN: the target's own statistics in a network's BatchNormalization layers."""

import math

import keras
import numpy as np
from keras import layers, ops
from tqdm import tqdm

from tl_helpers.datasets.image_set import ImageSet
from tl_helpers.features import SHOW_BAR_FROM
from tl_helpers.inputs import check_kind, check_numbers, check_whole
from tl_helpers.training import check_fits


def adapt_batch_norm(model, images, batch_size=128, source_images=None):
    """Copy a model and give its BatchNormalization layers the target's statistics.

    Such a layer subtracts a mean and divides by a standard deviation, channel by
    channel, and those of the source do not suit the target. Here they are taken from
    the target's images instead; labels are not needed, and nothing is trained. The
    images pass through once, in batches of nearly equal size, and each batch is
    normalised by its own statistics on its way to the next layer. What is kept is the
    mean and variance over all images, with the differences between batches counted
    in. With one batch that is exact for every layer; with several it is exact for the
    first, and a later one sees what the layers before it made of single batches.

    A frozen backbone carries the statistics of what it was pretrained on, which are
    not the source's (and some published weights carry none: 0 and 1, the rest folded
    into the convolutions). Then give `source_images`: each channel of the target is
    moved to the mean and variance that the source has there, so that a classifier
    fitted on the unchanged model's source features fits the copy's target features.

    The same idea on cached features: `features.standardise`, once for each domain.

    Args:
        model: functional or Sequential keras.Model with one input; it stays as it is.
        images: the target's, an ImageSet (its labels are not looked at) or an array
            (n, ...) as the model takes them, for most uint8 or float32
            (n, height, width, 3), RGB, [0, 255]; n >= 2, a hundred or more in earnest.
        batch_size: images in one batch, int >= 2.
        source_images: None where the model was trained on the source; else the
            source's images, as `images`.

    Returns:
        keras.Model of the same class, not compiled. Only the moving means and
        variances differ; what is frozen stays frozen.

    Raises:
        ValueError: the model has no BatchNormalization, or hides it inside a custom
            layer; the images are too few, do not fit or hold NaN.

    Source: Li et al. 2016 (arXiv:1603.04779).
    """
    check_kind(keras.Model, model=model)
    check_whole(2, batch_size=batch_size)
    check_batch_norms(model)
    sets = [images] if source_images is None else [source_images, images]
    readers = [_reader(model, x) for x in sets]
    adapted = type(model).from_config(model.get_config())
    adapted.set_weights(model.get_weights())
    measuring = keras.models.clone_model(
        adapted, clone_function=_measuring, recursive=True
    )
    measuring.set_weights(model.get_weights())
    if source_images is not None:
        _pass_through(measuring, readers[0], len(source_images), batch_size)
    for norm in batch_norms(measuring):
        norm.aim()
    _pass_through(measuring, readers[-1], len(images), batch_size)
    for norm, measured in zip(
        batch_norms(adapted), batch_norms(measuring), strict=True
    ):
        mean, variance = measured.moved(*measured.pooled())
        norm.moving_mean.assign(mean)
        norm.moving_variance.assign(variance)
    return adapted


class _MeasuringNorm(layers.BatchNormalization):
    """Notes down every batch's statistics, and once aimed normalises the batch by them.

    Attributes:
        notes: list of (number of values, mean, variance), one entry a batch.
        start: the layer's own moving mean and variance; None until aimed.
        source: mean and variance of the source here; the start, where not measured.
    """

    def call(self, inputs, training=None, mask=None):
        axes = [axis for axis in range(inputs.ndim) if axis != self.axis % inputs.ndim]
        values = ops.cast(inputs, "float32")
        moments = _float64(ops.mean(values, axes), ops.var(values, axes))
        self.notes.append((math.prod(inputs.shape[axis] for axis in axes), *moments))
        if self.start is not None:
            mean, variance = self.moved(*moments)
            self.moving_mean.assign(mean)
            self.moving_variance.assign(variance)
        return super().call(inputs, training=False, mask=mask)

    def aim(self):
        """Take what was noted for the source, and from now on move batches there."""
        start = _float64(self.moving_mean, self.moving_variance)
        self.source = self.pooled() if self.notes else start
        self.start = start
        self.notes = []

    def moved(self, mean, variance):
        """Return the moving statistics that send these to where the source's went."""
        ratio = (variance + self.epsilon) / (self.source[1] + self.epsilon)
        shift = np.sqrt(ratio) * (self.source[0] - self.start[0])
        return mean - shift, ratio * (self.start[1] + self.epsilon) - self.epsilon

    def pooled(self):
        """Return mean and variance (channels,) over all batches, as if they were one.

        The law of total variance: mean of the variances plus variance of the means.
        """
        sizes, means, variances = map(np.array, zip(*self.notes, strict=True))
        mean = np.average(means, axis=0, weights=sizes)
        spread = variances + (means - mean) ** 2
        variance = np.average(spread, axis=0, weights=sizes)
        if not np.isfinite(mean + variance).all():
            raise ValueError(
                f"Got statistics at layer {self.name} that are not finite, expected "
                "numbers; look for NaN or infinity in the images."
            )
        return mean, variance


def _float64(*tensors):
    return [ops.convert_to_numpy(x).astype("float64") for x in tensors]


def _measuring(layer):
    """Clone a layer; BatchNormalization becomes one that measures."""
    is_norm = isinstance(layer, layers.BatchNormalization)
    clone = (_MeasuringNorm if is_norm else type(layer)).from_config(layer.get_config())
    if is_norm:
        clone.notes, clone.start, clone.source = [], None, None
    return clone


def _pass_through(measuring, read, num_images, batch_size):
    batches = shuffled_batches(num_images, batch_size)
    is_short = num_images < SHOW_BAR_FROM
    for rows in tqdm(batches, "statistics", disable=is_short, leave=False):
        measuring(read(rows), training=False)


def batch_norms(model):
    """List the BatchNormalization layers, those of nested models included.

    Args:
        model: keras.Model of layers and nested models.

    Returns:
        list of keras.layers.BatchNormalization.
    """
    found = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found += batch_norms(layer)
        elif isinstance(layer, layers.BatchNormalization):
            found.append(layer)
    return found


def check_batch_norms(model):
    """Refuse a model whose BatchNormalization cannot be reached.

    Args:
        model: keras.Model.

    Raises:
        ValueError: no functional or Sequential model with one input, no
            BatchNormalization in it, or some hidden inside a custom layer.
    """
    num_inputs = len(getattr(model, "inputs", ()))
    if num_inputs != 1:
        raise ValueError(
            f"Got {type(model).__name__} with {num_inputs} known inputs, expected a "
            "functional or Sequential model with one; pass the network inside it."
        )
    num_norms = len(batch_norms(model))
    num_hidden = sum("moving_variance" in x.path for x in model.weights) - num_norms
    if num_hidden > 0:
        raise ValueError(
            f"Got {num_hidden} BatchNormalization layers inside a custom layer, "
            "expected all of them in functional or Sequential models; standardise "
            "the features of each domain instead (features.standardise)."
        )
    if num_norms == 0:
        raise ValueError(
            f"Got model {model.name!r} without BatchNormalization, expected at least "
            "one such layer; standardise the features of each domain instead "
            "(features.standardise)."
        )


def _reader(model, images):
    """Return the function rows -> images, or refuse images that do not fit."""
    is_set = isinstance(images, ImageSet)
    if not is_set:
        images = check_numbers("images", images, "(n, ...)", least=2)
    shape = images.images.shape if is_set else images.shape
    check_fits(model, shape)
    return images.pixels if is_set else images.__getitem__


def shuffled_batches(num_images, batch_size):
    """Deal the rows out evenly: a last batch of one image has no variance.

    They are shuffled, always the same way: sets are often sorted by class, and a batch
    of one class, normalised by itself, would lose what tells it from the others.

    Args:
        num_images: int >= 2.
        batch_size: int >= 2, which no batch exceeds by more than one image.

    Returns:
        list of int arrays, which have every row once.

    Raises:
        ValueError: fewer than 2 of either.
    """
    if num_images < 2 or batch_size < 2:
        raise ValueError(
            f"Got {num_images} images in batches of {batch_size}, expected at least 2 "
            "of each; one image has no variance."
        )
    num_batches = min(math.ceil(num_images / batch_size), num_images // 2)
    order = np.random.default_rng(0).permutation(num_images)
    return np.array_split(order, num_batches)
