"""Choose between adapted models without a single target label."""

from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.special import softmax
from tqdm import tqdm

from tl_helpers.adaptation.pairs import checked, values_of
from tl_helpers.datasets.image_set import ImageSet
from tl_helpers.features import Features
from tl_helpers.inputs import check_labels, check_target_labels, draw_rows
from tl_helpers.selection.record import Record
from tl_helpers.selection.validators import (
    dev,
    information_maximisation,
    soft_neighbourhood_density,
    source_validation,
    target_entropy,
)
from tl_helpers.training import predict_logits

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
        regret: how much better the oracle's is, in [0, 1]; None without test labels.
    """

    validator: str
    setting: object
    accuracy: float | None
    regret: float | None

    def __str__(self):
        """Return for example 'dev: 0.1, 81.3%, 2.0 points below the oracle'."""
        line = f"{self.validator}: {self.setting}"
        if self.accuracy is None:
            return line
        regret = f"{100 * self.regret:.1f} points below the oracle"
        return f"{line}, {100 * self.accuracy:.1f}%, {regret}"


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
        highest = self.accuracy[best]
        return [
            Choice(
                name, setting, self.accuracy[setting], highest - self.accuracy[setting]
            )
            for name, setting in {**self.chosen, "oracle": best}.items()
        ]


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

    Source: Zhong et al. 2010, doi:10.1007/978-3-642-15939-8_35; Ganin et al. 2016
        (arXiv:1505.07818), section 5.
    """
    source, target = values_of(source), values_of(target)
    answers = _logits(model, target).argmax(axis=1)
    if len(np.unique(answers)) == 1:
        return float((np.asarray(validation.labels) == answers[0]).mean())
    return _accuracy(train(Features(target, answers), source), validation)


def select(
    train,
    settings,
    source,
    target,
    test=None,
    validators=DEFAULT_VALIDATORS,
    seed=0,
    folder=None,
):
    """Train every setting once, and let label-free validators choose.

    A fifth of every source class is held out for the validators. They look at
    `MAX_ROWS` rows at most of each set, and never at the target test images.

    Args:
        train: callable(setting, source Features, target array) -> keras.Model that
            gives class logits and, if it has one, `features(values)` -> (n, d), which
            `dev` looks at. Of an ImageSet both get the pixels.
        settings: list of different names, numbers or tuples; larger sets of knobs stay
            in a dict of the caller's, where `train` looks them up by name.
        source: Features or ImageSet, at least two classes, two rows of each.
        target: array (n_target, ...), Features or ImageSet, in shape like the source;
            its labels are not looked at.
        test: Features or ImageSet of the target, for the report only; None without.
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
            other data (all before anything is trained), a model that gives no logits,
            or only models whose answers are not finite.
    """
    _check_names(settings, validators)
    checked(source, target)  # refuses domains that cannot be trained together
    source, test = _in_memory(source), _in_memory(test)
    target = values_of(_in_memory(target))
    _check_counts(source, target)
    _check_test(source, target, test)
    record = Record(folder, _arrays(source, target, test, seed))
    domains = _hold_out(source, target, seed)
    results, models = {}, {}
    for setting in tqdm(settings, "settings", leave=False, delay=SHOW_BAR_AFTER_S):
        result = record.read(setting, validators)
        if result is None:
            train_one = partial(train, setting)
            model = train_one(domains.source, target)
            scores = _scores(validators, train_one, model, domains, seed)
            accuracy = None if test is None else _accuracy(model, test)
            result = {"scores": scores, "accuracy": accuracy}
            record.write(setting, result)
            models[setting] = model
        results[setting] = result
    return _selection(results, validators, models)


class _Domains(NamedTuple):
    """What training and validators may look at: no target label is among it."""

    source: Features  # trained on
    validation: Features  # held out
    target: np.ndarray


def _in_memory(rows):
    """Return the Features of an ImageSet, with pixels for values; others as given."""
    if isinstance(rows, ImageSet):
        return Features(rows.pixels(), rows.labels)
    return rows


def _arrays(source, target, test, seed):
    """Return all that the results of a sweep depend on."""
    test = (np.empty(0), np.empty(0, int)) if test is None else test
    return *source, target, *test, np.array(seed)


def _hold_out(source, target, seed):
    rng = np.random.default_rng(seed)
    is_held_out = np.zeros(len(source), bool)
    for label in np.unique(source.labels):
        rows = rng.permutation(np.flatnonzero(source.labels == label))
        is_held_out[rows[: max(1, round(VALIDATION_SHARE * len(rows)))]] = True
    return _Domains(source[~is_held_out], source[is_held_out], target)


def _scores(validators, train, model, domains, seed):
    """Return {validator: score}; -inf for what is not finite, which loses to all."""
    source, validation, target = (
        draw_rows(rows, MAX_ROWS, np.random.default_rng(seed)) for rows in domains
    )
    logits, target_logits = _logits(model, validation.values), _logits(model, target)
    if not (np.isfinite(logits).all() and np.isfinite(target_logits).all()):
        return dict.fromkeys(validators, -np.inf)
    is_wrong = logits.argmax(axis=1) != validation.labels
    score = {
        "source_validation": lambda: source_validation(logits, validation.labels),
        "target_entropy": lambda: target_entropy(target_logits),
        "information_maximisation": lambda: information_maximisation(target_logits),
        "soft_neighbourhood_density": lambda: soft_neighbourhood_density(
            softmax(target_logits, axis=1)
        ),
        "dev": lambda: dev(
            _features(model, source.values),
            _features(model, validation.values),
            is_wrong,
            _features(model, target),
            seed,
        ),
        "reverse_validation": lambda: reverse_validation(
            train, model, domains.source, domains.target, domains.validation
        ),
    }
    scores = {name: float(score[name]()) for name in validators}
    return {name: x if np.isfinite(x) else -np.inf for name, x in scores.items()}


def _logits(model, images):
    logits = np.asarray(predict_logits(model, images), float)
    if logits.ndim != 2 or len(logits) != len(images) or logits.shape[1] < 2:
        raise ValueError(
            f"Got answers of shape {logits.shape} for {len(images)} images, expected "
            "logits (n, num_classes); return a model that gives them."
        )
    return logits


def _features(model, images):
    if not hasattr(model, "features"):
        return _logits(model, images)
    values = np.asarray(model.features(images), float)
    return values.mean(axis=(1, 2)) if values.ndim == 4 else values


def _accuracy(model, labelled):
    """Share of right answers, where one that is not finite is wrong."""
    logits = _logits(model, labelled.values)
    is_right = logits.argmax(axis=1) == labelled.labels
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


def _check_counts(source, target):
    _, counts = np.unique(source.labels, return_counts=True)
    if len(counts) < 2 or counts.min() < 2 or len(target) < 2:
        raise ValueError(
            f"Got {len(counts)} source classes with {counts.min()} rows in the "
            f"smallest and {len(target)} target rows, expected at least 2 of each; "
            "give more images."
        )


def _check_test(source, target, test):
    if test is None:
        return
    if not isinstance(test, Features):
        raise ValueError(
            f"Got a test set of type {type(test).__name__}, expected an ImageSet or "
            "Features; without its labels there is nothing to report."
        )
    check_labels("target test", *test)
    check_target_labels(source.labels, test.labels)
    if test.values.shape[1:] != target.shape[1:]:
        raise ValueError(
            f"Got target test images of shape {test.values.shape[1:]}, expected "
            f"{target.shape[1:]} as in the target; load both in one way."
        )
