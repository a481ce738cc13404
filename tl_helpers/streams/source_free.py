"""Adaptation without the source: its head stays, and the target labels itself."""

import keras
import numpy as np
from keras import ops

from tl_helpers.adaptation.base import check_networks
from tl_helpers.adaptation.losses import entropy
from tl_helpers.inputs import check_features, check_not_negative, check_numbers
from tl_helpers.training import predict_logits

TINY = 1e-8  # stands for the length of a row of zeros


@keras.saving.register_keras_serializable("tl_helpers")
class SourceFree(keras.Model):
    """A trained classifier that learns from target images alone; its head is frozen.

    loss = mean_i H(p_i) - H(mean_i p_i) + strength x mean_i CE(label_i, p_i)

    with H in nats over the batch: every answer certain, all answers together varied.
    The variety keeps it from giving one class to all; where the target's classes are
    not equally frequent, it pulls towards that all the same. The labels are the
    model's own, by prototypes, made anew now and then:

        model.compile(keras.optimizers.Adam(1e-3))
        for _ in range(num_rounds):
            model.fit(images, model.pseudo_labels(images), batch_size=64)

    `fit`, `predict` and `save` are Keras's own; `predict` gives logits. Its encoder
    and head are the networks that were given: clone them to keep the source's.

    Args:
        encoder: built keras.Model from images, or features, to features (b, d),
            trained on the source with the head.
        head: built keras.Model from (b, d) to class logits; it is frozen here and
            does not move by one bit.
        strength: float >= 0, weight of the pseudo-labels.

    Raises:
        ValueError: networks that are not built or do not fit, or a strength below 0.

    Source: Liang et al. 2020 (arXiv:2002.08546), without its label smoothing of the
        source and its weight normalisation of the head.
    """

    def __init__(self, encoder, head, strength=0.3, **kwargs):
        super().__init__(**(kwargs | {"dtype": "float32"}))
        check_networks(encoder=encoder, head=head)
        check_not_negative(strength=strength)
        if encoder.output_shape[1:] != head.input_shape[1:]:
            raise ValueError(
                f"Got encoder with output {encoder.output_shape[1:]} and head with "
                f"input {head.input_shape[1:]}, expected the same; change one of them."
            )
        self.encoder, self.head, self.strength = encoder, head, float(strength)
        self.head.trainable = False
        self.built = True

    def call(self, images, training=None):
        """Return class logits (b, classes)."""
        features = self.encoder(images, training=training)
        return self.head(features, training=False)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return the loss above; y are labels of its own, int (b,)."""
        logits = ops.cast(y_pred, "float32")
        mean = ops.mean(ops.softmax(logits), axis=0)
        variety = -ops.sum(mean * ops.log(mean + TINY))
        each = ops.sparse_categorical_crossentropy(y, logits, from_logits=True)
        return ops.mean(entropy(logits)) - variety + self.strength * ops.mean(each)

    def pseudo_labels(self, images):
        """Label target images by prototypes; as `prototype_labels`.

        Args:
            images: ImageSet or array (n, ...), as the encoder takes them, n >= 2.

        Returns:
            int64 (n,), in [0, classes).
        """
        features = predict_logits(self.encoder, images)
        logits = predict_logits(self.head, features)
        return prototype_labels(features, logits)

    def get_config(self):
        """Return the networks and the strength; weights are saved beside them."""
        config = super(keras.Model, self).get_config()
        for name in ("encoder", "head"):
            config[name] = keras.saving.serialize_keras_object(getattr(self, name))
        return config | {"strength": self.strength}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuild the model from `get_config`."""
        config = dict(config)
        for name in ("encoder", "head"):
            config[name] = keras.saving.deserialize_keras_object(
                config[name], custom_objects
            )
        return cls(**config)


def prototype_labels(features, logits):
    """Label rows by the class whose prototype lies in the most similar direction.

    A prototype is the mean of all rows, each weighted by its probability of the
    class; the rows labelled by these give the prototypes that decide. Classes without
    a row drop out. Similarity is the cosine, of rows with a 1 put behind them.

    Args:
        features: float (n, d), n >= 2.
        logits: float (n, classes), a model's answers to the same rows.

    Returns:
        int64 (n,), in [0, classes).

    Raises:
        ValueError: features and logits that do not fit.

    Source: Liang et al. 2020 (arXiv:2002.08546), equations 5 and 6.
    """
    check_features("features", features)
    logits = check_numbers("logits", logits, f"({len(features)}, classes)")
    rows = np.column_stack([np.asarray(features, float), np.ones(len(features))])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True).astype(float))
    weights /= weights.sum(axis=1, keepdims=True)
    for _ in range(2):
        labels = _most_similar(rows, weights)
        weights = np.eye(logits.shape[1])[labels]
    return labels


def _most_similar(rows, weights):
    """Return of each row the class with the nearest weighted mean, int64 (n,)."""
    prototypes = weights.T @ rows  # (classes, d + 1); their length does not matter
    lengths = np.linalg.norm(prototypes, axis=1)
    cosines = rows @ (prototypes / np.maximum(lengths, TINY)[:, None]).T
    is_empty = weights.sum(axis=0) < TINY
    return np.where(is_empty, -np.inf, cosines).argmax(axis=1)
