"""Do tasks pull the trunk in opposite directions, and what to do about it.

Tasks' gradients need one tape each, which Keras has no public name for: this module
alone talks to TensorFlow.
"""

import keras
import numpy as np
from keras import ops

from tl_helpers.inputs import (
    check_flag,
    check_kind,
    check_numbers,
    check_tensor,
    check_tensorflow,
)
from tl_helpers.multitask.model import MultiTask
from tl_helpers.training import share_of_a_replica


def project_conflicting(gradients, order=None):
    """Take out of each task's gradient what goes against another's (PCGrad).

    g_i <- g_i - min(g_i . g_j, 0) / ||g_j||^2 x g_j, for each other task j in turn,
    with g_j as it was at the start. The step is the sum of the outcome over tasks.

    Args:
        gradients: float32 (tasks, parameters).
        order: int (tasks,), in which order the j are visited; None for the given
            one. It matters from three tasks on; the paper draws it at random, for each
            i anew, where here all i share it.

    Returns:
        float32 (tasks, parameters); the same where no two tasks conflict.

    Raises:
        ValueError: not a matrix, or an order that leaves tasks out.

    Source: Yu et al. 2020 (arXiv:2001.06782), algorithm 1.
    """
    check_tensor("gradients", gradients, "(tasks, parameters)")
    gradients = ops.convert_to_tensor(gradients)
    if len(gradients.shape) != 2:
        raise ValueError(
            f"Got gradients of shape {tuple(gradients.shape)}, expected (tasks, "
            "parameters); flatten each task's gradient into one row."
        )
    tasks = ops.arange(gradients.shape[0])
    if not (order is None or ops.is_tensor(order)):
        order = check_numbers("order", order, f"({len(tasks)},)")
        if sorted(order.tolist()) != list(range(len(tasks))):
            raise ValueError(
                f"Got order {order.tolist()}, expected each of {len(tasks)} tasks "
                "once, from 0 on; leave it out for the given one."
            )
    order = tasks if order is None else ops.convert_to_tensor(order, tasks.dtype)
    projected = gradients
    for k in range(gradients.shape[0]):
        other = ops.take(gradients, order[k], axis=0)
        dots = ops.minimum(ops.matmul(projected, other), 0)
        dots = ops.where(tasks == order[k], ops.zeros_like(dots), dots)
        squared = ops.maximum(ops.sum(other**2), 1e-30)  # 0 for an absent task
        projected = projected - (dots / squared)[:, None] * other
    return projected


def gradient_cosines(model, images, labels, training=True):
    """Cosines between the tasks' gradients on the shared trunk.

    Below 0 two tasks conflict: a small step for one raises the loss of the other.

    Args:
        model: MultiTask whose trunk is trainable, wholly or in part. It stays as it
            is, its moving averages included.
        images: (n, ...), as the trunk takes them; all go through as one batch.
        labels: {name: (n, ...)} for every task.
        training: True for the gradients that a step of `fit` takes, with the batch's
            own statistics in BatchNorm; False for those of the network as it predicts,
            where no optimizer ever steps.

    Returns:
        float32 (tasks, tasks), in [-1, 1], in the order of `model.tasks`; 1 on the
        diagonal. NaN for a task whose gradient is 0, as without any label.

    Raises:
        ValueError: a frozen trunk, or labels that do not fit.
    """
    check_tensorflow("gradient_cosines")
    rows, lengths = _rows_and_lengths(model, images, labels, training)
    with np.errstate(invalid="ignore"):
        rows = rows / lengths[:, None]
    return np.clip(rows @ rows.T, -1, 1).astype("float32")


def gradient_lengths(model, images, labels, training=True):
    """Lengths of the tasks' gradients on the shared trunk, before any weight.

    Whose gradient is ten times as long decides ten times as much of a step: cosines
    alone do not tell.

    Args:
        model: as for `gradient_cosines`, like all that follow.
        images: (n, ...).
        labels: {name: (n, ...)} for every task.
        training: bool.

    Returns:
        float32 (tasks,), >= 0, in the order of `model.tasks`; loss per unit of weight.

    Raises:
        ValueError: a frozen trunk, or labels that do not fit.
    """
    check_tensorflow("gradient_lengths")
    return _rows_and_lengths(model, images, labels, training)[1].astype("float32")


