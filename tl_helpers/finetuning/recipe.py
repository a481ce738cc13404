"""`fine_tune`: head, last block, everything; stops, resumes and says what is wrong."""

import hashlib
import json
import math
import os
from typing import NamedTuple

import keras
import numpy as np

from tl_helpers import augmentation
from tl_helpers.datasets import ImageSet
from tl_helpers.finetuning.classifier import HEAD, Classifier, thaw
from tl_helpers.inputs import (
    check_choice,
    check_class_weight,
    check_kind,
    check_positive,
    check_same_classes,
    check_whole,
    shown,
)
from tl_helpers.saving import read_variables, set_variables
from tl_helpers.storage import Kept, describe, hash_arrays
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
        learning_rate: of the head alone, > 0; every later stage gets a tenth of the
            one before.

    Returns:
        tuple of Stage.

    Raises:
        ValueError: an argument of another kind or range.
    """
    check_kind(Classifier, model=model)
    check_whole(1, epochs=epochs)
    check_positive(learning_rate=learning_rate)
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
    class_weight=None,
    callbacks=(),
    folder=None,
    seed=0,
    verbose="auto",
):
    """Fine-tune in stages, each with warm-up, cosine decay and early stopping.

    Every stage thaws its blocks (BatchNormalization stays frozen), compiles, fits
    until the validation loss has not fallen for three epochs, and goes on from the
    best epoch's weights.

    With a folder the same call, on a model built and seeded as before, goes on after
    a kill and ends as if there had been none, bit for bit. It keeps for every stage,
    at every epoch's end: weights and statistics of the model, the variables of the
    optimizer (its step too), the random state of dropout and of the augmentation, the
    history, and early stopping's memory with the best weights. The order of the images
    follows from seed, stage and epoch.

    Args:
        model: Classifier; changed in place. Where a call with a folder is broken off,
            it is set back to what it was, so that the same call goes on.
        train: ImageSet.
        validation: ImageSet of other images, which choose the epoch.
        stages: list of Stage; None for `stages_of(model)`.
        optimizer: callable that takes a learning rate or schedule and returns a
            Keras optimizer, as `lambda rate: BlockRates(Adam(rate), rates)`.
        batch_size: int >= 1.
        augment: as in `ImageSet.batches`; with a folder an `augmentation.policy`.
        class_weight: what a mistake in each class counts in training: {class number:
            float > 0}, or "balanced", which gives every class the same say however
            rare it is; None counts every image alike.
        callbacks: list of Keras callbacks, for every stage; not with a folder.
        folder: where to keep every epoch; None keeps nothing.
        seed: int >= 0, the order of the images.
        verbose: as in `keras.Model.fit`.

    Returns:
        list with one history a stage: {"loss": [...], "val_loss": [...], ...}.

    Raises:
        FloatingPointError: the loss is not a number any more; the model then has
            the weights it had before that stage.
        ValueError: arguments that do not fit each other; the folder of another
            training; or, with a folder, functions or classes of one's own, which no
            folder can tell from others.
    """
    check_kind(Classifier, model=model)
    check_kind(ImageSet, train=train, validation=validation)
    check_kind(str, os.PathLike, type(None), folder=folder)
    check_whole(1, batch_size=batch_size)
    check_whole(seed=seed)
    _check_images(model, train, validation)
    _check_callbacks(callbacks)
    stages = _check_stages(model, stages_of(model) if stages is None else stages)
    weights = check_class_weight(class_weight, train.labels)
    num_steps = math.ceil(len(train) / batch_size)
    optimizers = [_optimizer(optimizer, stage, num_steps) for stage in stages]
    knobs = {"batch_size": int(batch_size), "seed": int(seed), "class_weight": weights}
    work = model, train, validation, stages, optimizers, augment, callbacks
    kept = Kept(folder, None if folder is None else _describe(*work) | knobs)

    orders = _Orders(len(train), seed)
    batches = train.batches(batch_size, shuffle=orders, augment=augment)
    is_mixed = len(batches.element_spec[1].shape) == 2
    if weights and is_mixed and getattr(augment, "is_mixing", True):
        raise ValueError(
            "Got class_weight for images that blend several classes, expected images "
            "of one class each; leave out mixup and cutmix, or class_weight."
        )
    rows = augmentation.policy("one_hot", validation) if is_mixed else None
    held_out = validation.batches(batch_size, augment=rows)
    variables = [*model.variables, *getattr(augment, "variables", ())]
    start = read_variables(variables)
    histories = []
    try:
        for number, stage in enumerate(stages, start=1):
            thaw(model, stage.from_block)
            _compile(model, optimizers[number - 1], is_mixed)
            progress = _Progress(kept, (number, stage.from_block), orders, augment)
            each = {"callbacks": callbacks, "class_weight": weights, "verbose": verbose}
            _fit(model, batches, held_out, stage, progress, **each)
            histories.append(progress.history)
    except BaseException:
        if folder is not None:
            set_variables(variables, start)
        raise
    return histories


def _check_images(model, train, validation):
    """Refuse images that the model cannot take or be judged by."""
    names = {"train": train, "validation": validation}
    for name, images in names.items():
        if not len(images):
            raise ValueError(
                f"Got no images for {name}, expected at least one; datasets.split "
                "divides one set into both."
            )
        size, wanted = images.images.shape[1:], model.input_shape[1:]
        if any(want not in (None, got) for got, want in zip(size, wanted, strict=True)):
            raise ValueError(
                f"Got {name} images of shape {size}, expected {wanted} by the model; "
                f"give {name}.resized({wanted[0]})."
            )
    check_same_classes(train, validation, ("train", "validation"))
    if model.output_shape[-1] != len(train.class_names):
        raise ValueError(
            f"Got a model with a head for {model.output_shape[-1]} classes, expected "
            f"{len(train.class_names)} as in train; build it with "
            f"classifier(backbone, {len(train.class_names)})."
        )


def _check_callbacks(callbacks):
    is_list = isinstance(callbacks, list | tuple)
    kind = keras.callbacks.Callback
    if not is_list or not all(isinstance(one, kind) for one in callbacks):
        raise ValueError(
            f"Got {shown('callbacks', callbacks)}, expected a list of Keras "
            "callbacks; put brackets around a single one."
        )


def _check_stages(model, stages):
    """Return the stages as a tuple, or say what is wrong with one."""
    is_list = isinstance(stages, list | tuple) and not isinstance(stages, Stage)
    if not is_list or not stages or not all(isinstance(x, Stage) for x in stages):
        raise ValueError(
            f"Got {shown('stages', stages)}, expected a list of at least one Stage; "
            "give [Stage(from_block, epochs, learning_rate)], or None for the usual "
            "plan."
        )
    for stage in stages:
        check_choice((*model.block_layers, HEAD), from_block=stage.from_block)
        check_whole(1, epochs=stage.epochs)
        check_positive(learning_rate=stage.learning_rate)
    return tuple(Stage(x[0], int(x[1]), float(x[2])) for x in stages)


def _optimizer(optimizer, stage, num_steps):
    """Make a stage's optimizer."""
    rates = warmup_cosine(stage.learning_rate, stage.epochs * num_steps)
    made = optimizer(rates) if callable(optimizer) else None
    if not isinstance(made, keras.optimizers.Optimizer):
        raise ValueError(
            f"Got optimizer {optimizer!r}, expected a function that takes a learning "
            "rate and returns a Keras optimizer; give keras.optimizers.Adam, or "
            "lambda rate: keras.optimizers.Adam(rate, weight_decay=0.01)."
        )
    return made


