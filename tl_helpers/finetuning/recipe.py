"""`fine_tune`: head, last block, everything; stops, resumes and says what is wrong."""

import json
import math
import shutil
from pathlib import Path
from typing import NamedTuple

import h5py
import keras
import numpy as np

from tl_helpers import augmentation, saving
from tl_helpers.finetuning.classifier import HEAD, thaw
from tl_helpers.storage import whole_or_nothing
from tl_helpers.training import warmup_cosine

PATIENCE = 3  # epochs without a better validation loss


class Stage(NamedTuple):
    """One stage of fine-tuning.

    Attributes:
        from_block: the first block that learns; "head" for the head alone.
        epochs: at most this many, int >= 1.
        learning_rate: the highest, reached after the warm-up, > 0.
    """

    from_block: str
    epochs: int
    learning_rate: float


def stages_of(model, epochs=10, learning_rate=1e-3):
    """Write the usual plan: head, then the last block, then everything.

    Args:
        model: Classifier.
        epochs: int >= 1, at most, for every stage.
        learning_rate: of the head alone; every later stage gets a tenth of the one
            before.

    Returns:
        tuple of Stage.
    """
    blocks = tuple(model.block_layers)
    starts = (HEAD, blocks[-1], blocks[0])
    return tuple(
        Stage(block, epochs, learning_rate / 10**i) for i, block in enumerate(starts)
    )


def fine_tune(
    model,
    train,
    validation,
    stages=None,
    *,
    optimizer=keras.optimizers.Adam,
    batch_size=32,
    augment=None,
    folder=None,
    seed=0,
    verbose="auto",
):
    """Fine-tune in stages, each with warm-up, cosine decay and early stopping.

    Every stage thaws its blocks (BatchNormalization stays frozen), compiles, fits
    until the validation loss has not fallen for three epochs, and goes on from the
    best epoch's weights.

    Args:
        model: Classifier; changed in place.
        train: ImageSet.
        validation: ImageSet of other images, which choose the epoch.
        stages: tuple of Stage; None for `stages_of(model)`.
        optimizer: callable that takes a learning rate or schedule and returns a
            Keras optimizer, as `lambda rate: BlockRates(Adam(rate), rates)`.
        batch_size: int >= 1.
        augment: as in `ImageSet.batches`, for example an `augmentation.policy`.
        folder: where to keep checkpoints, so that the same call goes on after a kill;
            None keeps nothing.
        seed: int, the order of the images.
        verbose: as in `keras.Model.fit`.

    Returns:
        list with one history a stage: {"loss": [...], "val_loss": [...], ...}.

    Raises:
        FloatingPointError: the loss is not a number any more; the model then has
            the weights it had before that stage.
        ValueError: the folder holds another training.
    """
    stages = stages or stages_of(model)
    folder = Path(folder) if folder is not None else None
    if folder is not None:
        own = _describe(model, train, validation, stages, optimizer)
        _claim(folder, {**own, "batch_size": batch_size, "seed": seed})
    batches = train.batches(batch_size, shuffle=True, seed=seed, augment=augment)
    is_mixed = len(batches.element_spec[1].shape) == 2
    rows = augmentation.policy("one_hot", validation) if is_mixed else None
    judge = validation.batches(batch_size, augment=rows)
    num_steps = math.ceil(len(train) / batch_size)
    histories = []
    for i, stage in enumerate(stages):
        place = None if folder is None else folder / f"{i + 1}_{stage.from_block}"
        thaw(model, stage.from_block)
        _compile(
            model,
            optimizer(warmup_cosine(stage.learning_rate, stage.epochs * num_steps)),
            is_mixed,
        )
        history = _finished(model, place)
        if history is None:
            history = _fit(model, batches, judge, stage, place, verbose)
            _finish(model, place, history)
        histories.append(history)
    return histories


def _compile(model, optimizer, is_mixed):
    """Compile for labels as numbers, or as rows where images are mixed."""
    kind = "CategoricalCrossentropy" if is_mixed else "SparseCategoricalCrossentropy"
    loss = getattr(keras.losses, kind)(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])


