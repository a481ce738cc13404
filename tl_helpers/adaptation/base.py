"""What the adaptation models share: Keras's own fit on a source and a target."""

import keras
from keras import ops

from tl_helpers.adaptation.reversal import ramp
from tl_helpers.inputs import check_flag, check_kind, check_not_negative, check_whole
from tl_helpers.training import predict_logits, share_of_a_replica


class Adapter(keras.Model):
    """A classifier that trains on labelled source and unlabelled target batches.

    `fit` is Keras's own. It takes `pairs(...)`, or `fit({"source": xs, "target": xt},
    ys)` with as many rows of both. Plain images give class logits, in `predict`,
    `evaluate` and a call.

    A subclass names its networks (`parts`), its other arguments (`settings`) and what
    it logs beside the class loss (`logged`), and gives two functions: `forward`, which
    sends both domains through the networks, and `adaptation_loss`, which turns the
    outcome into a loss.

    Attributes:
        strength: keras.Variable, scalar, weight of the adaptation; `Ramp` moves it.
        joint_batch: whether both domains pass a network as one batch while training.
            That matters to BatchNormalization only: apart, each domain is normalised
            by its own statistics.
    """

    parts = ()
    settings = ()
    logged = ()

    def __init__(self, strength=1.0, joint_batch=False, **kwargs):
        # its networks keep their own precision; sums and averages stay in float32
        super().__init__(**(kwargs | {"dtype": "float32"}))
        check_not_negative(strength=strength)
        check_flag(joint_batch=joint_batch)
        self._initial = float(strength)
        self.joint_batch = joint_batch
        self.strength = self._scalar("strength", strength)
        # of a Ramp: its peak, the steps behind, and all steps; 0 of them for none
        self._peak, self._step, self._num_steps = (
            self._scalar(f"strength_{name}") for name in ("peak", "step", "num_steps")
        )
        names = ("class_loss", *self.logged)
        self._means = {name: keras.metrics.Mean(name) for name in names}

    def raise_strength(self, peak, step, num_steps):
        """Let the strength follow `ramp` from the next training step on.

        Args:
            peak: float >= 0, which it nearly reaches.
            step: int, how many steps lie behind.
            num_steps: int, steps of the whole training; 0 to leave it where it is.

        Raises:
            ValueError: a number below 0, or no number.
        """
        check_not_negative(peak=peak)
        check_whole(step=step, num_steps=num_steps)
        self._peak.assign(peak)
        self._step.assign(step)
        self._num_steps.assign(num_steps)

    def classify(self, images, training=None):
        """Return class logits (b, classes) of plain images."""
        raise NotImplementedError

    def both(self, network, source, target, training):
        """Send both domains through one network; return a pair of outputs."""
        if not self.joint_batch:
            return tuple(network(x, training=training) for x in (source, target))
        num_source = ops.shape(source)[0]
        outputs = network(joined(source, target), training=training)
        return (
            keras.tree.map_structure(lambda rows: rows[:num_source], outputs),
            keras.tree.map_structure(lambda rows: rows[num_source:], outputs),
        )

    def forward(self, source, target, training):
        """Send both domains through the networks.

        Returns:
            dict with "logits", one entry for each network that classifies the source,
            and whatever `adaptation_loss` needs.
        """
        raise NotImplementedError

    def adaptation_loss(self, outputs):
        """Return (loss, {logged name: value}) of what `forward` returned."""
        raise NotImplementedError

    def call(self, inputs, training=None):
        """Return class logits of plain images; of both domains, `forward`."""
        if isinstance(inputs, dict):
            if training:
                self._follow_ramp()
            return self.forward(inputs["source"], inputs["target"], training)
        return self.classify(inputs, training)

    def _scalar(self, name, value=0.0):
        return self.add_weight(
            (),
            keras.initializers.Constant(value),
            trainable=False,
            aggregation="only_first_replica",
            name=name,
        )

    def _follow_ramp(self):
        """Set the strength of this step, inside the graph."""
        raised = self._peak * ramp(self._step / ops.maximum(self._num_steps, 1.0))
        held = ops.convert_to_tensor(self.strength)
        self.strength.assign(ops.where(self._num_steps > 0, raised, held))
        self._step.assign_add(1.0)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return the loss of `compile`, plus that of the adaptation."""
        if not isinstance(y_pred, dict):
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        logits = y_pred["logits"]
        loss = super().compute_loss(
            x,
            _repeat(y, len(logits)),
            ops.concatenate(logits, axis=0),
            _repeat(sample_weight, len(logits)),
            training,
        )
        share = share_of_a_replica()
        extra, values = self.adaptation_loss(y_pred)
        for name, value in {"class_loss": loss / share, **values}.items():
            self._means[name].update_state(value)
        return loss + share * extra

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Return Keras's metrics, of the source where both domains are given."""
        if isinstance(y_pred, dict):
            mean = sum(y_pred["logits"]) / len(y_pred["logits"])
            return super().compute_metrics(x, y, mean, sample_weight)
        results = super().compute_metrics(x, y, y_pred, sample_weight)
        return {name: x for name, x in results.items() if name not in self._means}

    def get_config(self):
        """Return the networks and settings; current weights are saved beside them."""
        config = super(keras.Model, self).get_config()
        config |= {"strength": self._initial, "joint_batch": self.joint_batch}
        for name in self.parts:
            config[name] = keras.saving.serialize_keras_object(getattr(self, name))
        return config | {name: getattr(self, name) for name in self.settings}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuild the model from `get_config`."""
        config = dict(config)
        for name in cls.parts:
            config[name] = keras.saving.deserialize_keras_object(
                config[name], custom_objects
            )
        return cls(**config)


class FeatureAdapter(Adapter):
    """An Adapter that changes an encoder's features, with a head on top."""

    parts = ("encoder", "head")

    def __init__(self, encoder, head, strength=1.0, joint_batch=False, **kwargs):
        super().__init__(strength, joint_batch, **kwargs)
        _check_fit(encoder, head)
        self.encoder, self.head = encoder, head

    def features(self, images):
        """Return the encoder's output for plain images.

        Args:
            images: (n, ...), as the encoder takes them; in memory.

        Returns:
            float32 (n, ...).
        """
        return predict_logits(self.encoder, images)

    def classify(self, images, training=None):
        """Return class logits (b, classes) of plain images."""
        return self.head(self.encoder(images, training=training), training=training)


def _check_fit(encoder, head):
    check_networks(encoder=encoder, head=head)
    if encoder.output_shape[1:] != head.input_shape[1:]:
        raise ValueError(
            f"Got encoder with output {encoder.output_shape[1:]} and head with "
            f"input {head.input_shape[1:]}, expected the same; change one of them."
        )


def check_networks(**networks):
    """Refuse what is no built model with one output (b, d).

    Args:
        **networks: {argument: keras.Model}.

    Raises:
        ValueError: something else.
    """
    check_kind(keras.Model, **networks)
    for name, network in networks.items():
        shape = getattr(network, "output_shape", None) if network.built else None
        if not isinstance(shape, tuple):
            raise ValueError(
                f"Got {name} {network.name!r} without weights, expected a built model "
                "with one output; give it a keras.Input as its first layer."
            )


def joined(source, target):
    """Put a target batch behind a source batch."""
    return ops.concatenate([source, target], axis=0)


def _repeat(rows, times):
    if rows is None or times == 1:
        return rows
    return ops.concatenate([rows] * times, axis=0)
