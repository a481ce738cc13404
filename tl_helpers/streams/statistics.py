"""BatchNormalization whose statistics follow the images while a model answers."""

import keras
from keras import layers, ops

from tl_helpers import saving
from tl_helpers.domains.batch_norm import batch_norms, check_batch_norms
from tl_helpers.inputs import check_kind, check_not_negative, check_numbers, check_share
from tl_helpers.training import check_fits


class OnlineModel:
    """A copy of a model that may change with what it is asked; the base of all here.

    Attributes:
        network: keras.Model, the copy. The model that was given never changes.
    """

    def __init__(self, model, norm):
        check_kind(keras.Model, model=model)
        check_batch_norms(model)
        self.network = _copy_with(model, norm)
        self._start = None

    def predict(self, images):
        """Answer a batch, and learn from it what this kind of model learns.

        Args:
            images: ImageSet or array (b, ...), one batch as the model takes it, for
                most uint8 or float32 (b, height, width, 3), RGB, [0, 255].

        Returns:
            float32 (b, classes), logits.

        Raises:
            ValueError: images that do not fit the model, or hold NaN.
        """
        return self.network.predict_on_batch(self._checked(images))

    def reset(self):
        """Forget all that was learnt since the beginning, to the last bit."""
        if self._start is not None:
            saving.set_variables(self._changing(), self._start)

    def _changing(self):
        """List the variables that may differ from the start."""
        return self.network.variables

    def _remember(self):
        self._start = saving.read_variables(self._changing())

    def _checked(self, images):
        images = images.pixels() if hasattr(images, "pixels") else images
        images = check_numbers("images", images, "(b, ...)")
        check_fits(self.network, images.shape)
        return images


class BatchStatistics(OnlineModel):
    """A copy of a model that normalises every batch by the batch's own statistics.

    Nothing is kept from one batch to the next, and a copy in another order of batches
    gives the same answers. But an image's answer depends on its neighbours: in a
    batch of one class, normalising takes away what tells it from the others. A single
    image is normalised by the mean and variance of its own maps over height and
    width; after a map of one pixel, or between dense layers, every single row comes
    out the same.

    With a prior the source's statistics count as those of so many images more:
    mean = (prior x source mean + b x batch mean) / (prior + b), the variance alike.
    Large batches then follow the target, and small ones stay with the source.

    Args:
        model: functional or Sequential keras.Model with BatchNormalization; it stays
            as it is.
        prior: float >= 0, in images; 0 for the batch alone.

    Raises:
        ValueError: no such model, or no such number.

    Source: Nado et al. 2020 (arXiv:2006.10963); with a prior Schneider et al. 2020
        (arXiv:2006.16971).
    """

    def __init__(self, model, prior=0.0):
        check_not_negative(prior=prior)
        super().__init__(model, BatchNorm)
        for norm in batch_norms(self.network):
            norm.prior = float(prior)


class RunningStatistics(OnlineModel):
    """A copy of a model whose moving averages go on moving while it predicts.

    They start from the source's, move with each batch, average = momentum x average +
    (1 - momentum) x batch's, and then normalise that batch. One image at a time will
    do, and a class that stays for a while is soon the average. 63% of what they hold
    is from the last 1 / (1 - momentum) batches.

    Args:
        model: functional or Sequential keras.Model with BatchNormalization; it stays
            as it is.
        momentum: float in [0, 1]: 0 for each batch's own statistics, 1 for the
            source's.

    Raises:
        ValueError: no such model, or no share.

    Source: Schneider et al. 2020 (arXiv:2006.16971) for the start; with a momentum
        Mirza et al. 2022 (arXiv:2112.00463).
    """

    def __init__(self, model, momentum=0.9):
        check_share(momentum=momentum)
        super().__init__(model, RunningNorm)
        for norm in batch_norms(self.network):
            norm.kept = float(momentum)
        self._remember()


class BatchNorm(layers.BatchNormalization):
    """Normalises by the batch, whether training or not; moves no average.

    Attributes:
        prior: how many images the moving averages count for.
    """

    prior = 0.0

    def call(self, inputs, training=None, mask=None):
        """Return the inputs normalised, of the same shape."""
        return self.normalised(inputs, *self.blended(inputs))

    def blended(self, inputs):
        """Return mean and variance (channels,) of batch and prior together."""
        moments = self.moments(inputs)
        if not self.prior:
            return moments
        num_images = ops.cast(ops.shape(inputs)[0], "float32")
        share = num_images / (num_images + self.prior)
        averages = self.moving_mean, self.moving_variance
        return [
            share * own + (1 - share) * average
            for own, average in zip(moments, averages, strict=True)
        ]

    def moments(self, inputs):
        """Return mean and variance (channels,) of a batch, float32."""
        axes = [axis for axis in range(inputs.ndim) if axis != self.axis % inputs.ndim]
        return ops.moments(ops.cast(inputs, "float32"), axes)

    def normalised(self, inputs, mean, variance):
        """Return the inputs less mean, over deviation, times gamma, plus beta."""
        outputs = ops.batch_normalization(
            ops.cast(inputs, "float32"),
            mean,
            variance,
            self.axis,
            offset=self.beta,
            scale=self.gamma,
            epsilon=self.epsilon,
        )
        return ops.cast(outputs, self.compute_dtype)


class RunningNorm(BatchNorm):
    """Normalises by moving averages, which the batch has moved before.

    Attributes:
        kept: share of the averages that stays.
    """

    def call(self, inputs, training=None, mask=None):
        """Return the inputs normalised, of the same shape."""
        averages = self.moving_mean, self.moving_variance
        moved = [
            self.kept * average + (1 - self.kept) * own
            for average, own in zip(averages, self.moments(inputs), strict=True)
        ]
        for average, value in zip(averages, moved, strict=True):
            average.assign(value)
        return self.normalised(inputs, *moved)


def _copy_with(model, norm):
    """Copy a model, with another class of BatchNormalization in it.

    Args:
        model: functional or Sequential keras.Model.
        norm: subclass of keras.layers.BatchNormalization with the same arguments.

    Returns:
        keras.Model, compiled without a loss: streams end in batches of all sizes, for
        each of which XLA would compile anew.
    """

    def copied(layer):
        is_norm = isinstance(layer, layers.BatchNormalization)
        return (norm if is_norm else type(layer)).from_config(layer.get_config())

    network = keras.models.clone_model(model, clone_function=copied, recursive=True)
    network.set_weights(model.get_weights())
    network.compile(jit_compile=False)
    return network
