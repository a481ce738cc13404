"""The model that is handed over: images of any size in, names of classes out."""

import os
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from tl_helpers.datasets.decoding import decode_image
from tl_helpers.inputs import (
    check_class_names,
    check_kind,
    check_numbers,
    check_positive,
    check_share,
    check_whole,
)
from tl_helpers.training import check_fits, predict_logits

ANSWERED_AT_ONCE = 64  # files


@keras.saving.register_keras_serializable("tl_helpers")
class NamedAnswers(layers.Layer):
    """Turns logits into probabilities that can be believed; knows the classes by name.

    Args:
        class_names: sequence of str, one a logit.
        temperature: float > 0, by which logits are divided.
        threshold: float in [0, 1], the confidence above which an answer is sure; None
            where there is none.
        size_px: int, the size at which the network was fed.
    """

    def __init__(self, class_names, temperature, threshold, size_px, **kwargs):
        super().__init__(**{"dtype": "float32"} | kwargs)
        self.class_names = tuple(class_names)
        self.temperature = temperature
        self.threshold = threshold
        self.size_px = size_px

    def call(self, logits):
        """Return probabilities, float32 (batch, classes)."""
        return ops.softmax(logits / self.temperature)

    def get_config(self):
        """Return the arguments that rebuild this layer."""
        return {
            **super().get_config(),
            "class_names": list(self.class_names),
            "temperature": self.temperature,
            "threshold": self.threshold,
            "size_px": self.size_px,
        }


@keras.saving.register_keras_serializable("tl_helpers")
class PictureClassifier(keras.Model):
    """A functional model with its preprocessing and class names inside.

    `predict` takes uint8 or float32 (batch, height, width, 3), RGB, [0, 255], of any
    size, and returns probabilities; `answer` takes files. `picture_classifier` makes
    one.
    """

    @property
    def _answers(self):
        return self.layers[-1]

    @property
    def class_names(self):
        """Names of the classes, in the order of the probabilities."""
        return self._answers.class_names

    @property
    def threshold(self):
        """Confidence above which an answer is sure; None where there is none."""
        return self._answers.threshold

    def answer(self, paths):
        """Say what is in image files.

        Args:
            paths: str or Path of one file, or a list of them; in any format that
                Pillow reads, turned and cropped as those that were learnt from.

        Returns:
            list of (class name, confidence in [0, 1], whether that is sure) for each;
            nothing is sure where the model has no threshold.

        Raises:
            ValueError: a file that cannot be read.
        """
        paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
        found = []
        for start in range(0, len(paths), ANSWERED_AT_ONCE):
            part = [Path(path) for path in paths[start : start + ANSWERED_AT_ONCE]]
            size_px = self._answers.size_px
            images = np.stack([decode_image(path, size_px) for path in part])
            found += self.name_answers(predict_logits(self, images))
        return found

    def name_answers(self, probabilities):
        """Return (class name, confidence, whether that is sure) for each row.

        Args:
            probabilities: float (n, classes), as of `predict`.

        Returns:
            list of (str, float, bool).
        """
        probabilities = check_numbers("probabilities", probabilities, "(n, classes)")
        threshold = 2.0 if self.threshold is None else self.threshold
        best, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
        return [
            (self.class_names[label], share, share >= threshold)
            for label, share in zip(best.tolist(), sure.tolist(), strict=True)
        ]


def picture_classifier(model, class_names, size_px, temperature=1.0, threshold=None):
    """Put what a classifier needs around it: sizes before, probabilities behind.

    Args:
        model: keras.Model from float32 (batch, size_px, size_px, 3), RGB, [0, 255],
            to logits; its weights are shared.
        class_names: sequence of str, one a logit.
        size_px: int, the size at which it was trained.
        temperature: as of `evaluation.fit_temperature`.
        threshold: as of `choose_trust_threshold`.

    Returns:
        PictureClassifier, not compiled.

    Raises:
        ValueError: another number of names than logits, or numbers out of their range.
    """
    check_kind(keras.Model, model=model)
    class_names = check_class_names(class_names)
    check_whole(1, size_px=size_px)
    check_positive(temperature=temperature)
    if threshold is not None:
        check_share(threshold=threshold)
    check_fits(model, (1, size_px, size_px, 3))
    if model.output_shape[1:] != (len(class_names),):
        raise ValueError(
            f"Got {len(class_names)} class names for a model with answers of shape "
            f"{model.output_shape[1:]}, expected one name a logit; name every class."
        )
    images = keras.Input((None, None, 3), name="pictures")
    squares = layers.Resizing(
        size_px, size_px, crop_to_aspect_ratio=True, antialias=True, name="square"
    )(images)
    answers = NamedAnswers(class_names, temperature, threshold, size_px, name="names")
    outputs = answers(model(squares, training=False))
    return PictureClassifier(images, outputs, name="picture_classifier")
