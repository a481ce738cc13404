"""The staged recipe: what moves, when it stops, and how it goes on after a kill."""

import json

import keras
import numpy as np
import pytest
from tiny import moved, tiny_backbone, tiny_images, values_of

from tl_helpers import augmentation
from tl_helpers.finetuning import (
    BlockRates,
    Stage,
    classifier,
    fine_tune,
    layer_rates,
    recipe,
    stages_of,
)

HEAD_ONLY = (Stage("head", 2, 0.01),)


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    return classifier(tiny_backbone(), 2)


def run(model, stages=HEAD_ONLY, **settings):
    images, judge = tiny_images(24, seed=0), tiny_images(8, seed=1)
    settings = {"batch_size": 8, "verbose": 0, **settings}
    return fine_tune(model, images, judge, stages, **settings)


def test_stages_of_names_head_last_block_and_everything(model):
    stages = stages_of(model, epochs=4, learning_rate=0.1)
    assert [stage.from_block for stage in stages] == ["head", "block2", "block1"]
    assert [stage.learning_rate for stage in stages] == pytest.approx([0.1, 0.01, 1e-3])


def test_fine_tune_moves_only_what_the_stage_names(model):
    before = values_of(model)
    histories = run(model, (*HEAD_ONLY, Stage("block2", 1, 0.01)))
    changed = {path.split("/")[0] for path in moved(before, model)}
    assert changed == {"head_logits", "block2_conv"}
    assert [len(history["val_loss"]) for history in histories] == [2, 1]


def test_fine_tune_learns(model):
    history = run(model, (Stage("block1", 20, 0.03),))[0]
    assert min(history["val_loss"]) < 0.75 * history["val_loss"][0]
    assert history["val_accuracy"][np.argmin(history["val_loss"])] > 0.9


def test_fine_tune_repeats_bit_for_bit():
    """One seed, one result: weights, order of images and dropout."""
    results = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        model = classifier(tiny_backbone(), 2, dropout=0.3)
        run(model, (Stage("block2", 2, 0.01),))
        results.append(model.get_weights())
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_fine_tune_stops_early_and_keeps_the_best_weights(model):
    """A rate this high makes things worse: the first epoch stays the best."""
    history = run(model, (Stage("block1", 30, 3.0),), optimizer=keras.optimizers.SGD)[0]
    best = int(np.argmin(history["val_loss"]))
    assert len(history["val_loss"]) == best + 1 + recipe.PATIENCE < 30
    judged = model.evaluate(tiny_images(8, seed=1).batches(8), verbose=0)[0]
    assert judged == pytest.approx(min(history["val_loss"]), rel=1e-5)


def test_fine_tune_says_where_the_loss_became_nan(model):
    before = values_of(model)
    model.penalty = lambda images: keras.ops.log(-keras.ops.mean(images))
    with pytest.raises(
        FloatingPointError, match="loss of nan in stage 'head', epoch 1, step 1"
    ):
        run(model)
    assert not moved(before, model)


def test_fine_tune_takes_an_optimizer_with_block_rates(model):
    rates = layer_rates(model, {"block2": 0.0})
    before = values_of(model)
    stages = (Stage("block1", 1, 0.01),)
    adam = keras.optimizers.Adam
    run(model, stages, optimizer=lambda rate: BlockRates(adam(rate), rates))
    changed = {path.split("/")[0] for path in moved(before, model)}
    assert changed == {"head_logits", "block1_conv"}


def test_fine_tune_takes_mixed_labels(model):
    mixup = augmentation.policy("mixup", tiny_images())
    history = run(model, (Stage("block1", 2, 0.03),), augment=mixup)[0]
    best = int(np.argmin(history["val_loss"]))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    judge = tiny_images(8, seed=1)
    by_hand = float(loss(judge.labels, model.predict(judge.pixels(), verbose=0)))
    assert history["val_loss"][best] == pytest.approx(by_hand, rel=1e-4)


class _Kill(keras.callbacks.Callback):
    """Stands for a kill: raises when a given epoch begins."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


def killed(model, monkeypatch, folder, stages, epoch, **others):
    """Run until the given epoch of the last stage, then die there."""
    fit = keras.Model.fit

    def fit_and_die(self, *arguments, callbacks, **settings):
        if settings["epochs"] == stages[-1].epochs:
            callbacks = [*callbacks, _Kill(epoch)]
        return fit(self, *arguments, callbacks=callbacks, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "fit", fit_and_die)
        with pytest.raises(KeyboardInterrupt):
            run(model, stages, folder=folder, **others)


TWO_STAGES = (Stage("head", 2, 0.01), Stage("block1", 4, 0.01))


def test_fine_tune_goes_on_after_a_kill(model, monkeypatch, tmp_path):
    killed(model, monkeypatch, tmp_path, TWO_STAGES, epoch=3)
    again = classifier(tiny_backbone(), 2)
    epochs = []
    spy = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda e, logs: epochs.append(e)
    )
    fit = keras.Model.fit
    monkeypatch.setattr(
        keras.Model,
        "fit",
        lambda self, *a, callbacks, **s: fit(
            self, *a, callbacks=[*callbacks, spy], **s
        ),
    )
    histories = run(again, TWO_STAGES, folder=tmp_path)
    assert epochs == [3]  # neither the first stage nor the first three epochs
    assert [len(history["loss"]) for history in histories] == [2, 4]


def test_early_stopping_remembers_the_best_epoch_over_a_kill(
    model, monkeypatch, tmp_path
):
    """Learning by SGD at rate 3 only gets worse: the best weights are from before."""
    stages = (Stage("block1", 30, 3.0),)
    sgd = {"optimizer": keras.optimizers.SGD}
    whole = run(model, stages, **sgd)[0]["val_loss"]
    kill_at = int(np.argmin(whole)) + 2
    keras.utils.set_random_seed(0)
    first = classifier(tiny_backbone(), 2)
    killed(first, monkeypatch, tmp_path, stages, kill_at, **sgd)
    again = classifier(tiny_backbone(), 2)
    resumed = run(again, stages, folder=tmp_path, **sgd)[0]["val_loss"]
    assert resumed[:kill_at] == pytest.approx(whole[:kill_at], rel=1e-5)
    judged = again.evaluate(tiny_images(8, seed=1).batches(8), verbose=0)[0]
    assert judged == pytest.approx(min(resumed), rel=1e-5)


@pytest.mark.parametrize("name", ["training_metadata.json", "latest.weights.h5"])
def test_fine_tune_drops_a_truncated_backup(model, monkeypatch, tmp_path, name):
    """Trap 29: Keras raises at the restart on half a file."""
    killed(model, monkeypatch, tmp_path, TWO_STAGES, epoch=2)
    path = tmp_path / "2_block1" / "backup" / name
    path.write_bytes(path.read_bytes()[:-10])
    again = classifier(tiny_backbone(), 2)
    histories = run(again, TWO_STAGES, folder=tmp_path)
    assert [len(history["loss"]) for history in histories] == [2, 4]


def test_fine_tune_run_again_returns_the_finished_result(model, tmp_path):
    histories = run(model, folder=tmp_path)
    again = classifier(tiny_backbone(), 2)
    assert run(again, folder=tmp_path) == histories
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_fine_tune_refuses_the_folder_of_another_training(model, tmp_path):
    run(model, folder=tmp_path)
    with pytest.raises(ValueError, match="holds a training with another stages"):
        run(model, (Stage("head", 3, 0.01),), folder=tmp_path)
    assert json.loads((tmp_path / "training.json").read_text())["seed"] == 0