def _rows_and_lengths(model, images, labels, training):
    """Return float64 (tasks, parameters) of the trunk and (tasks,); move nothing."""
    import tensorflow as tf

    check_kind(MultiTask, model=model)
    check_flag(training=training)
    images = check_numbers("images", images, "(n, ...)")
    shared = model.trunk.trainable_variables
    if not shared:
        raise ValueError(
            f"Got a frozen trunk {model.trunk.name!r}, expected weights to train; set "
            "trunk.trainable = True for what shall be compared."
        )
    model.check_labels(labels)
    for name, rows in labels.items():
        check_numbers(f"{name} labels", rows, f"({len(images)}, ...)", finite=False)
    labels = {name: ops.convert_to_tensor(rows) for name, rows in labels.items()}
    state = [(v, ops.copy(v)) for v in model.non_trainable_variables]
    with tf.GradientTape(persistent=True) as tape:
        outputs = model(ops.convert_to_tensor(images), training=training)
        losses = ops.unstack(model.task_losses(labels, outputs)[0], len(model.tasks))
    for variable, before in state:  # a call in training mode moves the averages
        variable.assign(before)
    rows = np.array(_task_rows(tape, losses, shared), "float64")  # (tasks, parameters)
    return rows, np.sqrt((rows**2).sum(1))


@keras.saving.register_keras_serializable("tl_helpers")
class PCGrad(MultiTask):
    """A MultiTask whose trunk takes the projected gradients of its tasks.

    Only the trunk's gradients change (`project_conflicting`, of the weighted terms);
    heads and variances train as in MultiTask. A step costs one backward pass for each
    task. Keras's own step has no place between gradients and optimizer, so this
    overrides `train_step`, for TensorFlow. On several devices, each projects its own
    gradients before they are added.

    Source: Yu et al. 2020 (arXiv:2001.06782).
    """

    def __init__(self, *args, **kwargs):
        check_tensorflow("PCGrad")
        super().__init__(*args, **kwargs)
        self.order = keras.random.SeedGenerator()

    def train_step(self, data):
        """Train on a batch; return {logged name: value}."""
        import tensorflow as tf

        shared = self.trunk.trainable_variables
        if not shared:
            return super().train_step(data)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape(persistent=True) as tape:
            outputs = self(x, training=True)
            terms = self.batch_terms(y, outputs)
            loss = self.total(terms, sample_weight)
            scaled = self.optimizer.scale_loss(loss)
            parts = ops.unstack(self.optimizer.scale_loss(terms), len(self.tasks))
        variables = self.trainable_variables
        gradients = tape.gradient(scaled, variables)
        rows = _task_rows(tape, parts, shared)
        order = keras.random.shuffle(ops.arange(len(parts)), seed=self.order)
        change = ops.sum(project_conflicting(rows, order) - rows, axis=0)
        changes = _by_identity(change, shared)
        for i, variable in enumerate(variables):
            if gradients[i] is not None and id(variable) in changes:
                gradients[i] += changes[id(variable)]
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        num_images = ops.shape(keras.tree.flatten(x)[0])[0]
        self.metrics[0].update_state(loss / share_of_a_replica(), num_images)
        return self.compute_metrics(x, y, outputs, sample_weight)


def _task_rows(tape, losses, variables):
    """Return (tasks, parameters): the gradient of each loss, flat."""
    rows = []
    for loss in losses:
        gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
        flat = [ops.reshape(ops.cast(g, "float32"), (-1,)) for g in gradients]
        rows.append(ops.concatenate(flat))
    return ops.stack(rows)


def _by_identity(row, variables):
    """Cut a row (parameters,) into {id of a variable: tensor of its shape}."""
    # not by path: a head may have a layer of the same name as the trunk
    ends = np.cumsum([int(np.prod(v.shape)) for v in variables])
    parts = ops.split(row, ends[:-1].tolist())
    return {
        id(v): ops.cast(ops.reshape(part, v.shape), v.dtype)
        for part, v in zip(parts, variables, strict=True)
    }
