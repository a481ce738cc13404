"""A head on a backbone, and which of its parts may learn."""

import keras
import numpy as np
from keras import layers, ops
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from tl_helpers.backbones.backbone import Backbone
from tl_helpers.backbones.hub import HubLayer
from tl_helpers.inputs import (
    check_choice,
    check_flag,
    check_kind,
    check_not_negative,
    check_share,
    check_whole,
)
from tl_helpers.training import share_of_a_replica

HEAD = "head"
STATISTICS = {"moving_mean", "moving_variance"}  # which never learn, and may move


class HeadStart(layers.Layer):
    """Where a head begins; knows the blocks before it.

    A copy of a model is made of copies of its layers, so this one knows the blocks.

    Args:
        block_layers: {block name: name of its last layer}, in order.
    """

    def __init__(self, block_layers, **kwargs):
        super().__init__(**kwargs)
        self.block_layers = dict(block_layers)

    def get_config(self):
        """Return the arguments that rebuild this layer."""
        return {**super().get_config(), "block_layers": dict(self.block_layers)}


@keras.saving.register_keras_serializable("tl_helpers")
class HeadFeatures(HeadStart):
    """Averages a map over height and width; its arguments are those of `HeadStart`."""

    def call(self, values):
        """Return (batch, d) of (batch, d) or (batch, height, width, d)."""
        return ops.mean(values, axis=(1, 2)) if len(values.shape) == 4 else values


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
            scalar. It is neither saved nor cloned with the model.
    """

    penalty = None

    @property
    def block_layers(self):
        """Return {block name: name of its last layer}, in order."""
        return dict(self.get_layer(f"{HEAD}_features").block_layers)

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
        return self.with_penalty(loss, x, training)

    def with_penalty(self, loss, x, training):
        """Return a loss of the inputs x, with the penalty while training."""
        if training and self.penalty is not None:
            loss = loss + share_of_a_replica() * self.penalty(x)
        return loss

    def extractor(self):
        """Return the part before the head: images -> features (batch, d)."""
        first = self.get_layer(f"{HEAD}_features")
        return keras.Model(self.input, first.output)


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
        ValueError: no such block, fewer than two classes, or no widths or share.
    """
    check_kind(Backbone, backbone=backbone)
    check_whole(2, num_classes=num_classes)  # a yes-or-no task has two
    check_kind(list, tuple, hidden_units=hidden_units)
    check_whole(1, **{f"hidden_units[{i}]": x for i, x in enumerate(hidden_units)})
    check_share(dropout=dropout)
    backbone.output(block)  # says which blocks there are
    network = keras.models.clone_model(backbone.network)
    network.set_weights(backbone.network.get_weights())
    kept = backbone.blocks[: backbone.blocks.index(block or backbone.blocks[-1]) + 1]
    x = network.get_layer(backbone.block_layers[kept[-1]]).output
    block_layers = {name: backbone.block_layers[name] for name in kept}
    x = HeadFeatures(block_layers, name=f"{HEAD}_features")(x)
    logits = _head(x, num_classes, hidden_units, dropout)
    model = Classifier(network.input, logits, name="classifier")
    freeze(model)
    return model


def _head(x, num_classes, hidden_units, dropout):
    for i, units in enumerate(hidden_units, start=1):
        x = layers.Dense(units, "relu", name=f"{HEAD}_hidden_{i}")(x)
    if dropout:
        x = layers.Dropout(dropout, name=f"{HEAD}_dropout")(x)
    return layers.Dense(num_classes, dtype="float32", name=f"{HEAD}_logits")(x)


def start_from_probe(model, probe):
    """Give a linear head the weights of a probe, so that fine-tuning starts there.

    A random head has to be learnt first. At a small rate the same steps then leave
    worse features than from a probe, for this task and for another (notebook 03).

    Args:
        model: Classifier with a linear head; changed in place.
        probe: logistic probe of `probes.fit_probe`, fitted on features of the same
            block, with every class present.

    Raises:
        ValueError: no logistic probe, or one whose features or classes are not the
            head's.

    Source: Kumar et al. 2022 (arXiv:2202.10054).
    """
    check_kind(Classifier, model=model)
    pipeline = getattr(probe, "best_estimator_", probe)
    is_pipeline = isinstance(pipeline, Pipeline)
    if not is_pipeline or not isinstance(pipeline[-1], LogisticRegression):
        raise ValueError(
            f"Got a probe of type {type(pipeline).__name__}, expected a logistic one, "
            "whose weights are a head's; fit it with fit_probe(train, 'logistic')."
        )
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

    Raises:
        ValueError: no Classifier.
    """
    check_kind(Classifier, model=model)
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
    check_kind(Classifier, model=model)
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
    check_kind(Classifier, model=model)
    names = (*model.block_layers, HEAD)
    check_choice(names, from_block=from_block)
    check_flag(batch_norm=batch_norm)
    _set_trainable(model, names[names.index(from_block) :], batch_norm)


def _set_trainable(model, learning_parts, batch_norm):
    model.trainable = True  # else it would overrule its layers
    for part, members in parts(model).items():
        for layer in members:
            is_norm = isinstance(layer, layers.BatchNormalization)
            can_learn = batch_norm or part == HEAD or not is_norm
            layer.trainable = False  # Keras passes over what is True already
            layer.trainable = part in learning_parts and can_learn
            if isinstance(layer, HubLayer):
                layer.moves_statistics = batch_norm


def _learning(model):
    """Names of the layers that `fit` changes, and of weights that it leaves in them."""
    learning = [layer for layer in model.layers if layer.weights and layer.trainable]
    names = {layer.name for layer in learning}
    for layer in learning:
        still = {x.name for x in layer.weights if not x.trainable} - STATISTICS
        names |= {f"the {name} of {layer.name}" for name in still}
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
    check_kind(dict, rates=rates)
    check_not_negative(**{f"rate of {name}": rate for name, rate in rates.items()})
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