def _compile(model, optimizer, is_mixed):
    """Compile for labels as numbers, or as rows where images are mixed."""
    kind = "CategoricalCrossentropy" if is_mixed else "SparseCategoricalCrossentropy"
    loss = getattr(keras.losses, kind)(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])


def _fit(model, batches, validation, stage, progress, callbacks, **settings):
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
            callbacks=[progress, _StopOnNaN(stage), *callbacks],
            **settings,
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


def _describe(model, train, validation, stages, optimizers, augment, callbacks):
    """Return what must be the same when a training goes on.

    Raises:
        ValueError: something of it is code, which cannot be compared.
    """
    own = {
        "a penalty": model.penalty is not None,
        "an augmentation that is no policy": type(augment)
        not in (type(None), augmentation.Policy),
        "callbacks": len(callbacks) > 0,
    }
    found = [name for name, is_given in own.items() if is_given]
    if found:
        raise ValueError(
            f"Got {found[0]} together with a folder, expected only what can be told "
            "from others when the training goes on; give folder=None."
        )
    try:
        network, steps = describe(model), [json.loads(describe(x)) for x in optimizers]
    except TypeError as error:
        raise ValueError(f"{error}; give folder=None.") from error
    return {
        "keras": f"{keras.__version__}, {keras.backend.backend()}",
        "train": train.fingerprint,
        "validation": validation.fingerprint,
        "model": hashlib.sha256(network.encode()).hexdigest(),
        "start weights": hash_arrays(*read_variables(model.variables)),
        "stages": [list(stage) for stage in stages],
        "patience": PATIENCE,
        "optimizer": steps,
        "augment": None if augment is None else _describe_policy(augment),
    }


def _describe_policy(policy):
    drawn = hash_arrays(*read_variables(policy.variables))
    return [policy.name, policy.num_classes, policy.has_flips, policy.seed, drawn]
