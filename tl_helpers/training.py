"""What every training shares: a fresh start, a number of steps, answers to score."""

import keras
import numpy as np
from keras import ops

from tl_helpers import evaluation
from tl_helpers.datasets.batches import look_up, reader, reader_of_each
from tl_helpers.datasets.image_set import ImageSet
from tl_helpers.inputs import (
    check_callable,
    check_kind,
    check_labelled,
    check_labels,
    check_numbers,
    check_positive,
    check_rows,
    check_whole,
)

WARMUP_SHARE = 0.1  # of the steps
ANSWERED_AT_ONCE = 256  # rows


def reinitialise(model, seed):
    """Give a compiled model new random weights and a fresh optimizer.

    The same as building it anew, without compiling it again: for comparing many
    trainings from scratch. What its layers draw (dropout) begins anew, too.

    Args:
        model: compiled keras.Model whose optimizer starts from zeros, as all of
            Keras's do but for the learning rate.
        seed: int, decides the weights.
    """
    check_compiled(model)
    check_whole(seed=seed)
    keras.utils.set_random_seed(seed)
    fresh = keras.models.clone_model(model)
    for variable, new in zip(model.variables, fresh.variables, strict=True):
        variable.assign(new)
    reset_optimizer(model)


def reset_optimizer(model):
    """Take a compiled model's optimizer back to its first step.

    Args:
        model: compiled keras.Model whose optimizer starts from zeros, as all of
            Keras's do but for the learning rate.
    """
    build_optimizer(model)
    for variable in model.optimizer.variables:
        if not variable.path.endswith("learning_rate"):
            variable.assign(ops.zeros(variable.shape, variable.dtype))


def build_optimizer(model):
    """Give a compiled model's optimizer its variables, where it has none yet.

    Left to `fit`, they are made inside the training graph, which is then traced twice:
    for a small network that takes longer than the training.

    Args:
        model: compiled keras.Model; one that is not built yet stays as it is.
    """
    check_compiled(model)
    if model.built and not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


def check_compiled(model):
    """Refuse what is no model with an optimizer.

    Args:
        model: compiled keras.Model.

    Raises:
        ValueError: something else.
    """
    check_kind(keras.Model, model=model)
    if getattr(model, "optimizer", None) is None:
        raise ValueError(
            f"Got model {model.name!r} without an optimizer, expected a compiled one; "
            "call model.compile first."
        )


def fit_steps(
    model,
    images,
    num_steps,
    batch_size,
    seed,
    augment=None,
    targets="labels",
    **settings,
):
    """Train for a number of steps, however many images there are.

    Args:
        model: compiled keras.Model that takes images.
        images: ImageSet; its batches begin again as often as needed.
        num_steps: int >= 1.
        batch_size: int >= 1.
        seed: int, decides the order of the images.
        augment: as in `ImageSet.batches`.
        targets: as in `ImageSet.batches`.
        **settings: of `keras.Model.fit`, such as callbacks or validation_data.

    Returns:
        {name: [value]} as in the history of `fit`, of one epoch with all the steps.

    Raises:
        ValueError: no compiled model, no ImageSet, numbers out of their range, or
            targets that the images lack.
    """
    check_kind(ImageSet, images=images)
    check_whole(1, images=len(images), num_steps=num_steps, batch_size=batch_size)
    check_whole(seed=seed)
    if augment is not None:
        check_callable(augment=augment)
    build_optimizer(model)
    # no global seed here: setting TensorFlow's throws away what it has compiled
    batches = images.batches(batch_size, True, seed, augment, targets)
    settings = {"verbose": 0} | settings
    return model.fit(batches.repeat(), steps_per_epoch=num_steps, **settings).history


def fit_rows(model, values, targets, rows, batch_size, **settings):
    """Train on rows that lie in memory, in a given order, once through.

    The same steps as `model.fit(values[rows], targets[rows], shuffle=False)`, without
    a copy of every row for every time that it comes.

    Args:
        model: compiled keras.Model.
        values: array (n, ...).
        targets: array (n, ...), or {name: array (n, ...)}; NaN may be an absent label.
        rows: int (m,), in [0, n), each as often as you like.
        batch_size: int >= 1; the last batch may be smaller.
        **settings: of `keras.Model.fit`, such as callbacks.

    Returns:
        {name: [value]} as in the history of `fit`.

    Raises:
        ValueError: no compiled model, targets that are not one a value, no rows, or
            rows that are not there.
    """
    check_compiled(model)
    values = check_numbers("values", values, "(n, ...)")
    check_fits(model, values.shape)
    for one in targets.values() if isinstance(targets, dict) else [targets]:
        one = check_numbers("targets", one, "(n, ...)", finite=False)
        if len(one) != len(values):
            raise ValueError(
                f"Got {len(one)} targets for {len(values)} values, expected one for "
                "each; give both of the same rows."
            )
    rows = check_rows(rows, len(values))
    check_whole(1, rows=len(rows), batch_size=batch_size)
    build_optimizer(model)

    import tensorflow as tf

    images, read = reader(values), reader_of_each(targets)
    data = look_up(
        tf.data.Dataset.from_tensor_slices(rows).batch(batch_size),
        lambda rows: (images(rows), read(rows)),
        values,
    )
    return model.fit(data, **{"verbose": 0} | settings).history


