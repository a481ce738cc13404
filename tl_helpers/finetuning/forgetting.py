"""What fine-tuning costs on the task that the network knew before."""

from typing import NamedTuple

from tl_helpers import probes


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


def forgetting(before, after, known, judge):
    """Measure what a network forgot of a source task.

    Args:
        before: keras.Model from images to features (n, d), as `Classifier.extractor`.
        after: the same after fine-tuning.
        known: ImageSet of the source task that its probe is fitted on.
        judge: ImageSet of the source task with other images.

    Returns:
        Forgetting; `before - after` is what was forgotten.
    """
    old_known, old_judge = _features(before, known), _features(before, judge)
    new_known, new_judge = _features(after, known), _features(after, judge)
    old_probe, new_probe = probes.fit_probe(old_known), probes.fit_probe(new_known)
    return Forgetting(
        before=float(old_probe.score(*old_judge)),
        after=float(old_probe.score(*new_judge)),
        refitted=float(new_probe.score(*new_judge)),
    )


def _features(model, image_set):
    return model.predict(image_set.batches(64), verbose=0), image_set.labels
