"""The staged recipe: what moves, when it stops, and how it goes on after a kill."""

import signal
import subprocess
import sys
from dataclasses import replace

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
    images, validation = tiny_images(24, seed=0), tiny_images(8, seed=1)
    settings = {"batch_size": 8, "verbose": 0, **settings}
    return fine_tune(model, images, validation, stages, **settings)


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
    train, validation = tiny_images(96, seed=0), tiny_images(24, seed=1)
    stages = (Stage("block1", 12, 0.01),)
    history = fine_tune(model, train, validation, stages, batch_size=8, verbose=0)[0]
    assert min(history["val_loss"]) < 0.5 * history["val_loss"][0]
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
    evaluated = model.evaluate(tiny_images(8, seed=1).batches(8), verbose=0)[0]
    assert evaluated == pytest.approx(min(history["val_loss"]), rel=1e-5)


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
    held_out = tiny_images(8, seed=1)
    by_hand = float(loss(held_out.labels, model.predict(held_out.pixels(), verbose=0)))
    assert history["val_loss"][best] == pytest.approx(by_hand, rel=1e-4)


class _Kill(keras.callbacks.Callback):
    """Stands for a kill: raises behind a given step of a given epoch."""

    def __init__(self, epoch, step):
        super().__init__()
        self.moment = (epoch, step)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.moment:
            raise KeyboardInterrupt


def killed(monkeypatch, folder, stages, stage, epoch, step=0, **others):
    """Run until a step of the stage of that number, counted from 1, then die there."""
    fit, calls = keras.Model.fit, []

    def fit_and_die(self, *arguments, callbacks, **settings):
        calls.append(self)
        kill = [_Kill(epoch, step)] if len(calls) == stage else []
        return fit(self, *arguments, callbacks=[*callbacks, *kill], **settings)

    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "fit", fit_and_die)
        model = lively()
        before = values_of(model)
        with pytest.raises(KeyboardInterrupt):
            run(model, stages, folder=folder, **others)
        assert not moved(before, model)  # the same call may come again


def lively(dropout=0.3):
    """A model with random numbers of its own, in its weights and in its dropout."""
    keras.utils.set_random_seed(3)
    return classifier(tiny_backbone(), 2, dropout=dropout)


STAGES = (Stage("head", 2, 0.01), Stage("block2", 4, 0.01), Stage("block1", 2, 0.01))


def assert_same_training(one, other):
    """Compare (histories, weights) to the last bit."""
    assert one[0] == other[0]
    for left, right in zip(one[1], other[1], strict=True):
        np.testing.assert_array_equal(left, right)


def flips():
    return augmentation.policy("flip_crop", 2, seed=1)


def whole(stages=STAGES, **settings):
    """Train with dropout and random flips; return (histories, weights)."""
    model = lively()
    histories = run(model, stages, augment=flips(), **settings)
    return histories, model.get_weights()


@pytest.fixture(scope="module")
def without():
    """The training that nothing disturbed, and nothing kept."""
    return whole()


MOMENTS = [(2, 2, 1), (3, 1, 0), (1, 0, 0), (2, 0, 0)]  # stage, epoch, step
OTHERS = [pytest.param(x, marks=pytest.mark.slow) for x in MOMENTS[1:]]


@pytest.mark.parametrize("moment", [MOMENTS[0], *OTHERS])
def test_fine_tune_after_a_kill_ends_as_without(monkeypatch, tmp_path, moment, without):
    killed(monkeypatch, tmp_path, STAGES, *moment, augment=flips())
    fit, begun = keras.Model.fit, []

    def spy(self, *arguments, **settings):
        begun.append(settings["initial_epoch"])
        return fit(self, *arguments, **settings)

    monkeypatch.setattr(keras.Model, "fit", spy)
    assert_same_training(whole(folder=tmp_path), without)
    assert begun == [moment[1], *[0] * (len(STAGES) - moment[0])]  # nothing twice


STEEP = (Stage("block1", 30, 3.0),)  # by SGD it only gets worse
SGD = {"optimizer": keras.optimizers.SGD}


@pytest.fixture(scope="module")
def steep():
    """A training whose best weights are long past when it stops."""
    histories, weights = whole(STEEP, **SGD)
    assert len(histories[0]["loss"]) < 30
    return histories, weights


def test_early_stopping_remembers_the_best_epoch(monkeypatch, tmp_path, steep):
    kill_at = int(np.argmin(steep[0][0]["val_loss"])) + 2
    killed(monkeypatch, tmp_path, STEEP, 1, kill_at, augment=flips(), **SGD)
    assert_same_training(whole(STEEP, folder=tmp_path, **SGD), steep)


def test_fine_tune_that_had_stopped_does_not_go_on(monkeypatch, tmp_path, steep):
    """A kill may fall between the epoch that stops a stage and the stage's end."""

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(keras.callbacks.EarlyStopping, "on_train_end", die)
        whole(STEEP, folder=tmp_path, **SGD)
    assert_same_training(whole(STEEP, folder=tmp_path, **SGD), steep)