def warmup_cosine(learning_rate, num_steps):
    """Schedule: up in a straight line over a tenth of the steps, down along a cosine.

    Args:
        learning_rate: the highest, > 0.
        num_steps: int >= 1; at the last of them the rate is nearly 0.

    Returns:
        keras.optimizers.schedules.CosineDecay, for any optimizer.

    Raises:
        ValueError: a rate that is not above 0, or no step.

    Source: Loshchilov & Hutter 2017 (arXiv:1608.03983), without restarts.
    """
    check_positive(learning_rate=learning_rate)
    check_whole(1, num_steps=num_steps)
    warmup = max(1, round(WARMUP_SHARE * num_steps))
    return keras.optimizers.schedules.CosineDecay(
        learning_rate / warmup,
        max(1, num_steps - warmup),
        warmup_target=learning_rate,
        warmup_steps=warmup,
    )


def predict_logits(model, rows):
    """Answer rows that lie in memory, a few hundred at a time.

    The same numbers as `model.predict`, which sets up a data pipeline first: on 400
    rows of 192 numbers that takes fifty times as long.

    Args:
        model: keras.Model.
        rows: array (n, ...), Features, or ImageSet.

    Returns:
        float (n, classes); of a model with several outputs the same structure of
        such arrays.

    Raises:
        ValueError: no model, or rows that are no numbers or not finite.
    """
    rows = check_numbers("rows", _in_memory(rows), "(n, ...)")
    check_fits(model, rows.shape)
    starts = range(0, len(rows), ANSWERED_AT_ONCE)
    parts = [model.predict_on_batch(rows[i : i + ANSWERED_AT_ONCE]) for i in starts]
    return keras.tree.map_structure(lambda *one: np.concatenate(one), *parts)


def check_fits(model, shape):
    """Refuse what is no model for rows of this shape.

    Args:
        model: keras.Model.
        shape: (n, ...).

    Raises:
        ValueError: no model, one without weights, or one for other rows.
    """
    if isinstance(model, type) or not hasattr(model, "predict_on_batch"):
        check_kind(keras.Model, model=model)
    if not getattr(model, "built", True):
        raise ValueError(
            f"Got model {model.name!r} without weights, expected a built model; give "
            "it a keras.Input as its first layer."
        )
    inputs = getattr(model, "inputs", None) or ()
    for wanted in [x.shape for x in inputs if len(inputs) == 1]:
        fits = len(shape) == len(wanted) and all(
            want in (None, got) for want, got in zip(wanted[1:], shape[1:], strict=True)
        )
        if not fits:
            raise ValueError(
                f"Got rows of shape {shape}, expected {('n', *wanted[1:])} as the "
                "model takes them; resize or batch them first."
            )


def accuracy(model, labelled):
    """Share of right answers of a model that gives logits.

    Args:
        model: keras.Model.
        labelled: Features, or ImageSet.

    Returns:
        float in [0, 1].

    Raises:
        ValueError: as for `predict_logits`, or labels that do not fit, such as those
            of a class for which the model has no logit.
    """
    if not hasattr(labelled, "pixels"):
        check_labelled("test set", labelled)
    logits = predict_logits(model, labelled)
    labels = check_labels("", logits, labelled.labels, logits.shape[-1])
    return evaluation.accuracy(logits.argmax(axis=1), labels)


def _in_memory(rows):
    """Return the array of Features or of an ImageSet, or the array itself."""
    if hasattr(rows, "pixels"):
        return rows.pixels()
    return getattr(rows, "values", rows)


def share_of_a_replica():
    """Return 1 / number of replicas, by which Keras scales its own losses."""
    return keras.losses.MeanAbsoluteError()(ops.zeros((1, 1)), ops.ones((1, 1)))
