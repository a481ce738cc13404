"""A head on a backbone, and which of its parts may learn."""

import keras
import numpy as np
from keras import layers

from tl_helpers.backbones.hub import HubLayer

HEAD = "head"


@keras.saving.register_keras_serializable("tl_helpers")
class Classifier(keras.Model):
    """A functional model that knows its blocks; `classifier` builds it.

    `fit`, `evaluate`, `predict` and `save` are Keras's own, with two additions:
    `penalty` is added to the training loss; and a model whose frozen parts or penalty
    changed since it was compiled refuses to train, where Keras would go on training
    as before without a word.

    Attributes:
        block_layers: {block name: name of its last layer}, in order.
        penalty: None, or a callable that takes the batch's images and returns a
            scalar. It is not saved with the model.
    """

    block_layers = {}
    penalty = None

    def make_train_function(self, force=False):
        """Build Keras's training step, or refuse one that is out of date."""
        learning, penalty = _learning(self), self.penalty
        if self.train_function and (learning, penalty) != self._compiled_for:
            changed = sorted(learning ^ self._compiled_for[0]) or ["the penalty"]
            raise ValueError(
                f"Got a model in which {', '.join(changed[:3])}"
                f"{', ...' if len(changed) > 3 else ''} changed what learns after "
                "compile, expected no change; call compile again."
            )
        self._compiled_for = learning, penalty
        return super().make_train_function(force)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return Keras's loss, with the penalty while training."""
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if training and self.penalty is not None:
            loss = loss + self.penalty(x)
        return loss

    def extractor(self):
        """Return the part before the head: images -> features (batch, d)."""
        first = self.get_layer(f"{HEAD}_features")
        return keras.Model(self.input, first.output)

    def get_config(self):
        """Return Keras's config of a functional model, with the blocks."""
        return {**super().get_config(), "block_layers": dict(self.block_layers)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuild the model from `get_config`."""
        config = dict(config)
        block_layers = config.pop("block_layers")
        model = super().from_config(config, custom_objects)
        model.block_layers = block_layers
        return model


def classifier(backbone, num_classes, block=None, hidden_units=(), dropout=0.0):
    """Put a new head on a copy of a backbone.

    The backbone itself stays as it is, however far the copy is trained. Everything
    but the head arrives frozen.

    Args:
        backbone: Backbone.
        num_classes: int >= 2.
        block: take the features after this block and leave later ones out; None for
            the last.
        hidden_units: widths of hidden layers (ReLU) in the head; () for a linear one.
        dropout: share of the features that is dropped while training, in [0, 1).

    Returns:
        Classifier from float32 (batch, height, width, 3), RGB, [0, 255], to logits,
        float32 (batch, num_classes). Compile it yourself.

    Raises:
        ValueError: no such block, or fewer than two classes.
    """
    if num_classes < 2:
        raise ValueError(
            f"Got num_classes={num_classes}, expected at least 2; a yes-or-no task "
            "has two classes."
        )
    backbone.output(block)  # says which blocks there are
    network = keras.models.clone_model(backbone.network)
    network.set_weights(backbone.network.get_weights())
    kept = backbone.blocks[: backbone.blocks.index(block or backbone.blocks[-1]) + 1]
    x = network.get_layer(backbone.block_layers[kept[-1]]).output
    logits = _head(x, num_classes, hidden_units, dropout)
    model = Classifier(network.input, logits, name="classifier")
    model.block_layers = {name: backbone.block_layers[name] for name in kept}
    freeze(model)
    return model


def _head(x, num_classes, hidden_units, dropout):
    is_map = len(x.shape) == 4
    average = layers.GlobalAveragePooling2D if is_map else layers.Identity
    x = average(name=f"{HEAD}_features")(x)
    for i, units in enumerate(hidden_units, start=1):
        x = layers.Dense(units, "relu", name=f"{HEAD}_hidden_{i}")(x)
    if dropout:
        x = layers.Dropout(dropout, name=f"{HEAD}_dropout")(x)
    return layers.Dense(num_classes, dtype="float32", name=f"{HEAD}_logits")(x)


def start_from_probe(model, probe):
    """Give a linear head the weights of a probe, so that fine-tuning starts there.

    A random head sends large, random gradients into the backbone and spoils features
    before it can use them.

    Args:
        model: Classifier with a linear head; changed in place.
        probe: logistic probe of `probes.fit_probe`, fitted on features of the same
            block, with every class present.

    Raises:
        ValueError: the probe's features or classes are not the head's.

    Source: Kumar et al. 2022 (arXiv:2202.10054).
    """
    pipeline = getattr(probe, "best_estimator_", probe)
    scaler, regression = pipeline[0], pipeline[-1]
    kernel = regression.coef_ / scaler.scale_  # (classes, d)
    bias = regression.intercept_ - kernel @ scaler.mean_  # (classes,)
    if len(bias) == 1:  # two classes: one logit against zero
        kernel, bias = np.vstack([0 * kernel, kernel]), np.append(0 * bias, bias)
    head = model.get_layer(f"{HEAD}_logits")
    if head.kernel.shape != kernel.T.shape:
        raise ValueError(
            f"Got a probe of shape {kernel.T.shape} (features, classes), expected "
            f"{tuple(head.kernel.shape)}; fit it on features of the model's last "
            "block, with every class."
        )
    head.set_weights([kernel.T, bias])


def parts(model):
    """List the layers of every block, and of the head.

    Args:
        model: Classifier.

    Returns:
        {part name: list of keras layers}, from the input to "head".
    """
    listed, seen = {}, set()
    ends = {**model.block_layers, HEAD: model.layers[-1].name}
    for part, end in ends.items():
        until = keras.Model(model.input, model.get_layer(end).output)
        ancestors = {layer.name for layer in until.layers}
        listed[part] = [x for x in model.layers if x.name in ancestors - seen]
        seen |= ancestors
    return listed


def freeze(model):
    """Freeze everything but the head. Compile the model afterwards.

    Args:
        model: Classifier; changed in place.
    """
    _set_trainable(model, (HEAD,), batch_norm=False)


def thaw(model, from_block, batch_norm=False):
    """Let a block and everything behind it learn. Compile the model afterwards.

    BatchNormalization stays frozen unless asked for. On Keras 3 that takes
    `trainable = False` for each of them; calling the backbone with `training=False`
    does not hold once it is thawed (trap 1).

    Args:
        model: Classifier; changed in place. Blocks before `from_block` are frozen.
        from_block: block name; the first block thaws everything, "head" nothing else.
        batch_norm: let BatchNormalization layers of the thawed blocks learn, and
            follow the statistics of the new images.

    Raises:
        ValueError: no block of that name.
    """
    names = (*model.block_layers, HEAD)
    if from_block not in names:
        raise ValueError(
            f"Got block {from_block!r}, expected one of {', '.join(names)}."
        )
    _set_trainable(model, names[names.index(from_block) :], batch_norm)


def _set_trainable(model, learning_parts, batch_norm):
    model.trainable = True  # else it would overrule its layers
    for part, members in parts(model).items():
        for layer in members:
            is_norm = isinstance(layer, layers.BatchNormalization)
            can_learn = batch_norm or part == HEAD or not is_norm
            layer.trainable = part in learning_parts and can_learn
            if isinstance(layer, HubLayer):
                layer.moves_statistics = batch_norm


def _learning(model):
    """Names of the layers that `fit` changes."""
    names = {layer.name for layer in model.layers if layer.weights and layer.trainable}
    modules = [layer for layer in model.layers if isinstance(layer, HubLayer)]
    moving = {f"{x.name} (statistics)" for x in modules if x.moves_statistics}
    return frozenset(names | moving)


def layer_rates(model, rates):
    """Write rates by block as rates by layer, for `BlockRates`.

    Args:
        model: Classifier.
        rates: {block name, or "head": float >= 0}; parts not named keep rate 1.

    Returns:
        {layer name: rate}.

    Raises:
        ValueError: no part of that name.
    """
    members = parts(model)
    unknown = sorted(set(rates) - set(members))
    if unknown:
        raise ValueError(
            f"Got rates for {', '.join(unknown)}, expected some of "
            f"{', '.join(members)}."
        )
    return {
        layer.name: float(rate)
        for part, rate in rates.items()
        for layer in members[part]
        if layer.weights
    }
