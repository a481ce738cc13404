"""Source-free adaptation: loss and prototypes by hand, the head frozen."""

import keras
import numpy as np
import pytest
from keras import ops
from tiny import moved, values_of

from tl_helpers.adaptation import dense_network
from tl_helpers.streams import SourceFree, prototype_labels


def networks(seed=0):
    keras.utils.set_random_seed(seed)
    return dense_network(2, (8,), 4, batch_norm=True), dense_network(4, (), 3)


def clouds(shift=0.0, seed=0):
    """Three classes in the plane, which a shift moves over their neighbours' places."""
    rng = np.random.default_rng(seed)
    labels = np.arange(90) % 3
    angle = 2 * np.pi * labels / 3
    centres = 4 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    rows = centres + rng.normal(0, 0.4, (90, 2)) + shift
    return rows.astype("float32"), labels


def trained():
    """Encoder and head that know the clouds where they are."""
    encoder, head = networks()
    model = keras.Sequential([keras.Input((2,)), encoder, head])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.03), loss, jit_compile=False)
    model.fit(*clouds(), epochs=20, batch_size=30, verbose=0)
    return encoder, head


def accuracy(model, rows, labels):
    return (model.predict_on_batch(rows).argmax(axis=1) == labels).mean()


def test_loss_by_hand():
    model = SourceFree(*networks(), strength=0.5)
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    labels = np.array([0, 1, 2, 0, 1])
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    mean = shares.mean(axis=0)
    doubt = -(shares * np.log(shares)).sum(axis=1).mean()
    variety = -(mean * np.log(mean)).sum()
    cross = -np.log(shares[np.arange(5), labels]).mean()
    found = float(model.compute_loss(y=ops.array(labels), y_pred=ops.array(logits)))
    assert found == pytest.approx(doubt - variety + 0.5 * cross, rel=1e-5)


def test_a_sure_constant_answer_has_a_finite_loss_and_gains_nothing():
    logits = ops.array(np.tile([200.0, 0.0, 0.0], (4, 1)).astype("float32"))
    model = SourceFree(*networks(), strength=0)
    assert float(model.compute_loss(y=ops.zeros(4), y_pred=logits)) == pytest.approx(0)


def test_the_head_does_not_move_by_one_bit_and_the_encoder_does():
    model = SourceFree(*networks())
    rows, _ = clouds()
    before = values_of(model)
    model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    history = model.fit(rows, model.pseudo_labels(rows), epochs=2, verbose=0).history
    changed = moved(before, model)
    own = {weight.path for weight in model.head.weights}
    assert own and not changed & own
    assert changed == set(before) - own
    assert np.isfinite(history["loss"]).all()


def test_a_shifted_target_is_won_back_without_source_or_labels():
    encoder, head = trained()
    model = SourceFree(encoder, head)
    rows, labels = clouds(shift=3.5, seed=1)
    before = accuracy(model, rows, labels)
    model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    for _ in range(5):
        model.fit(rows, model.pseudo_labels(rows), batch_size=30, verbose=0)
    assert before < 0.8 < 0.95 < accuracy(model, rows, labels)


def test_prototypes_correct_answers_that_stand_alone():
    """Four rows to the east, four to the north; one of the east answered north."""
    east, north = np.array([[5.0, 0.0]] * 4), np.array([[0.0, 5.0]] * 4)
    logits = np.repeat([[2.0, 0.0, -9.0], [0.0, 2.0, -9.0]], 4, axis=0)
    logits[0] = [0.0, 0.5, -9.0]
    labels = prototype_labels(np.concatenate([east, north]), logits)
    np.testing.assert_array_equal(labels, [0] * 4 + [1] * 4)


def test_prototypes_by_hand():
    rng = np.random.default_rng(1)
    features, logits = rng.normal(size=(20, 3)), 2 * rng.normal(size=(20, 4))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rows = [np.append(f, 1) / np.linalg.norm(np.append(f, 1)) for f in features]

    def nearest(weights):
        means = [
            sum(w * row for w, row in zip(weights[:, k], rows, strict=True))
            / weights[:, k].sum()
            for k in range(4)
        ]
        cosines = [[r @ m / np.linalg.norm(m) for m in means] for r in rows]
        return np.argmax(cosines, axis=1)

    first = nearest(shares)
    assert set(first) == set(range(4))  # else a class of the second round is empty
    expected = nearest(np.eye(4)[first])
    np.testing.assert_array_equal(prototype_labels(features, logits), expected)


def test_a_class_without_a_row_drops_out():
    logits = np.zeros((6, 3))
    logits[:, 2] = -1000.0
    logits[:3, 0] = logits[3:, 1] = 1.0
    features = np.repeat([[1.0, 0.0], [-1.0, 0.0]], 3, axis=0)
    assert set(prototype_labels(features, logits)) == {0, 1}


def test_networks_that_do_not_fit_are_refused():
    encoder, _ = networks()
    with pytest.raises(ValueError, match="expected the same"):
        SourceFree(encoder, dense_network(5, (), 3))
