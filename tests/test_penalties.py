"""L2-SP against a value worked out by hand, and in a training."""

import keras
import numpy as np
import pytest
from tiny import tiny_backbone, tiny_images

from tl_helpers.finetuning import classifier, l2_sp, thaw


def test_l2_sp_by_hand():
    weights, start = [np.array([1.0, 3.0]), np.array([[2.0]])], [np.zeros(2), [[1.0]]]
    head = [np.array([2.0, -1.0])]
    # 0.4 / 2 * (1 + 9 + 1) + 0.2 / 2 * (4 + 1)
    assert float(l2_sp(weights, start, head, 0.4, 0.2)) == pytest.approx(2.7)


def test_l2_sp_refuses_lists_of_different_length():
    with pytest.raises(ValueError, match="Got 2 weights and 1 start weights"):
        l2_sp([np.ones(1)] * 2, [np.ones(1)])


def test_l2_sp_holds_a_training_back():
    """The stronger the pull, the nearer the weights stay to their start."""
    distances = []
    for alpha in (0.0, 3.0, 30.0):
        keras.utils.set_random_seed(0)
        model = classifier(tiny_backbone(), 2)
        thaw(model, "block1")
        weights = [w for w in model.trainable_weights if "head" not in w.path]
        start = [weight.numpy() for weight in weights]
        model.penalty = lambda _, s=start, w=weights, a=alpha: l2_sp(w, s, alpha=a)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.03), loss)
        model.fit(tiny_images().batches(8), epochs=5, verbose=0)
        moved = [
            np.sum((w.numpy() - s) ** 2) for w, s in zip(weights, start, strict=True)
        ]
        distances.append(sum(moved))
    assert distances[0] > 1.2 * distances[1] > 1.2 * 1.2 * distances[2] > 0


def test_l2_sp_takes_a_variable_and_refuses_a_push():
    """A pull may change while a graph trains; below 0 it would push away."""
    import tensorflow as tf

    weights, start = [np.ones(2, "float32")], [np.zeros(2, "float32")]
    pull = keras.Variable(3.0)
    assert float(tf.function(lambda: l2_sp(weights, start, alpha=pull))()) == 3
    with pytest.raises(ValueError, match="Got alpha=-1, expected"):
        l2_sp(weights, start, alpha=-1)
