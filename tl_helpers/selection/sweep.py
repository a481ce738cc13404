"""Choose between adapted models without a single target label."""

from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.special import softmax
from tqdm import tqdm

from tl_helpers.adaptation.pairs import checked
from tl_helpers.inputs import check_labels, check_target_labels, draw_rows
from tl_helpers.selection.record import Record
from tl_helpers.selection.validators import (
    dev,
    information_maximisation,
    soft_neighbourhood_density,
    source_validation,
    target_entropy,
)

MAX_ROWS = 3000  # that validators see of each set: soft_neighbourhood_density is n^2
SHOW_BAR_AFTER_S = 30
VALIDATION_SHARE = 0.2  # of the source, held out from training
VALIDATORS = (
    "source_validation",
    "target_entropy",
    "information_maximisation",
    "soft_neighbourhood_density",
    "dev",
    "reverse_validation",
)
DEFAULT_VALIDATORS = VALIDATORS[:-1]  # without the one that trains again


class Choice(NamedTuple):
    """What a validator would have chosen.

    Attributes:
        validator: str, "oracle" for the choice by target test labels.
        setting: the chosen one.
        accuracy: its target test accuracy in [0, 1]; None without test labels.
        gap: how much better the oracle's is, in [0, 1]; None without test labels.
    """

    validator: str
    setting: object
    accuracy: float | None
    gap: float | None

    def __str__(self):
        """Return for example 'dev: 0.1, 81.3%, 2.0 points below the oracle'."""
        line = f"{self.validator}: {self.setting}"
        if self.accuracy is None:
            return line
        gap = f"{100 * self.gap:.1f} points below the oracle"
        return f"{line}, {100 * self.accuracy:.1f}%, {gap}"


@dataclass(frozen=True)
class Selection:
    """What a sweep found.

    Attributes:
        scores: {validator: {setting: float}}, larger is better; -inf for a model
            whose answers are not finite.
        chosen: {validator: setting}, the best by each validator.
        accuracy: {setting: target test accuracy in [0, 1]}, for the report only;
            empty without test labels.
        models: {setting: model}; without those that were read from a folder.
    """

    scores: dict
    chosen: dict
    accuracy: dict
    models: dict = field(repr=False)

    def report(self):
        """Set each validator's choice beside the oracle's.

        Returns:
            list of Choice, one for each validator; last the oracle, which looks at
            the target's test labels, where there are any.
        """
        if not self.accuracy:
            return [Choice(*pair, None, None) for pair in self.chosen.items()]
        best = max(self.accuracy, key=self.accuracy.get)
        return [
            Choice(name, setting, self.accuracy[setting], self._gap(best, setting))
            for name, setting in {**self.chosen, "oracle": best}.items()
        ]

    def _gap(self, best, setting):
        return self.accuracy[best] - self.accuracy[setting]


def reverse_validation(train, model, source, target, validation, validation_labels):
    """Train back from target to source, and look how well that does.

    The model's own answers on the target become labels; a reverse model is trained
    with the target as its source and the source, without labels, as its target. The
    score is the reverse model's accuracy on held-out source images. It doubles the
    time of a sweep.

    Args:
        train: callable(source_images, source_labels, target_images) -> model.
        model: what `train` returned in the forward direction.
        source: array (n_source, ...), the images trained on; no labels.
        target: array (n_target, ...).
        validation: array (n, ...), source images not trained on.
        validation_labels: int (n,), theirs.

    Returns:
        float in [0, 1], larger is better; where all answers are one class nothing is
        trained, and that class's share of the labels is returned.

    Source: Zhong et al. 2010, doi:10.1007/978-3-642-15939-8_35; Ganin et al. 2016
        (arXiv:1505.07818), section 5.
    """
    answers = _logits(model, target).argmax(axis=1)
    if len(np.unique(answers)) == 1:
        return float((np.asarray(validation_labels) == answers[0]).mean())
    return _accuracy(train(target, answers, source), validation, validation_labels)