def test_fine_tune_begins_a_damaged_stage_anew(monkeypatch, tmp_path, without):
    killed(monkeypatch, tmp_path, STAGES, 2, epoch=2, augment=flips())
    (path,) = tmp_path.glob("2_block2-*")
    path.write_bytes(path.read_bytes()[:-10])
    assert_same_training(whole(folder=tmp_path), without)


def test_fine_tune_run_again_returns_the_finished_result(monkeypatch, tmp_path):
    first = whole(folder=tmp_path)
    monkeypatch.setattr(keras.Model, "fit", None)
    assert_same_training(whole(folder=tmp_path), first)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """The folder of a training that was broken off before its first step."""
    folder = tmp_path_factory.mktemp("begun")

    def stop(*_, **__):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(keras.Model, "fit", stop)
        run(lively(), folder=folder, augment=flips(), class_weight={0: 1, 1: 2})
    return folder


def drawn_from(policy):
    """Return the policy after a first batch."""
    policy(tiny_images().pixels())
    return policy


def biased(model):
    """Return the model with another bias in its head."""
    model.get_layer("head_logits").bias.assign([0.5, 0.0])
    return model


ADAM = keras.optimizers.Adam


@pytest.mark.parametrize(
    ("named", "change"),
    [
        ("start weights", {"model": lambda: biased(lively())}),
        ("model", {"model": lambda: tied(keras.regularizers.L2(0.1))}),
        ("model", {"model": lambda: lively(dropout=0.4)}),
        ("augment", {"augment": lambda: augmentation.policy("flip_crop", 2, seed=2)}),
        ("augment", {"augment": lambda: augmentation.policy("colour", 2, seed=1)}),
        ("augment", {"augment": lambda: drawn_from(flips())}),
        ("augment", {"augment": None}),
        ("class_weight", {"class_weight": None}),
        ("class_weight", {"class_weight": "balanced"}),
        ("optimizer", {"optimizer": lambda rate: ADAM(rate, weight_decay=0.1)}),
        ("optimizer", {"optimizer": lambda rate: ADAM(0.01)}),
        ("stages, optimizer", {"stages": (Stage("head", 3, 0.01),)}),
        ("seed", {"seed": 1}),
        ("optimizer, batch_size", {"batch_size": 12}),
    ],
)
def test_fine_tune_refuses_the_folder_of_another_training(begun, named, change):
    def begin(model=lively, augment=flips, **settings):
        settings = {"class_weight": {0: 1, 1: 2}} | settings
        run(model(), folder=begun, augment=augment and augment(), **settings)

    with pytest.raises(ValueError, match=f"holds work with another {named}, expected"):
        begin(**change)


def tied(regularizer):
    """A model of the same start weights with another loss."""
    model = lively()
    model.get_layer("block1_conv").kernel_regularizer = regularizer
    return model


class OwnAdam(keras.optimizers.Adam):
    """Adam, whatever somebody made of it."""


def punished(model):
    model.penalty = keras.ops.mean
    return model


@pytest.mark.parametrize(
    ("named", "settings"),
    [
        ("a penalty together with a folder", {"model": lambda: punished(lively())}),
        ("no policy together with a folder", {"augment": lambda *batch: batch}),
        ("callbacks together with a folder", {"callbacks": [_Kill(0, 0)]}),
        ("OwnAdam of test_recipe, whose code no", {"optimizer": OwnAdam}),
    ],
)
def test_fine_tune_keeps_nothing_that_it_could_not_tell_apart(
    tmp_path, named, settings
):
    model = settings.pop("model", lively)()
    with pytest.raises(ValueError, match=f"{named}.*; give folder=None"):
        run(model, folder=tmp_path, **settings)
    assert not list(tmp_path.iterdir())


def test_fine_tune_weighs_classes_and_calls_back(model):
    """By a rate of nearly 0: the loss is the start's, weighted by hand."""
    images, calls = tiny_images(24), []
    count = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: calls.append(1))
    logits = keras.ops.convert_to_tensor(model.predict(images.pixels(), verbose=0))
    losses = keras.losses.sparse_categorical_crossentropy(images.labels, logits, True)
    by_hand = np.mean(np.where(images.labels == 1, 3, 0.5) * losses)
    history = fine_tune(
        model,
        images,
        tiny_images(8),
        [Stage("head", 2, 1e-9)],
        class_weight={0: 0.5, 1: 3},
        callbacks=[count],
        batch_size=24,
        verbose=0,
    )
    assert history[0]["loss"][0] == pytest.approx(by_hand, rel=1e-4)
    assert len(calls) == 2


def renamed(images, names):
    return replace(images, class_names=names)


