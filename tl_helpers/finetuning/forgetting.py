"""What fine-tuning costs on the task that the network knew before."""

from typing import NamedTuple

import numpy as np

from tl_helpers import probes
from tl_helpers.datasets.image_set import ImageSet
from tl_helpers.features import Features
from tl_helpers.inputs import check_kind, check_same_classes, check_whole
from tl_helpers.training import check_fits


class Forgetting(NamedTuple):
    """Accuracies on the source task, in [0, 1].

    Attributes:
        before: of the source's own probe, on the features before fine-tuning.
        after: of the same probe, on the features after it.
        refitted: of a new probe on the features after it: what is still in there.
    """

    before: float
    after: float
    refitted: float


def forgetting(before, after, train, test):
    """Measure what a network forgot of a source task.

    Args:
        before: keras.Model from images to features (n, d), as `Classifier.extractor`.
        after: the same after fine-tuning.
        train: ImageSet of the source task that its probe is fitted on.
        test: ImageSet of the source task with other images.

    Returns:
        Forgetting; `before - after` is what was forgotten.

    Raises:
        ValueError: no models, no ImageSets, or train and test of other classes.
    """
    check_kind(ImageSet, train=train, test=test)
    check_whole(1, train_images=len(train), test_images=len(test))
    for model in (before, after):
        check_fits(model, test.images.shape)
    check_same_classes(train, test, ("the training set", "the test set"))
    old_test, new_test = _features(before, test), _features(after, test)
    old_probe, new_probe = (
        probes.fit_probe(_features(model, train)) for model in (before, after)
    )
    return Forgetting(
        before=float(old_probe.score(*old_test)),
        after=float(old_probe.score(*new_test)),
        refitted=float(new_probe.score(*new_test)),
    )


def _features(model, image_set):
    parts = [model.predict_on_batch(images) for images, _ in image_set.batches(128)]
    return Features(np.concatenate(parts), image_set.labels)