def select(
    train,
    settings,
    source,
    source_labels,
    target,
    target_test=None,
    target_test_labels=None,
    validators=DEFAULT_VALIDATORS,
    seed=0,
    folder=None,
):
    """Train every setting once, and let label-free validators choose.

    A fifth of every source class is held out for the validators. They look at
    `MAX_ROWS` rows at most of each set, and never at the target test images.

    Args:
        train: callable(setting, source_images, source_labels, target_images) ->
            model with `predict(images, verbose=0)` -> logits (n, num_classes) and, if
            it has one, `features(images)` -> (n, d), which `dev` looks at.
        settings: list of different names, numbers or tuples; larger sets of knobs stay
            in a dict of the caller's, where `train` looks them up by name.
        source: array (n_source, ...), images or features.
        source_labels: int (n_source,), at least two classes, two rows of each.
        target: array (n_target, ...), like the source; no labels.
        target_test: array (n_test, ...), for the report only; None without.
        target_test_labels: int (n_test,), theirs.
        validators: names from `VALIDATORS`. "reverse_validation" is left out by
            default, because it trains a second time for every setting.
        seed: int, decides what is held out and drawn.
        folder: str or Path; where given, every result is kept there, and a sweep over
            the same data that was killed goes on behind the last one. Another `train`
            needs another folder.

    Returns:
        Selection.

    Raises:
        ValueError: settings, validators, data or labels that do not fit, a folder of
            other data (all before anything is trained), a model whose `predict` gives
            no logits, or only models whose answers are not finite.
    """
    _check_names(settings, validators)
    source, labels, target = map(np.asarray, (source, source_labels, target))
    _check_data(source, labels, target)
    test = _check_test(target, labels, target_test, target_test_labels)
    record = Record(folder, (source, labels, target, *test, np.array(seed)))
    domains = _hold_out(source, labels, target, seed)
    results, models = {}, {}
    for setting in tqdm(settings, "settings", leave=False, delay=SHOW_BAR_AFTER_S):
        result = record.read(setting, validators)
        if result is None:
            train_one = partial(train, setting)
            model = train_one(domains.source, domains.source_labels, target)
            scores = _scores(validators, train_one, model, domains, seed)
            result = {"scores": scores, "accuracy": _accuracy(model, *test)}
            record.write(setting, result)
            models[setting] = model
        results[setting] = result
    return _selection(results, validators, models)


@dataclass(frozen=True)
class _Domains:
    """What training and validators may look at: no target label is among it."""

    source: np.ndarray  # (n, ...) trained on
    source_labels: np.ndarray
    validation: np.ndarray  # (n, ...) held out
    validation_labels: np.ndarray
    target: np.ndarray


def _hold_out(source, labels, target, seed):
    rng = np.random.default_rng(seed)
    is_held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        is_held_out[rows[: max(1, round(VALIDATION_SHARE * len(rows)))]] = True
    kept = ~is_held_out
    return _Domains(
        source[kept], labels[kept], source[is_held_out], labels[is_held_out], target
    )


def _scores(validators, train, model, domains, seed):
    """Return {validator: score}; -inf for what is not finite, which loses to all."""
    source, validation, labels, target = (
        draw_rows(rows, MAX_ROWS, np.random.default_rng(seed))
        for rows in (
            domains.source,
            domains.validation,
            domains.validation_labels,
            domains.target,
        )
    )
    logits, target_logits = _logits(model, validation), _logits(model, target)
    if not (np.isfinite(logits).all() and np.isfinite(target_logits).all()):
        return dict.fromkeys(validators, -np.inf)
    is_wrong = logits.argmax(axis=1) != labels
    score = {
        "source_validation": lambda: source_validation(logits, labels),
        "target_entropy": lambda: target_entropy(target_logits),
        "information_maximisation": lambda: information_maximisation(target_logits),
        "soft_neighbourhood_density": lambda: soft_neighbourhood_density(
            softmax(target_logits, axis=1)
        ),
        "dev": lambda: dev(
            _features(model, source),
            _features(model, validation),
            is_wrong,
            _features(model, target),
            seed,
        ),
        "reverse_validation": lambda: reverse_validation(
            train,
            model,
            domains.source,
            domains.target,
            domains.validation,
            domains.validation_labels,
        ),
    }
    scores = {name: float(score[name]()) for name in validators}
    return {name: x if np.isfinite(x) else -np.inf for name, x in scores.items()}


