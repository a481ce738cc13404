"""`BlockRates`: any Keras optimizer, with a learning rate of its own for each layer."""

import keras
from keras import ops

from tl_helpers.inputs import check_kind, check_not_negative


@keras.saving.register_keras_serializable("tl_helpers")
class BlockRates(keras.optimizers.Optimizer):
    """Let an optimizer take its step, then keep only a share of it in some layers.

    w <- w + rate * (w_stepped - w), where w_stepped is what the optimizer made of w.

    It is the *update* that is scaled. Scaling the gradient would do nothing under
    Adam and its kin, which divide by the gradient's own size; and since the whole
    step is scaled, decoupled weight decay follows too. For every optimizer whose step
    is proportional to the learning rate (all of Keras's but Ftrl), this is the same
    as giving the layer a learning rate of `rate` times the optimizer's. Schedules,
    clipping and gradient accumulation stay the wrapped optimizer's business.

    Args:
        optimizer: keras.optimizers.Optimizer, or its name.
        rates: {layer name: float >= 0}; a layer that is not named keeps rate 1. A
            weight belongs to a layer when the name is a part of its `path`, and may be
            named itself.
        name: str or None.

    Raises:
        ValueError: a negative rate, an optimizer with `use_ema`, or, at the first
            step, rates of which none belongs to a weight of the model.

    Source: wished for in keras-team/keras#414 (2015); for rates that shrink with
        depth see Howard & Ruder 2018 (arXiv:1801.06146), section 3.2.
    """

    def __init__(self, optimizer, rates, name=None):
        super().__init__(learning_rate=0.0, name=name)
        self.optimizer = keras.optimizers.get(optimizer)
        check_kind(dict, rates=rates)
        check_not_negative(**{f"rate of {name}": rate for name, rate in rates.items()})
        self.rates = {name: float(rate) for name, rate in rates.items()}
        if self.optimizer.use_ema:
            raise ValueError(
                "Got an optimizer with use_ema=True, whose averages would hold steps "
                "that were never taken; set use_ema=False."
            )

    def build(self, variables):
        """Prepare the wrapped optimizer for these weights."""
        variables = list(variables)
        paths = [variable.path for variable in variables]
        if self.rates and all(self._rate(path) is None for path in paths):
            raise ValueError(
                f"Got rates for {', '.join(self.rates)}, none of which is a layer "
                f"with trainable weights; expected names such as "
                f"{', '.join(sorted({path.split('/')[0] for path in paths})[:3])}."
            )
        self.optimizer.build(variables)
        super().build(variables)

    def apply(self, grads, trainable_variables=None):
        """Take one step.

        Args:
            grads: list of gradients.
            trainable_variables: list of keras.Variable in the same order; may be
                left out once the optimizer is built.
        """
        weights = list(trainable_variables or self._trainable_variables)
        if not self.built:
            self.build(weights)
        rates = [self._rate(weight.path) for weight in weights]
        slowed = [
            (weight, rate)
            for weight, rate in zip(weights, rates, strict=True)
            if rate not in (None, 1.0)
        ]
        before = [ops.copy(weight) for weight, _ in slowed]
        self.optimizer.apply(grads, weights)
        values = [
            old + rate * (weight - old)
            for old, (weight, rate) in zip(before, slowed, strict=True)
        ]
        _assign([weight for weight, _ in slowed], values)

    def _rate(self, path):
        """Return the rate of a weight, or None where its layer is not named."""
        for name, rate in self.rates.items():
            if f"/{name}/" in f"/{path}/":
                return rate
        return None

    @property
    def variables(self):
        """The wrapped optimizer's variables: this one has no state of its own."""
        return self.optimizer.variables

    @property
    def learning_rate(self):
        """The wrapped optimizer's learning rate, that of a layer with rate 1."""
        return self.optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        self.optimizer.learning_rate = learning_rate

    @property
    def iterations(self):
        """Number of steps taken."""
        return self.optimizer.iterations

    def scale_loss(self, loss):
        """Scale the loss as the wrapped optimizer wants it."""
        return self.optimizer.scale_loss(loss)

    def get_config(self):
        """Return what rebuilds this optimizer."""
        return {
            "name": self.name,
            "optimizer": keras.saving.serialize_keras_object(self.optimizer),
            "rates": dict(self.rates),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuild the optimizer from `get_config`."""
        inner = keras.saving.deserialize_keras_object(
            config["optimizer"], custom_objects=custom_objects
        )
        return cls(inner, config["rates"], config["name"])


def _assign(weights, values):
    """Assign, on every replica where TensorFlow distributes the training."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if tf.distribute.has_strategy():
            merge = tf.distribute.get_replica_context().merge_call
            merge(_assign_everywhere, args=([w.value for w in weights], values))
            return
    for weight, value in zip(weights, values, strict=True):
        weight.assign(value)


def _assign_everywhere(strategy, variables, values):
    for variable, value in zip(variables, values, strict=True):
        strategy.extended.update(
            variable, lambda each, value: each.assign(value), args=(value,)
        )
