"""`MultiTask`: one trunk, a head for each task, trained together by Keras's fit."""

import keras
from keras import ops

from tl_helpers.inputs import (
    check_channels_last,
    check_choice,
    check_kind,
    check_mapping,
    check_not_negative,
)
from tl_helpers.multitask.base import Task
from tl_helpers.multitask.weighting import uncertainty_terms
from tl_helpers.training import share_of_a_replica

WEIGHTINGS = ("fixed", "uncertainty")


@keras.saving.register_keras_serializable("tl_helpers")
class MultiTask(keras.Model):
    """A trunk that several tasks share, with a head for each.

    loss = sum over tasks of weight x loss of the task, or of its `uncertainty_terms`.
    The loss of a task is the mean over the images of the batch that have its label; a
    task without any label in the batch adds nothing. Compile with an optimizer only;
    `fit(images, {name: labels})`, `evaluate` and `predict`, which gives {name:
    output}, are Keras's own. An epoch logs `<task>_loss` (before weights) and
    `<task>_<metric>` over the labelled images, 0 where there was none.

    Args:
        trunk: built keras.Model from images, or cached features, to one tensor: rows
            (b, d), or a map (b, h, w, c), which Mask needs.
        tasks: {name: task}.
        heads: None, or {name: built keras.Model on the trunk's output} for tasks whose
            own head, `task.head`, does not suit.
        weighting: "fixed" or "uncertainty".
        weights: None for 1 each, or {name: float >= 0} for every task, if fixed.

    Attributes:
        log_variances: keras.Variable (tasks,), in the order of `tasks`; learned with
            the optimizer of `compile` if the weighting is "uncertainty", else None.

    Raises:
        ValueError: a trunk without weights or of several outputs, names or shapes
            that do not fit, an unknown weighting or a negative weight.

    Source: Kendall, Gal & Cipolla 2018 (arXiv:1705.07115).
    """

    def __init__(
        self, trunk, tasks, heads=None, weighting="fixed", weights=None, **kwargs
    ):
        # trunk and heads keep their own precision; losses stay in float32
        super().__init__(**(kwargs | {"dtype": "float32"}))
        check_channels_last()
        _check_trunk(trunk)
        _check_weighting(tasks, weighting, weights)
        if heads is not None:
            check_kind(dict, heads=heads)
            check_kind(keras.Model, **heads)
        heads = dict(heads or {})
        _check_names("heads", heads, tasks, needs_all=False)
        self.trunk, self.tasks = trunk, dict(tasks)
        shape = trunk.output_shape[1:]
        for name, task in tasks.items():
            heads[name] = heads.get(name) or task.head(shape, f"{name}_head")
            _check_head(name, task, heads[name], trunk)
        self.heads = {name: heads[name] for name in tasks}
        self.weighting = weighting
        self.task_weights = dict(weights or dict.fromkeys(tasks, 1.0))
        self.log_variances = None
        if weighting == "uncertainty":
            self.log_variances = self.add_weight(
                (len(tasks),), "zeros", name="log_variances"
            )
        self._means = {name: keras.metrics.Mean(name) for name in self._logged()}
        self.built = True

    def _logged(self):
        losses = [f"{name}_loss" for name in self.tasks]
        return losses + [f"{name}_{t.metric}" for name, t in self.tasks.items()]

    def call(self, inputs, training=None):
        """Return {task name: output} of a batch."""
        features = self.trunk(inputs, training=training)
        return {
            name: head(features, training=training) for name, head in self.heads.items()
        }

    def fit(self, x=None, y=None, *args, **kwargs):
        """Check labels that are arrays, then train as Keras does."""
        if y is not None:
            self.check_labels(y)
        return super().fit(x, y, *args, **kwargs)

    def check_labels(self, labels):
        """Refuse labels that the tasks cannot take; `fit` does so for arrays.

        Args:
            labels: {name: array of n labels} for every task.

        Raises:
            ValueError: names, shapes or values that do not fit.
        """
        _check_names("labels", labels, self.tasks)
        for name, task in self.tasks.items():
            task.check(name, labels[name])

    def task_losses(self, labels, outputs):
        """Mean loss of each task over the images that have its label.

        Args:
            labels: {name: (b, ...)} for every task.
            outputs: {name: (b, ...)}, of a call.

        Returns:
            (losses, counts): float32 (tasks,) each, in the order of `tasks`: the
            losses before weights, 0 without labels, and the number of labels.

        Raises:
            ValueError: names or shapes that do not fit.
        """
        _check_names("labels", labels, self.tasks)
        sums, counts = [], []
        for name, task in self.tasks.items():
            task.check_shape(name, labels[name].shape)
            sums.append(ops.sum(task.losses(labels[name], outputs[name])))
            counts.append(ops.sum(task.present(labels[name])))
        sums, counts = ops.stack(sums), ops.stack(counts)  # (tasks,) each
        return sums / ops.maximum(counts, 1.0), counts

    def terms(self, losses, counts):
        """Return float32 (tasks,): what each task adds to the loss of a batch."""
        if self.log_variances is None:
            weights = [self.task_weights[name] for name in self.tasks]
            return ops.convert_to_tensor(weights, "float32") * losses
        regress = [task.is_regression for task in self.tasks.values()]
        terms = uncertainty_terms(losses, self.log_variances, regress)
        # without a label, a task says nothing about its variance either
        return ops.where(counts > 0, terms, 0.0)

    def batch_terms(self, labels, outputs):
        """Return (tasks,) terms of a batch, for this replica, and log the losses."""
        losses, counts = self.task_losses(labels, outputs)
        for i, name in enumerate(self.tasks):
            self._means[f"{name}_loss"].update_state(losses[i], counts[i])
        return self.terms(losses, counts) * share_of_a_replica()

    def total(self, terms, sample_weight=None):
        """Return the loss of a batch: its terms and the layers' own losses."""
        if sample_weight is not None:
            raise ValueError(
                "Got sample_weight, expected none; mark labels as absent (NaN, or -1 "
                "for a class), or weigh whole tasks with `weights`."
            )
        return ops.sum(terms) + share_of_a_replica() * sum(self.losses)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return the loss that Keras's fit minimises."""
        return self.total(self.batch_terms(y, y_pred), sample_weight)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Return the losses and one metric for each task."""
        for name, task in self.tasks.items():
            scores = task.scores(y[name], y_pred[name])
            mean = self._means[f"{name}_{task.metric}"]
            mean.update_state(scores, task.present(y[name]))
        return self.get_metrics_result()

    def get_config(self):
        """Return the networks and settings; current weights are saved beside them."""
        pack = keras.saving.serialize_keras_object
        is_fixed = self.weighting == "fixed"
        return super(keras.Model, self).get_config() | {
            "trunk": pack(self.trunk),
            "tasks": [[name, pack(task)] for name, task in self.tasks.items()],
            "heads": {name: pack(head) for name, head in self.heads.items()},
            "weighting": self.weighting,
            "weights": dict(self.task_weights) if is_fixed else None,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuild the model from `get_config`."""

        def unpack(part):
            return keras.saving.deserialize_keras_object(part, custom_objects)

        config = dict(config)
        config["trunk"] = unpack(config["trunk"])
        config["tasks"] = {name: unpack(task) for name, task in config["tasks"]}
        heads = config["heads"].items()
        config["heads"] = {name: unpack(head) for name, head in heads}
        return cls(**config)


