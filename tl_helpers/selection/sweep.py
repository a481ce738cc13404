"""A sweep: train every setting, and let label-free validators choose."""

import os
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.special import softmax
from tqdm import tqdm

from tl_helpers.adaptation.pairs import checked, values_of
from tl_helpers.datasets.image_set import ImageSet
from tl_helpers.datasets.splitting import shuffled_classes
from tl_helpers.features import Features
from tl_helpers.inputs import (
    check_callable,
    check_kind,
    check_labels,
    check_same_classes,
    check_target_labels,
    check_whole,
    draw_rows,
    shown,
)
from tl_helpers.selection.choice import Selection
from tl_helpers.selection.reverse import (
    accuracy_of,
    features_of,
    logits_of,
    reverse_validation,
)
from tl_helpers.selection.validators import (
    dev,
    information_maximisation,
    soft_neighbourhood_density,
    source_validation,
    target_entropy,
)
from tl_helpers.storage import Kept, describe_function, hash_arrays

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
            is refused where its own code differs, or a number, text, tuple or dict
            that it looks up; where only what it calls differs, name another folder.

    Returns:
        Selection.

    Raises:
        ValueError: settings, validators, data or labels that do not fit; a folder of
            other data or another training, or a `train` without code of its own
            together with a folder (all before anything is trained); a model that gives
            no logits, or only models whose answers are not finite.
    """
    check_callable(train=train)
    check_whole(seed=seed)
    check_kind(str, os.PathLike, type(None), folder=folder)
    _check_names(settings, validators)
    checked(source, target)  # refuses domains that cannot be trained together
    source, test = _in_memory(source), _in_memory(test)
    target = values_of(_in_memory(target))
    _check_counts(source, target)
    _check_test(source, target, test)
    work = train, source, target, test, seed
    kept = Kept(folder, None if folder is None else _identity(*work))
    domains = _hold_out(source, target, seed)
    results, models = {}, {}
    for setting in tqdm(settings, "settings", leave=False, delay=SHOW_BAR_AFTER_S):
        result = kept.get(setting)
        if result is None or not result["scores"].keys() >= set(validators):
            train_one = partial(train, setting)
            model = train_one(domains.source, target)
            scores = _scores(validators, train_one, model, domains, seed)
            accuracy = None if test is None else accuracy_of(model, test)
            result = {"scores": scores, "accuracy": accuracy}
            kept.put(setting, result)
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
        return Features(rows.pixels(), rows.labels, rows.class_names)
    return rows


def _identity(train, source, target, test, seed):
    """Return what the results of a sweep depend on."""
    try:
        training = describe_function(train)
    except TypeError as error:
        raise ValueError(f"{error}, or give folder=None.") from error
    return {
        "train": training,
        "source": hash_arrays(*source),
        "target": hash_arrays(target),
        "test": None if test is None else hash_arrays(*test),
        "seed": seed,
    }


def _hold_out(source, target, seed):
    is_held_out = np.zeros(len(source), bool)
    for _, rows in shuffled_classes(source.labels, np.random.default_rng(seed)):
        is_held_out[rows[: max(1, round(VALIDATION_SHARE * len(rows)))]] = True
    return _Domains(source[~is_held_out], source[is_held_out], target)


def _scores(validators, train, model, domains, seed):
    """Return {validator: score}; -inf for what is not finite, which loses to all."""
    source, validation, target = (
        draw_rows(rows, MAX_ROWS, np.random.default_rng(seed)) for rows in domains
    )
    logits, target_logits = (
        logits_of(model, validation.values),
        logits_of(model, target),
    )
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
            features_of(model, source.values),
            features_of(model, validation.values),
            is_wrong,
            features_of(model, target),
            seed,
        ),
        "reverse_validation": lambda: reverse_validation(
            train, model, domains.source, domains.target, domains.validation
        ),
    }
    scores = {name: float(score[name]()) for name in validators}
    return {name: x if np.isfinite(x) else -np.inf for name, x in scores.items()}


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
    is_list = isinstance(validators, list | tuple) and len(validators) > 0
    if not is_list or any(name not in VALIDATORS for name in validators):
        raise ValueError(
            f"Got {shown('validators', validators)}, expected a list of some of "
            f"{', '.join(VALIDATORS)}."
        )
    try:
        are_different = len(set(settings)) == len(settings) > 0
    except TypeError:  # a setting that is a dict or a list
        are_different = False
    if not are_different or isinstance(settings, str):
        raise ValueError(
            f"Got {shown('settings', settings)}, expected a list of different names, "
            "numbers or tuples; keep sets of knobs in a dict and give their names."
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
    check_same_classes(source, test, ("the source", "the target test set"))
    check_target_labels(source.labels, test.labels)
    if test.values.shape[1:] != target.shape[1:]:
        raise ValueError(
            f"Got target test images of shape {test.values.shape[1:]}, expected "
            f"{target.shape[1:]} as in the target; load both in one way."
        )
