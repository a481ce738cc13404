"""LoRA: a low-rank change beside each frozen kernel, by Keras's `enable_lora`."""

from pathlib import Path
from tempfile import TemporaryDirectory

from keras import layers

from tl_helpers.finetuning.adapters import learn_only
from tl_helpers.finetuning.classifier import HEAD, Classifier, freeze, parts
from tl_helpers.inputs import check_choice, check_kind, check_whole

FACTORS = ("lora_kernel_a", "lora_kernel_b")


def add_lora(model, rank, from_block=None):
    """Let a low-rank change of each kernel learn, and the head. Compile afterwards.

    kernel = frozen kernel + A B; A random, B zero at first, so no prediction changes

    Only Dense and Conv2D layers can have it: depthwise and separable convolutions stay
    frozen, and so do biases and BatchNormalization. A convolution's B is (rank,
    filters), its A has the kernel's height, width and channels. Of Keras know that
    freezing a layer and thawing it again, hence `thaw`, thaws its whole kernel; and
    that `save` writes the merged kernel with both factors zero: what is loaded answers
    the same and learns nothing more, as neither factor has a gradient. Keep the task
    with `save_adapter` and the plain model with `merge_lora`.

    Args:
        model: Classifier; changed in place.
        rank: int >= 1.
        from_block: name of the first block that gets it; None for all.

    Returns:
        tuple of the names of the layers that got it, from the input on.

    Raises:
        ValueError: no Classifier, block or rank; blocks without such layers; or a
            model that has it already.

    Source: Hu et al. 2021 (arXiv:2106.09685).
    """
    check_kind(Classifier, model=model)
    check_whole(1, rank=rank)
    chosen = [
        layer
        for layer in _layers_from(model, from_block)
        if isinstance(layer, layers.Dense | layers.Conv2D)
    ]
    if not chosen or any(layer.lora_enabled for layer in chosen):
        found = "with LoRA" if chosen else "without a Dense or Conv2D layer"
        raise ValueError(
            f"Got blocks {found}, expected plain layers of these kinds; begin at an "
            "earlier block, or build the model again."
        )
    freeze(model)
    for layer in chosen:
        layer.enable_lora(int(rank))
        learn_only(layer, FACTORS)
    # what was traced before knows the old kernels only
    model.make_predict_function(force=True)
    model.make_test_function(force=True)
    return tuple(layer.name for layer in chosen)


def merge_lora(model):
    """Copy a model and add its low-rank changes to the kernels.

    Args:
        model: Classifier with LoRA; it stays as it is.

    Returns:
        Classifier with the layers and costs of one without LoRA, and the predictions
        of the given one; frozen but for the head, not compiled.

    Raises:
        ValueError: no Classifier, or one without LoRA.
    """
    check_kind(Classifier, model=model)
    if not any(getattr(layer, "lora_enabled", False) for layer in model.layers):
        raise ValueError(
            "Got a model without LoRA, expected one that has some; call add_lora first."
        )
    plain = type(model).from_config(_without_lora(model.get_config()))
    with TemporaryDirectory() as folder:  # Keras merges what it writes
        path = Path(folder) / "merged.weights.h5"
        model.save_weights(path)
        plain.load_weights(path)
    freeze(plain)
    return plain


def _layers_from(model, from_block):
    """Layers of a block and of those behind it, without the head."""
    names = list(model.block_layers)
    if from_block is not None:
        check_choice(names, from_block=from_block)
        names = names[names.index(from_block) :]
    members = parts(model)
    return [layer for name in names if name != HEAD for layer in members[name]]


def _without_lora(config):
    if isinstance(config, dict):
        return {
            key: _without_lora(value)
            for key, value in config.items()
            if key not in ("lora_rank", "lora_alpha")
        }
    if isinstance(config, list | tuple):
        return type(config)(map(_without_lora, config))
    return config