def _check_trunk(trunk):
    check_kind(keras.Model, trunk=trunk)
    shape = getattr(trunk, "output_shape", None) if trunk.built else None
    if not isinstance(shape, tuple) or len(shape) not in (2, 4) or None in shape[1:]:
        raise ValueError(
            f"Got trunk {trunk.name!r} with output shape {shape}, expected a built "
            "model with one output (n, d) or (n, h, w, c); give it a keras.Input."
        )


def _check_names(what, given, tasks, needs_all=True):
    given = set(given) if isinstance(given, dict) else given
    if not isinstance(given, set):
        raise ValueError(
            f"Got {what} of type {type(given).__name__}, expected a dict with one "
            f"entry for each of {sorted(tasks)}; name the task they belong to."
        )
    unknown, missing = given - set(tasks), set(tasks) - given
    if unknown:
        raise ValueError(
            f"Got {what} for {sorted(unknown)}, expected names of {sorted(tasks)}; "
            "rename them or add the task."
        )
    if missing and needs_all:
        raise ValueError(
            f"Got no {what} for {sorted(missing)}, expected some for every task; "
            "absent labels are NaN, or -1 for a class."
        )


def _check_weighting(tasks, weighting, weights):
    check_mapping(tasks=tasks)
    check_kind(Task, **tasks)
    check_choice(WEIGHTINGS, weighting=weighting)
    if weights is None:
        return
    if weighting == "uncertainty":
        raise ValueError(
            "Got weights beside weighting='uncertainty', expected None, since they "
            "are learned; leave one of the two out."
        )
    _check_names("weights", weights, tasks)
    check_not_negative(**weights)


def _check_head(name, task, head, trunk):
    ends = (trunk.output_shape[1:], task.output_shape)
    got = (head.input_shape[1:], head.output_shape[1:]) if head.built else None
    if got != ends:
        raise ValueError(
            f"Got a head for {name!r} from and to shapes {got}, expected {ends}; build "
            "it on the trunk's output."
        )