def _fit(model, batches, judge, stage, place, verbose):
    stopping = _EarlyStopping(place)
    callbacks = [stopping, _StopOnNaN(stage)]
    if place is not None:
        _drop_broken_backup(place)
        callbacks.append(keras.callbacks.BackupAndRestore(place / "backup"))
    start = model.get_weights()
    try:
        model.fit(
            batches,
            validation_data=judge,
            epochs=stage.epochs,
            callbacks=callbacks,
            verbose=verbose,
        )
    except FloatingPointError:
        model.set_weights(start)
        raise
    return stopping.history


class _EarlyStopping(keras.callbacks.EarlyStopping):
    """Keras's early stopping, which remembers its best epoch over a kill.

    `BackupAndRestore` restores the weights and the epoch's number, and neither the
    history nor what other callbacks know.
    """

    def __init__(self, place):
        super().__init__(patience=PATIENCE, restore_best_weights=True)
        self.place = place
        self.history = {}

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        state = _read_json(self.place and self.place / "stopping.json")
        if state is None:
            return
        with np.load(self.place / "best.npz", allow_pickle=False) as arrays:
            self.best_weights = [arrays[name] for name in arrays.files]
        self.best, self.wait = state["best"], state["wait"]
        self.best_epoch, self.history = state["best_epoch"], state["history"]

    def on_epoch_end(self, epoch, logs=None):
        for name, value in logs.items():  # an epoch that is repeated counts once
            self.history[name] = [*self.history.get(name, [])[:epoch], float(value)]
        super().on_epoch_end(epoch, logs)
        if self.place is None:
            return
        if self.best_epoch == epoch:
            with whole_or_nothing(self.place / "best.npz") as path:
                with path.open("wb") as file:
                    np.savez(file, *self.best_weights)
        state = {name: getattr(self, name) for name in ("wait", "best_epoch")}
        state |= {"best": float(self.best), "history": self.history}
        _write_json(self.place / "stopping.json", state)


class _StopOnNaN(keras.callbacks.Callback):
    """Stop at once, and say where, when the loss is not a number."""

    def __init__(self, stage):
        super().__init__()
        self.stage = stage
        self.epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"Got a loss of {loss} in stage {self.stage.from_block!r}, epoch "
                f"{self.epoch + 1}, step {batch + 1}, expected a number; lower the "
                f"learning rate ({self.stage.learning_rate:g}) or look for images "
                "outside [0, 255]."
            )


def _describe(model, train, validation, stages, optimizer):
    """Return what must be the same when a training goes on."""
    return {
        "train": train.fingerprint,
        "validation": validation.fingerprint,
        "weights": [list(weight.shape) for weight in model.weights],
        "stages": [list(stage) for stage in stages],
        "optimizer": keras.saving.serialize_keras_object(optimizer(0.001)),
    }


def _claim(folder, own):
    """Mark a new folder as this training's, or find that it is."""
    own = json.loads(json.dumps(own))  # as it will be read again
    own["optimizer"]["config"].pop("name")  # Keras counts its objects
    found = _read_json(folder / "training.json")
    if found is None:
        _write_json(folder / "training.json", own)
    elif found != own:
        changed = ", ".join(name for name in own if own[name] != found.get(name))
        raise ValueError(
            f"Got {folder}, which holds a training with another {changed}, expected "
            "this one or an empty folder; give another folder."
        )


def _finished(model, place):
    """Take the weights of a stage that was finished before; return its history."""
    history = _read_json(place and place / "history.json")
    if history is not None:
        model.set_weights(saving.load_model(place / "model.keras").get_weights())
    return history


def _finish(model, place, history):
    """Keep a stage's result; the history comes last and says that all is there."""
    if place is None:
        return
    saving.save_model(model, place / "model.keras")
    _write_json(place / "history.json", history)
    for name in ("best.npz", "stopping.json"):
        (place / name).unlink(missing_ok=True)


def _drop_broken_backup(place):
    """Begin a stage anew where a kill cut its backup short; Keras would fail on it."""
    backup = place / "backup"
    try:
        json.loads((backup / "training_metadata.json").read_text())
        with h5py.File(backup / "latest.weights.h5"):
            return
    except (OSError, ValueError):
        shutil.rmtree(place, ignore_errors=True)


def _read_json(path):
    """Return what a JSON file holds, or None where there is none."""
    return json.loads(path.read_text()) if path and path.exists() else None


def _write_json(path, content):
    with whole_or_nothing(path) as half_made:
        half_made.write_text(json.dumps(content))
