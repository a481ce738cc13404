"""Weighted means of the weights of models that are built alike."""

import keras
import numpy as np

from tl_helpers.inputs import as_array, check_kind
from tl_helpers.storage import configuration

UNIMPORTANT = ("trainable", "compile_config", "seed")  # for what a model computes


def check_models(models):
    """Refuse what is no list of built models.

    Args:
        models: list or tuple of keras.Model.

    Raises:
        ValueError: something else, an empty list, or a model without weights.
    """
    check_kind(list, tuple, models=models)
    if not models:
        raise ValueError("Got no models, expected at least one; give a list of them.")
    for i, model in enumerate(models):
        check_kind(keras.Model, **{f"models[{i}]": model})
        if not model.built:
            raise ValueError(
                f"Got model {model.name!r} without weights, expected a built model; "
                "give it a keras.Input as its first layer."
            )


def check_alike(models):
    """Refuse models whose weights cannot be averaged.

    Args:
        models: list or tuple of keras.Model.

    Raises:
        ValueError: as for `check_models`; models of different architectures; low-rank
            factors, whose mean is not that of their products; or whole numbers, such
            as a quantised kernel, that differ.
    """
    check_models(models)
    first, *others = map(_built_like, models)
    for i, other in enumerate(others, start=1):
        if other != first:
            raise ValueError(
                f"Got models[0] and models[{i}] of different architectures, expected "
                "the same layers in the same order; build both by the same call, or "
                "combine their answers with ensemble."
            )
    if '"lora_rank": ' in first[0]:
        raise ValueError(
            "Got models with LoRA, expected plain ones, as the mean of two low-rank "
            "factors is not the factor of the mean; merge them with merge_lora first."
        )
    for weights in zip(*(model.weights for model in models), strict=True):
        if not _is_real(weights[0]) and not _are_equal(weights):
            raise ValueError(
                f"Got models whose {weights[0].path} differs, whole numbers without a "
                "mean; combine models before you quantise them."
            )


def copy_of(model):
    """Copy a model with its weights and the state of what it draws.

    Args:
        model: built keras.Model; it stays as it is.

    Returns:
        keras.Model of the same class, not compiled.
    """
    copy = type(model).from_config(model.get_config())
    for new, old in zip(_state(copy), _state(model), strict=True):
        new.assign(keras.ops.copy(old))  # on JAX two would share what training frees
    return copy


def mix_into(target, models, shares):
    """Give a model the weighted mean of others' weights.

    Means are taken in float64. A share of 0 leaves a model out, so that a share of 1
    gives its weights bit for bit. Whole numbers, and the state of random generators,
    stay as they are in `target`.

    Args:
        target: keras.Model, changed in place; none of `models`.
        models: list of keras.Model built like it.
        shares: list of floats, one a model, which sum to 1.
    """
    kept = [
        (model, share) for model, share in zip(models, shares, strict=True) if share
    ]
    for i, weight in enumerate(target.weights):
        if not _is_real(weight):
            continue
        if len(kept) == 1:
            weight.assign(keras.ops.copy(kept[0][0].weights[i]))
            continue
        mean = sum(share * _float64(model.weights[i]) for model, share in kept)
        weight.assign(keras.ops.cast(mean, weight.dtype))


def scored(score, model):
    """Score a model, or refuse what is no score.

    Args:
        score: callable(keras.Model) -> number, the higher, the better.
        model: keras.Model.

    Returns:
        float.

    Raises:
        ValueError: no finite number.
    """
    found = as_array(score(model))
    if found.ndim or found.dtype.kind not in "iuf" or not np.isfinite(found):
        raise ValueError(
            f"Got a score of type {found.dtype} and shape {found.shape}, expected one "
            "finite number, such as the accuracy on validation images; return it from "
            "score(model)."
        )
    return float(found)


def _built_like(model):
    try:
        described = configuration(model, UNIMPORTANT)
    except TypeError as error:
        raise ValueError(
            f"Got model {model.name!r} without a configuration, expected one that "
            "Keras can copy; give it a get_config."
        ) from error
    return described, [(tuple(x.shape), x.dtype) for x in model.weights]


def _state(model):
    """Weights and random generators: all variables but those of metrics."""
    metrics = {id(x) for x in model.metrics_variables}
    return [x for x in model.variables if id(x) not in metrics]


def _is_real(weight):
    return "float" in weight.dtype


def _are_equal(weights):
    first, *others = map(keras.ops.convert_to_numpy, weights)
    return all(np.array_equal(first, other) for other in others)


def _float64(weight):
    return np.asarray(keras.ops.convert_to_numpy(weight), "float64")