@pytest.mark.parametrize(
    ("sentence", "change"),
    [
        ("model of type Functional, expected Classifier", {"model": "plain"}),
        ("train of type tuple, expected ImageSet", {"train": (np.ones(3), [0, 1, 1])}),
        ("train of type ndarray, expected ImageSet", {"train": np.ones((3, 8, 8, 3))}),
        ("validation of type _", {"validation": tiny_images(8).batches(4)}),
        ("no images for validation", {"validation": tiny_images(8)[:0]}),
        ("no images for train", {"train": tiny_images(8)[:0]}),
        (r"give train.resized\(8\)", {"train": tiny_images(8).resized(16)}),
        (
            "Got 'bright' for class 0 in validation",
            {"validation": renamed(tiny_images(8), ("bright", "dark"))},
        ),
        (
            r"head for 2 classes, expected 3 as in train; .* classifier\(backbone, 3\)",
            dict.fromkeys(
                ("train", "validation"), renamed(tiny_images(8), ("a", "b", "c"))
            ),
        ),
        ("optimizer 'adam', expected a function", {"optimizer": "adam"}),
        ("expected a function that takes a", {"optimizer": ADAM(0.1)}),
        ("expected a list of at least one Stage", {"stages": []}),
        ("expected a list of at least one Stage", {"stages": Stage("head", 1, 0.1)}),
        ("expected a list of at least one Stage", {"stages": [("head", 1, 0.1)]}),
        ("expected one of block1, block2, head", {"stages": [Stage("top", 1, 0.1)]}),
        ("epochs=0, expected a whole number from 1", {"stages": [Stage("head", 0, 1)]}),
        ("learning_rate=-1, expected a finite", {"stages": [Stage("head", 1, -1)]}),
        ("batch_size=0, expected a whole", {"batch_size": 0}),
        ("seed=-1, expected a whole", {"seed": -1}),
        ("each of the classes .0, 1.; name all", {"class_weight": {0: 2.0}}),
        ("class_weight='rare', expected 'balanced'", {"class_weight": "rare"}),
        ("expected a list of Keras callbacks", {"callbacks": _Kill(0, 0)}),
        ("expected a list of Keras callbacks", {"callbacks": ["checkpoint"]}),
    ],
)
def test_fine_tune_says_what_it_wants(model, sentence, change):
    if change.get("model") == "plain":
        change = {"model": tiny_backbone().network}
    given = {"train": tiny_images(), "validation": tiny_images(8), "stages": HEAD_ONLY}
    with pytest.raises(ValueError, match=sentence):
        fine_tune(**{"model": model} | given | change)


def test_fine_tune_weighs_no_blended_classes(model):
    mixup = augmentation.policy("mixup", 2)
    with pytest.raises(ValueError, match="leave out mixup and cutmix, or class_weight"):
        run(model, augment=mixup, class_weight="balanced")


REAL_KILL = """
import os, signal, sys
sys.path[:0] = {path}
import keras, numpy as np
from tl_helpers import profiles
from tl_helpers.finetuning import recipe
profiles.start()
from test_recipe import whole
folder, result, moment = sys.argv[1:]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class Death(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        if f"stage {{self.stage}}, epoch {{epoch}} begins" == moment:
            die()

    def on_train_batch_end(self, batch, logs=None):
        if f"stage {{self.stage}}, epoch {{self.epoch}}, step {{batch}}" == moment:
            die()

fit, thaw, savez = keras.Model.fit, recipe.thaw, np.savez

def fit_with_death(self, *arguments, callbacks, **settings):
    death = Death()
    death.stage = callbacks[0].key[0]
    return fit(self, *arguments, callbacks=[*callbacks, death], **settings)

def thaw_with_death(model, block):
    if f"before stage {{block}}" == moment:
        die()
    thaw(model, block)

def save_half(path, **arrays):
    savez(path, **arrays)
    if moment == "half a file":
        os.truncate(path, 1000)
        die()

keras.Model.fit, recipe.thaw, np.savez = fit_with_death, thaw_with_death, save_half
histories, weights = whole(folder=folder)
savez(result, *weights)
np.save(result + ".npy", histories)
"""


@pytest.mark.slow
def test_fine_tune_survives_real_kills(tmp_path):
    """One training, killed at every kind of moment one after another."""

    def start(moment, folder="kept", result="result.npz"):
        code = REAL_KILL.format(path=repr(sys.path))
        paths = [str(tmp_path / name) for name in (folder, result)]
        return subprocess.run([sys.executable, "-c", code, *paths, moment]).returncode

    moments = [
        "stage 1, epoch 0, step 1",
        "half a file",
        "before stage block2",
        "stage 2, epoch 1 begins",
        "half a file",
        "stage 2, epoch 2, step 2",
        f"stage 2, epoch {STAGES[1].epochs - 1} begins",
        "before stage block1",
        "stage 3, epoch 1, step 0",
    ]
    for moment in moments:
        assert start(moment) == -signal.SIGKILL, moment
    assert not (tmp_path / "result.npz").exists()
    assert start("never") == start("never", "other", "whole.npz") == 0
    assert not list((tmp_path / "kept").glob(".*"))  # of the half files
    files = ("result.npz", "whole.npz")
    with np.load(tmp_path / files[0]) as one, np.load(tmp_path / files[1]) as two:
        weights = [[x[name] for name in one.files] for x in (one, two)]
    histories = [np.load(tmp_path / f"{x}.npy", allow_pickle=True) for x in files]
    histories = [stored.tolist() for stored in histories]
    assert_same_training(*zip(histories, weights, strict=True))