def _logits(model, images):
    logits = np.asarray(model.predict(images, verbose=0), float)
    if logits.ndim != 2 or len(logits) != len(images) or logits.shape[1] < 2:
        raise ValueError(
            f"Got answers of shape {logits.shape} for {len(images)} images, expected "
            "logits (n, num_classes); return a model whose predict gives them."
        )
    return logits


def _features(model, images):
    if not hasattr(model, "features"):
        return _logits(model, images)
    values = np.asarray(model.features(images), float)
    return values.mean(axis=(1, 2)) if values.ndim == 4 else values


def _accuracy(model, images, labels):
    """Share of right answers, where one that is not finite is wrong; None of none."""
    if len(labels) == 0:
        return None
    logits = _logits(model, images)
    is_right = logits.argmax(axis=1) == labels
    return float((is_right & np.isfinite(logits).all(axis=1)).mean())


def _selection(results, validators, models):
    scores = {
        name: {setting: result["scores"][name] for setting, result in results.items()}
        for name in validators
    }
    broken = [name for name, by in scores.items() if max(by.values()) == -np.inf]
    if broken:
        raise ValueError(
            f"Got no setting with a finite score of {', '.join(broken)}, expected one "
            "at least; the models' answers are broken, so lower the learning rate."
        )
    chosen = {name: max(by, key=by.get) for name, by in scores.items()}
    accuracy = {
        setting: result["accuracy"]
        for setting, result in results.items()
        if result["accuracy"] is not None
    }
    return Selection(scores, chosen, accuracy, models)


def _check_names(settings, validators):
    unknown = [name for name in validators if name not in VALIDATORS]
    if unknown or not validators or isinstance(validators, str):
        raise ValueError(
            f"Got validators {validators!r}, expected a list of some of "
            f"{', '.join(VALIDATORS)}."
        )
    try:
        are_different = len(set(settings)) == len(settings) > 0
    except TypeError:  # a setting that is a dict or a list
        are_different = False
    if not are_different or isinstance(settings, str):
        raise ValueError(
            f"Got settings {settings!r}, expected a list of different names, numbers "
            "or tuples; keep sets of knobs in a dict and give their names."
        )


def _check_data(source, labels, target):
    if source.ndim < 2 or target.ndim < 2:
        raise ValueError(
            f"Got a source of shape {source.shape} and a target of shape "
            f"{target.shape}, expected arrays (n, ...); give pixels or features."
        )
    check_labels("source", source, labels)
    checked((source, labels), target)  # refuses domains that cannot be trained together
    _, counts = np.unique(labels, return_counts=True)
    if len(counts) < 2 or counts.min() < 2 or len(target) < 2:
        raise ValueError(
            f"Got {len(counts)} source classes with {counts.min()} rows in the "
            f"smallest and {len(target)} target rows, expected at least 2 of each; "
            "give more images."
        )


def _check_test(target, source_labels, images, labels):
    """Return the target's test images and labels as arrays, empty where not given."""
    if images is None and labels is None:
        return np.empty(0), np.empty(0, int)
    if images is None or labels is None:
        raise ValueError(
            "Got target test images or their labels alone, expected both or neither."
        )
    images, labels = np.asarray(images), np.asarray(labels)
    check_labels("target test", images, labels)
    check_target_labels(source_labels, labels)
    if images.shape[1:] != target.shape[1:]:
        raise ValueError(
            f"Got target test images of shape {images.shape[1:]}, expected "
            f"{target.shape[1:]} as in the target; load both in one way."
        )
    return images, labels
