"""Prototypical training: every step of `fit` is an episode."""

import keras
import numpy as np
from keras import ops

from tl_helpers.datasets.batches import look_up, reader
from tl_helpers.fewshot.scoring import check_drawn
from tl_helpers.inputs import check_kind, check_numbers, check_whole


def episode_batches(values, drawn):
    """Turn every episode into a training batch of `PrototypicalNetwork`.

    Draw as many episodes as there are steps to train: a second iteration repeats them.
    `fit(..., epochs=20, steps_per_epoch=100)` cuts 2000 episodes into 20 epochs.

    Args:
        values: (n, ...), features, or images as in `ImageSet.images`.
        drawn: Episodes of these rows.

    Returns:
        tf.data.Dataset of E batches: float32 (N*K + N*Q, ...), support before
        queries, and int64 (N*K + N*Q,), labels in [0, N).

    Raises:
        ValueError: values that are no rows of numbers, or episodes of other rows.
    """
    if not hasattr(values, "subset"):  # files are decoded later
        check_numbers("values", values, "(n, ...)")
    check_drawn(drawn, values)
    import tensorflow as tf

    parts = (drawn.support, drawn.query)
    rows = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
    ways = [np.broadcast_to(np.arange(p.shape[1])[:, None], p.shape[1:]) for p in parts]
    labels = tf.constant(np.concatenate([way.ravel() for way in ways]), tf.int64)
    read = reader(values)
    return look_up(
        tf.data.Dataset.from_tensor_slices(rows),
        lambda rows: (tf.cast(read(rows), tf.float32), labels),
        values,
    )


@keras.saving.register_keras_serializable("tl_helpers")
class PrototypicalNetwork(keras.Model):
    """An encoder that learns to put images near the mean of their class.

    `fit` is Keras's own, on `episode_batches`; `compile` takes an optimizer and no
    loss, which is the cross-entropy of the queries over their negative squared
    distances to the prototypes. `predict` and a call give embeddings (b, d).

    Args:
        encoder: built keras.Model from images or features to (b, d).
        num_ways: N, of the episodes that it trains on.
        num_shots: K, of the same.

    Raises:
        ValueError: an encoder that is not built, or whose rows are not flat; fewer
            than two ways or one shot; or several replicas.

    Source: Snell et al. 2017 (arXiv:1703.05175).
    """

    def __init__(self, encoder, num_ways, num_shots, **kwargs):
        super().__init__(**(kwargs | {"dtype": "float32"}))
        check_kind(keras.Model, encoder=encoder)
        check_whole(2, num_ways=num_ways)
        check_whole(1, num_shots=num_shots)
        if not encoder.built or len(encoder.output_shape) != 2:
            raise ValueError(
                f"Got encoder {encoder.name!r} that is not built or has no flat "
                "output, expected a built model to (batch, width); give it a "
                "keras.Input first and pooling last."
            )
        strategy = getattr(self, "distribute_strategy", None)  # TensorFlow's alone
        num_replicas = getattr(strategy, "num_replicas_in_sync", 1)
        if num_replicas > 1:
            raise ValueError(
                f"Got {num_replicas} replicas, expected one, since an episode cannot "
                "be divided; build the network outside of the strategy's scope."
            )
        self.encoder, self.num_ways, self.num_shots = encoder, num_ways, num_shots
        self._accuracy = keras.metrics.SparseCategoricalAccuracy("accuracy")
        self.built = True  # the encoder is

    def call(self, inputs, training=None):
        """Return embeddings float32 (b, d)."""
        return ops.cast(self.encoder(inputs, training=training), "float32")

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return the mean cross-entropy of an episode's queries."""
        num_support = self.num_ways * self.num_shots
        members = ops.one_hot(y[:num_support], self.num_ways, dtype="float32")
        sums = ops.matmul(ops.transpose(members), y_pred[:num_support])  # (N, d)
        offsets = y_pred[num_support:, None] - sums / self.num_shots  # (N*Q, N, d)
        logits, labels = -ops.sum(ops.square(offsets), axis=-1), y[num_support:]
        self._accuracy.update_state(labels, logits)
        return ops.mean(
            keras.losses.sparse_categorical_crossentropy(labels, logits, True)
        )

    def get_config(self):
        """Return encoder, ways and shots; the weights are saved beside them."""
        return super(keras.Model, self).get_config() | {
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "num_ways": self.num_ways,
            "num_shots": self.num_shots,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuild the model from `get_config`."""
        encoder = keras.saving.deserialize_keras_object(
            config["encoder"], custom_objects
        )
        return cls(**(config | {"encoder": encoder}))
