"""What every task knows: its head, its loss for an image and one number to read."""

import math

import keras
import numpy as np
from keras import ops

from tl_helpers.inputs import check_numbers


class Task:
    """What a label means and how well an output meets it.

    A label that is absent is NaN, or -1 for a class; every loss and score of such a
    row is 0 and has no gradient.

    Attributes:
        metric: name of the number that `score` gives.
        unit: its unit.
        is_higher_better: bool.
        is_regression: bool, for the weighting by uncertainty.
        label_shape: shape of one label.
        label_range: least and largest value that a label may have.
        label_hint: what to do about labels outside it.
        settings: names of the arguments that make the same task again.
    """

    metric = unit = label_hint = ""
    is_higher_better = True
    is_regression = True
    label_shape = ()
    output_shape = ()
    label_range = (-math.inf, math.inf)
    settings = ()

    def head(self, feature_shape, name=None):
        """Build a head.

        Args:
            feature_shape: (d,) of a vector or (h, w, c) of a map.
            name: str or None.

        Returns:
            keras.Model from features (b, *feature_shape) to float32 outputs.
        """
        features = keras.Input(feature_shape, name="features")
        return keras.Model(features, self.attach(features), name=name)

    def attach(self, features):
        """Return the output of the head's layers on a keras.Input."""
        raise NotImplementedError

    def valid(self, labels):
        """Return bool, as `labels`: which numbers are there."""
        return ops.isfinite(ops.cast(labels, "float32"))

    def present(self, labels):
        """Return float32 (b,): 1 for images that have the label, 0 for others."""
        valid = ops.reshape(self.valid(labels), (-1, math.prod(self.label_shape)))
        return ops.cast(ops.any(valid, axis=1), "float32")

    def losses(self, labels, outputs):
        """Return float32 (b,), the loss of each image; 0 without a label."""
        return self._on_present(self.loss, labels, outputs)

    def scores(self, labels, outputs):
        """Return float32 (b,), the metric of each image; 0 without a label."""
        return self._on_present(self.score, labels, outputs)

    def _on_present(self, measure, labels, outputs):
        # what is absent becomes 0 first: NaN times 0 would still be NaN
        labels, valid = ops.cast(labels, "float32"), self.valid(labels)
        filled = ops.where(valid, labels, 0.0)
        values = measure(filled, ops.cast(outputs, "float32"), valid)
        return values * self.present(labels)

    def loss(self, labels, outputs, valid):
        """Return float32 (b,), from labels without NaN."""
        raise NotImplementedError

    def score(self, labels, outputs, valid):
        """Return float32 (b,), from labels without NaN."""
        raise NotImplementedError

    def check_shape(self, name, shape):
        """Refuse labels (b, ...) whose rows are of another shape."""
        if tuple(shape[1:]) != self.label_shape:
            raise ValueError(
                f"Got labels of shape {tuple(shape)} for {name!r}, expected "
                f"{('n', *self.label_shape)}; reshape them or change the task."
            )

    def check(self, name, labels):
        """Refuse labels of a wrong shape or outside `label_range`; NaN may be there."""
        labels = check_numbers(f"{name} labels", labels, "(n, ...)", finite=False)
        self.check_shape(name, labels.shape)
        there = labels[~np.isnan(labels)]
        low, high = self.label_range
        if there.size and not (low <= there.min() and there.max() <= high):
            raise ValueError(
                f"Got labels from {there.min():g} to {there.max():g} for {name!r}, "
                f"expected {low:g} to {high:g}; {self.label_hint}."
            )

    def get_config(self):
        """Return the task's arguments."""
        return {name: getattr(self, name) for name in self.settings}

    @classmethod
    def from_config(cls, config):
        """Make the task again."""
        return cls(**config)
