"""A check of explanations: without what the network learnt they must change."""

import keras

from tl_helpers.finetuning.classifier import HEAD, Classifier, parts
from tl_helpers.inputs import check_choice, check_kind, check_whole


def randomise_weights(model, from_block=HEAD, seed=0):
    """Copy a classifier and forget what a block, and all behind it, learnt.

    An explanation that looks the same for the copy explains the image, not the model.
    Going down from the head, block by block, shows on what it depends.

    Args:
        model: Classifier; it stays as it is.
        from_block: block name, or "head" for the head alone.
        seed: int, decides the new weights, drawn as for a new network.

    Returns:
        Classifier, not compiled.

    Raises:
        ValueError: no Classifier, or no block of that name.

    Source: Adebayo et al. 2018 (arXiv:1810.03292), the cascading test.
    """
    check_kind(Classifier, model=model)
    check_whole(seed=seed)
    names = (*model.block_layers, HEAD)
    check_choice(names, from_block=from_block)
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    keras.utils.set_random_seed(seed)
    fresh = keras.models.clone_model(model)
    forgotten = names[names.index(from_block) :]
    for part, layers in parts(copy).items():
        for layer in layers if part in forgotten else ():
            layer.set_weights(fresh.get_layer(layer.name).get_weights())
    return copy
