"""An ensemble: one model whose probabilities are the mean of several models'."""

import keras
from keras import layers, ops

from tl_helpers.combining.mixing import check_models, copy_of


@keras.saving.register_keras_serializable("tl_helpers")
class MeanProbability(layers.Layer):
    """Averages the probabilities behind several logits; returns their logarithm."""

    def call(self, logits):
        """Return log probabilities (batch, classes) of a list of such logits."""
        logs = [ops.log_softmax(ops.cast(x, "float32"), axis=-1) for x in logits]
        mean = ops.logsumexp(ops.stack(logs), axis=0)
        return mean - ops.log(float(len(logs)))


def ensemble(models):
    """Combine models by the mean of their probabilities.

    probability = 1 / m * sum of softmax(logits of model i) over the m models

    It is probabilities that are averaged, not logits: a model that is very sure has
    no more of a say. What comes out is the logarithm of the mean, which takes the
    place of logits everywhere: its softmax is the mean itself. An answer costs as
    much as m models'.

    Args:
        models: list of keras.Model from the same images to logits (batch, classes) of
            the same classes; of any architecture. They stay as they are, since the
            ensemble is made of copies.

    Returns:
        keras.Model to log probabilities, float32 (batch, classes); not compiled.

    Raises:
        ValueError: no models, or models with other inputs or classes.

    Source: Lakshminarayanan et al. 2017 (arXiv:1612.01474).
    """
    check_models(models)
    ends = [(_shapes(model, "inputs"), _shapes(model, "outputs")) for model in models]
    inputs, outputs = ends[0]
    if len(inputs) != 1 or len(outputs) != 1 or len(outputs[0]) != 2:
        raise ValueError(
            f"Got a model from {inputs} to {outputs}, expected one input, and logits "
            "(batch, classes); leave out what else it returns."
        )
    for i, other in enumerate(ends):
        if other != ends[0]:
            raise ValueError(
                f"Got models[0] from {inputs} to {outputs} and models[{i}] from "
                f"{other[0]} to {other[1]}, expected the same; give models of the same "
                "images and classes."
            )
    images = keras.Input(inputs[0][1:], dtype=models[0].inputs[0].dtype, name="images")
    members = [_member(model, f"member_{i}") for i, model in enumerate(models)]
    mean = MeanProbability(name="mean_probability", dtype="float32")
    logits = mean([member(images) for member in members])
    return keras.Model(images, logits, name="ensemble")


def _shapes(model, side):
    return [tuple(x.shape) for x in getattr(model, side, None) or ()]


def _member(model, name):
    """Copy a model under another name: those of one model have to differ."""
    copy = copy_of(model)
    return keras.Model(copy.inputs, copy.outputs[0], name=name)
