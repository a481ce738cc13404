"""`fine_tune`: head, last block, everything; stops, resumes and says what is wrong."""

import math
from typing import NamedTuple

import keras
import numpy as np

from tl_helpers import augmentation
from tl_helpers.finetuning.classifier import HEAD, thaw
from tl_helpers.saving import read_variables, set_variables
from tl_helpers.storage import Kept
from tl_helpers.training import warmup_cosine

PATIENCE = 3  # epochs without a better validation loss
MEMORY = ("wait", "best", "best_epoch")  # of early stopping


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
        folder: where to keep every epoch, so that the same call goes on after a kill
            and ends as if there had been none; None keeps nothing.
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
    knobs = {"batch_size": batch_size, "seed": seed}
    identity = _describe(model, train, validation, stages, optimizer) | knobs
    kept = Kept(folder, identity)
    orders = _Orders(len(train), seed)
    batches = train.batches(batch_size, shuffle=orders, augment=augment)
    is_mixed = len(batches.element_spec[1].shape) == 2
    rows = augmentation.policy("one_hot", validation) if is_mixed else None
    held_out = validation.batches(batch_size, augment=rows)
    num_steps = math.ceil(len(train) / batch_size)
    histories = []
    for number, stage in enumerate(stages, start=1):
        thaw(model, stage.from_block)
        rates = warmup_cosine(stage.learning_rate, stage.epochs * num_steps)
        _compile(model, optimizer(rates), is_mixed)
        progress = _Progress(kept, (number, stage.from_block), orders, augment)
        _fit(model, batches, held_out, stage, progress, verbose)
        histories.append(progress.history)
    return histories


def _compile(model, optimizer, is_mixed):
    """Compile for labels as numbers, or as rows where images are mixed."""
    kind = "CategoricalCrossentropy" if is_mixed else "SparseCategoricalCrossentropy"
    loss = getattr(keras.losses, kind)(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])


def _fit(model, batches, validation, stage, progress, verbose):
    """Carry out a stage, or what a kill left of it."""
    if progress.is_finished:
        progress.restore(model)
        return
    start = model.get_weights()
    try:
        model.fit(
            batches,
            validation_data=validation,
            initial_epoch=progress.num_epochs,
            epochs=progress.num_epochs if progress.has_stopped else stage.epochs,
            callbacks=[progress, _StopOnNaN(stage)],
            verbose=verbose,
        )
    except FloatingPointError:
        model.set_weights(start)
        raise
    progress.finish(model)


class _Orders:
    """Random orders of the images, which follow from seed, stage and epoch alone."""

    def __init__(self, num_images, seed):
        self.num_images, self.seed = num_images, seed
        self.turn = (0, 0)  # stage and epoch

    def __call__(self):
        """Return the order of this turn, int64 (num_images,)."""
        return np.random.default_rng((self.seed, *self.turn)).permutation(
            self.num_images
        )


class _Progress(keras.callbacks.EarlyStopping):
    """Keras's early stopping, which goes on after a kill as if there had been none.

    At every epoch's end it keeps all that the rest of the training depends on, in one
    file: weights, the optimizer's variables, the random state of the model's layers
    and of an `augmentation.Policy`, the history, and early stopping's memory with the
    best weights.
    """

    def __init__(self, kept, key, orders, augment):
        super().__init__(patience=PATIENCE, restore_best_weights=True)
        self.kept, self.key, self.orders = kept, key, orders
        self.random = list(getattr(augment, "variables", ()))
        self.before = read_variables(self.random)
        self.found = kept.get(key) or {"history": {}}
        self.history = self.found["history"]
        self.num_epochs = len(self.history.get("loss", ()))  # that are over
        self.has_stopped = self.found.get("has_stopped", False)  # early
        self.is_finished = self.found.get("is_finished", False)

    def restore(self, model):
        """Set the model, its optimizer and the policy to where the stage was."""
        sources = [*model.variables, *self.random]
        if not self.is_finished:
            model.optimizer.build(model.trainable_variables)
            sources += model.optimizer.variables
        set_variables(sources, self.found["state"])

    def finish(self, model):
        """Keep the stage's result."""
        state = read_variables([*model.variables, *self.random])
        self._put({"is_finished": True}, state=state)

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        if self.num_epochs:
            self.restore(self.model)
            self.best_weights = self.found["best_weights"]
            for name in MEMORY:
                setattr(self, name, self.found[name])
        else:  # Keras has drawn a first batch by now, only to look at it
            set_variables(self.random, self.before)

    def on_epoch_begin(self, epoch, logs=None):
        self.orders.turn = (self.key[0], epoch)

    def on_epoch_end(self, epoch, logs=None):
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))
        super().on_epoch_end(epoch, logs)
        if self.kept.folder is None:
            return
        optimizer = self.model.optimizer.variables
        state = read_variables([*self.model.variables, *self.random, *optimizer])
        memory = {name: getattr(self, name) for name in MEMORY}
        memory |= {"best": float(self.best), "has_stopped": self.model.stop_training}
        self._put(memory, state=state, best_weights=self.best_weights)

    def _put(self, content, **arrays):
        self.kept.put(self.key, {"history": self.history, **content}, **arrays)


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
    described = keras.saving.serialize_keras_object(optimizer(0.001))
    described["config"].pop("name")  # Keras counts its objects
    return {
        "train": train.fingerprint,
        "validation": validation.fingerprint,
        "weights": [list(weight.shape) for weight in model.weights],
        "stages": [list(stage) for stage in stages],
        "optimizer": described,
    }
