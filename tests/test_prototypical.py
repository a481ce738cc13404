"""Prototypical training: its batches, its loss and what it learns."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers
from scipy.special import log_softmax
from tiny import moved, tiny_images, values_of

from tl_helpers import fewshot
from tl_helpers.saving import load_model, save_model


def toy(num_rows=60):
    """Three classes in one of four features; the others are louder noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(num_rows) % 3
    values = rng.normal(size=(num_rows, 4)) * [0.3, 3, 3, 3]
    return values.astype("float32") + np.eye(4)[0] * labels[:, None], labels


def prototypical(num_ways=3, num_shots=2, **settings):
    keras.utils.set_random_seed(0)
    encoder = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, name="embedding", **settings)]
    )
    model = fewshot.PrototypicalNetwork(encoder, num_ways, num_shots)
    model.compile(keras.optimizers.Adam(0.03))
    return model


@pytest.fixture(scope="module")
def trained():
    """A model, its weights before 90 episodes in three epochs, and its history."""
    values, labels = toy()
    batches = fewshot.episode_batches(values, fewshot.episodes(labels, 3, 2, 5, 90))
    model = prototypical()
    before = values_of(model)
    history = model.fit(batches, epochs=3, steps_per_epoch=30, verbose=0).history
    return model, before, history


def test_episode_batches_put_support_before_queries():
    drawn = fewshot.episodes(np.arange(12) % 2, 2, 2, 3, 4)
    rows = np.arange(12)[:, None]
    batches = list(fewshot.episode_batches(rows, drawn).as_numpy_iterator())
    assert len(batches) == 4
    for i, (values, labels) in enumerate(batches):
        wanted = [*drawn.support[i].ravel(), *drawn.query[i].ravel()]
        assert values.dtype == np.float32
        assert values[:, 0].tolist() == wanted
        assert labels.tolist() == [0, 0, 1, 1, 0, 0, 0, 1, 1, 1]


def test_episode_batches_read_images():
    images = tiny_images(12)
    drawn = fewshot.episodes(images.labels, 2, 1, 2, 3)
    batches = fewshot.episode_batches(images.images, drawn)
    pixels, labels = next(batches.as_numpy_iterator())
    rows = [*drawn.support[0].ravel(), *drawn.query[0].ravel()]
    assert np.array_equal(pixels, images.pixels(rows))
    assert np.array_equal(drawn.classes[0][labels], images.labels[rows])


def test_prototypical_network_logs_the_loss_worked_out_by_hand():
    values, labels = toy()
    batches = fewshot.episode_batches(values, fewshot.episodes(labels, 3, 2, 5, 1))
    rows, ways = next(batches.as_numpy_iterator())
    model = prototypical()
    embedded = model.predict(rows, verbose=0)
    means = np.stack([embedded[[2 * way, 2 * way + 1]].mean(0) for way in range(3)])
    logits = -((embedded[6:, None] - means) ** 2).sum(-1)
    wanted = -log_softmax(logits, axis=1)[np.arange(15), ways[6:]].mean()
    logs = model.evaluate(batches, return_dict=True, verbose=0)
    assert logs["loss"] == pytest.approx(wanted, rel=1e-5)
    assert logs["accuracy"] == pytest.approx((logits.argmax(1) == ways[6:]).mean())
    logs = model.train_on_batch(rows, ways, return_dict=True)
    assert logs["loss"] == pytest.approx(wanted, rel=1e-5)


def test_prototypical_network_moves_the_encoder(trained):
    model, before, _ = trained
    assert len(before) == 2
    # a bias shifts queries and prototypes alike, hence has no gradient but rounding
    assert any("kernel" in path for path in moved(before, model))


def test_prototypical_network_learns(trained):
    *_, history = trained
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert history["accuracy"][-1] > history["accuracy"][0] + 0.1


def test_prototypical_network_helps_new_rows(trained):
    model, *_ = trained
    values, labels = toy(600)
    values, labels = values[60:], labels[60:]
    drawn = fewshot.episodes(labels, 3, 2, 5, 100)
    embedded = model.predict(values, verbose=0)
    before = fewshot.evaluate_episodes(values, drawn, fewshot.prototypes)
    after = fewshot.evaluate_episodes(embedded, drawn, fewshot.prototypes)
    assert after.low > before.high


def test_prototypical_network_reloads_with_equal_embeddings(trained, tmp_path):
    model, *_ = trained
    values, _ = toy()
    again = load_model(save_model(model, tmp_path / "network.keras"))
    assert (again.num_ways, again.num_shots) == (3, 2)
    assert np.array_equal(
        again.predict(values, verbose=0), model.predict(values, verbose=0)
    )


def test_prototypical_network_embeds_in_float32():
    model = prototypical(dtype="mixed_float16")
    assert model.predict(toy()[0], verbose=0).dtype == np.float32


def test_prototypical_network_refuses_unbuilt_and_spatial_encoders():
    for encoder in (
        keras.Sequential([layers.Dense(2)], name="odd"),
        keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3)], name="odd"),
    ):
        with pytest.raises(ValueError, match="encoder 'odd' that is not built or"):
            fewshot.PrototypicalNetwork(encoder, 2, 1)


def test_prototypical_network_refuses_replicas(monkeypatch):
    """Each would take the first rows of its own part for the support."""
    two = SimpleNamespace(num_replicas_in_sync=2)
    network = fewshot.PrototypicalNetwork
    monkeypatch.setattr(network, "distribute_strategy", two, raising=False)
    with pytest.raises(ValueError, match="Got 2 replicas, expected one"):
        prototypical()
