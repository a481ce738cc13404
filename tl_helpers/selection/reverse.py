"""What models answer, and the validator that trains back from their answers."""

import numpy as np

from tl_helpers.adaptation.pairs import values_of
from tl_helpers.features import Features
from tl_helpers.inputs import check_callable, check_labelled, check_numbers
from tl_helpers.training import predict_logits


def reverse_validation(train, model, source, target, validation):
    """Train back from target to source, and look how well that does.

    The model's own answers on the target become labels; a reverse model is trained
    with the target as its source and the source, without labels, as its target. The
    score is the reverse model's accuracy on held-out source images. It doubles the
    time of a sweep.

    Args:
        train: callable(source Features, target array) -> model.
        model: what `train` returned in the forward direction.
        source: array or Features, n_source rows trained on; their labels are not
            looked at.
        target: array or Features, n_target rows, likewise.
        validation: Features, source rows not trained on.

    Returns:
        float in [0, 1], larger is better; where all answers are one class nothing is
        trained, and that class's share of the labels is returned.

    Raises:
        ValueError: rows that do not fit, or models that give no logits.

    Source: Zhong et al. 2010, doi:10.1007/978-3-642-15939-8_35; Ganin et al. 2016
        (arXiv:1505.07818), section 5.
    """
    check_callable(train=train)
    check_labelled("validation set", validation)
    source, target = values_of(source), values_of(target)
    check_numbers("source", source, "(n, ...)")
    answers = logits_of(model, target).argmax(axis=1)
    if len(np.unique(answers)) == 1:
        return float((np.asarray(validation.labels) == answers[0]).mean())
    return accuracy_of(train(Features(target, answers), source), validation)


def logits_of(model, images):
    """Return class logits, float64 (n, classes), or refuse what are none."""
    logits = np.asarray(predict_logits(model, images), float)
    if logits.ndim != 2 or len(logits) != len(images) or logits.shape[1] < 2:
        raise ValueError(
            f"Got answers of shape {logits.shape} for {len(images)} images, expected "
            "logits (n, num_classes); return a model that gives them."
        )
    return logits


def features_of(model, images):
    """Return a model's features, float64 (n, d); its logits where it has none."""
    if not hasattr(model, "features"):
        return logits_of(model, images)
    values = np.asarray(model.features(images), float)
    return values.mean(axis=(1, 2)) if values.ndim == 4 else values  # (n, d)


def accuracy_of(model, labelled):
    """Share of right answers, where one that is not finite is wrong."""
    logits = logits_of(model, labelled.values)
    is_right = logits.argmax(axis=1) == labelled.labels
    return float((is_right & np.isfinite(logits).all(axis=1)).mean())
