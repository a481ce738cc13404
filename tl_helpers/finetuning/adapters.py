"""A task in few numbers: which weights learn, how many they are, and their file."""

import json
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from keras import layers

from tl_helpers.finetuning.classifier import HEAD, Classifier, freeze, parts
from tl_helpers.inputs import check_choice, check_kind
from tl_helpers.saving import read_variables, set_variables
from tl_helpers.storage import hash_arrays, whole_or_nothing

LEARNING = {"batch_norm": ("gamma", "beta"), "bias": ("bias", "beta"), "head": ()}
DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


class AdapterSize(NamedTuple):
    """What a task adds to a shared backbone.

    Attributes:
        trainable: int, numbers that learn.
        num_bytes: int, of all values that `save_adapter` writes: those numbers, and
            the statistics of BatchNormalization that moves.
    """

    trainable: int
    num_bytes: int

    def __str__(self):
        """Say '12,345 trainable numbers, 49 kB a task'."""
        size_kb = self.num_bytes / 1e3
        return f"{self.trainable:,} trainable numbers, {size_kb:,.0f} kB a task"


def train_only(model, part):
    """Let one kind of weights learn, in all blocks, and the head. Compile afterwards.

    A BatchNormalization that learns, here in "batch_norm" and in "bias", also follows
    the statistics of the new images: Keras 3 has no switch for one without the other.

    Args:
        model: Classifier; changed in place. `freeze` or `thaw` undo it.
        part: "batch_norm", scales and shifts of BatchNormalization; "bias", the biases
            of all layers, among which are those shifts; "head", nothing else.

    Raises:
        ValueError: no Classifier, another part, or no such weights in its blocks.

    Source: biases alone, Ben Zaken et al. 2021 (arXiv:2106.10199); BatchNorm alone,
        Frankle et al. 2020 (arXiv:2003.00152).
    """
    check_kind(Classifier, model=model)
    check_choice(LEARNING, part=part)
    names, kind = LEARNING[part], layers.Layer
    if part == "batch_norm":
        kind = layers.BatchNormalization
    chosen = [
        layer
        for name, members in parts(model).items()
        for layer in members
        if name != HEAD and isinstance(layer, kind)
        if any(weight.name in names for weight in layer.weights)
    ]
    if names and not chosen:
        raise ValueError(
            f"Got a model whose blocks have no weights named {' or '.join(names)}, "
            f"expected some for part={part!r}; let another part learn."
        )
    freeze(model)
    for layer in chosen:
        learn_only(layer, names)


def learn_only(layer, names):
    """Let some weights of a layer learn, and no others.

    `layer.trainable = False` and then `True` undo it: that sets all its weights'.

    Args:
        layer: keras.Layer, changed in place.
        names: of weights that may learn.
    """
    layer.trainable = False  # Keras passes over what is True already
    layer.trainable = True
    for weight in layer.trainable_weights:
        weight.trainable = weight.name in names


def adapter_size(model):
    """Count what a task adds to a shared backbone.

    Args:
        model: Classifier, frozen and thawed as it is trained.

    Returns:
        AdapterSize.

    Raises:
        ValueError: no Classifier.
    """
    check_kind(Classifier, model=model)
    trainable = sum(_numbers(weight) for weight in model.trainable_weights)
    kept = read_variables(model.weights[i] for i in _own_rows(model))
    return AdapterSize(trainable, sum(values.nbytes for values in kept))


def save_adapter(model, path):
    """Write what a task adds to a shared backbone: weights that learn, and statistics.

    Statistics are those of BatchNormalization that may move. The file is whole or not
    there. It does not hold the backbone, only a hash of what stayed frozen.

    Args:
        model: Classifier, frozen and thawed as it was trained.
        path: str or Path that ends in ".npz".

    Returns:
        Path of the file.

    Raises:
        ValueError: no Classifier, nothing that learns, or another ending.
    """
    check_kind(Classifier, model=model)
    path, own = _npz_path(path), _own_rows(model)
    if not own:
        raise ValueError(
            "Got a model in which nothing learns, expected weights to save; freeze "
            "and thaw it as it was trained."
        )
    about = {"architecture": _architecture(model), "frozen": _frozen_hash(model, own)}
    values = read_variables(model.weights[i] for i in own)
    arrays = dict(zip(map(str, own), values, strict=True))
    with whole_or_nothing(path) as part:
        np.savez(part, about=json.dumps(about), **arrays)
    return path


def load_adapter(model, path):
    """Give a model the weights of a task that was learnt around the same backbone.

    Several files around one model make it several tasks', one at a time.

    Args:
        model: Classifier built as the one that was saved: the same backbone, number of
            classes, and `add_lora` or `add_bottlenecks`; changed in place. What is
            frozen does not matter.
        path: str or Path that ends in ".npz", from `save_adapter`.

    Raises:
        ValueError: no Classifier, a file that is no whole adapter, another
            architecture, or a backbone with other weights; then nothing is changed.
        FileNotFoundError: no such file.
    """
    check_kind(Classifier, model=model)
    about, arrays = _read(_npz_path(path))
    here = _architecture(model)
    if about["architecture"] != here:
        raise ValueError(
            f"Got {path}, an adapter of another architecture "
            f"({_first_difference(about['architecture'], here)}), expected one of this "
            "model's; build the model as it was saved: backbone, classes, adapters."
        )
    if about["frozen"] != _frozen_hash(model, list(arrays)):
        raise ValueError(
            f"Got {path}, an adapter around other frozen weights, expected this "
            "model's backbone; build the model from the backbone it was trained on, "
            "and load no adapter of another kind before it."
        )
    set_variables([model.weights[i] for i in arrays], list(arrays.values()))


def _own_rows(model):
    """Places in `model.weights` of what learns, and of statistics that move."""
    own = {id(weight) for weight in model.trainable_weights}
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization) and layer.trainable:
            own |= {id(x) for x in (layer.moving_mean, layer.moving_variance)}
    return [i for i, weight in enumerate(model.weights) if id(weight) in own]


def _numbers(weight):
    return int(np.prod(weight.shape))


def _architecture(model):
    """Kinds of layers with the names and shapes of their weights, as JSON has it."""
    return [
        [type(layer).__name__, *([x.name, list(x.shape)] for x in layer.weights)]
        for layer in model.layers
    ]


def _first_difference(saved, here):
    for i, (one, other) in enumerate(zip(saved, here, strict=False)):
        if one != other:
            return f"layer {i} is {_shown(one)}, here {_shown(other)}"
    return f"{len(saved)} layers, here {len(here)}"


def _shown(layer):
    kind, *weights = layer
    return " ".join([kind, *(f"{name} {tuple(shape)}" for name, shape in weights)])


def _frozen_hash(model, own):
    frozen = [x for i, x in enumerate(model.weights) if i not in set(own)]
    return hash_arrays(*read_variables(frozen))


def _npz_path(path):
    if not isinstance(path, str | Path) or Path(path).suffix != ".npz":
        raise ValueError(
            f"Got {path!r} to name an adapter's file, expected str or Path that ends "
            "in '.npz'; name one."
        )
    return Path(path)


def _read(path):
    """Return what an adapter says of its model, and {place: array}."""
    if not path.exists():
        raise FileNotFoundError(
            f"Got {path}, which does not exist; expected a file of save_adapter."
        )
    try:
        with np.load(path, allow_pickle=False) as stored:
            about = json.loads(str(stored["about"]))
            names = [name for name in stored.files if name != "about"]
            arrays = {int(name): stored[name] for name in names}
        assert isinstance(about["architecture"], list) and about["frozen"]
    except (*DAMAGED, AssertionError, TypeError) as error:
        raise ValueError(
            f"Got {path}, which is damaged or no adapter ({type(error).__name__}), "
            "expected a whole file of save_adapter; copy it again."
        ) from error
    return about, arrays
