"""Small classifiers on features; their strength is chosen by validation."""

import warnings

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import ThreadpoolController

from tl_helpers.inputs import (
    check_choice,
    check_class_weight,
    check_features,
    check_labelled,
    check_labels,
    check_same_classes,
    check_whole,
)

KINDS = ("logistic", "svm", "knn", "prototypes")
MAX_FOLDS = 4
THREAD_POOLS = ThreadpoolController()  # to look for them takes longer than a small fit


def fit_probe(train, kind="logistic", seed=0, class_weight=None):
    """Fit a classifier on features, its setting chosen by cross-validation.

    The choice sees the training features only, never the test set.

    Args:
        train: Features.
        kind: "logistic", "svm" (linear), "knn" (cosine) or "prototypes" (nearest
            class mean).
        seed: int, decides the folds.
        class_weight: what a mistake in each class counts, in the fit and in the choice
            of the setting: {class number: float > 0}, or "balanced", which gives every
            class the same say however rare it is; None counts every row alike. For
            "logistic" and "svm".

    Returns:
        a fitted scikit-learn estimator with `predict` and `score(values, labels)`, the
        share of right answers. It knows the numbers of the classes, not their names,
        which `probe_accuracy` compares. If no feature varies, it gives every row the
        commonest label.

    Raises:
        ValueError: unknown kind, fewer than two classes, values or labels that do not
            fit, or class weights that do not fit the classes or the kind.
    """
    check_choice(KINDS, kind=kind)
    check_whole(seed=seed)
    values, labels = check_labelled("training set", train)
    check_training_set(values, labels)
    if not np.ptp(values, axis=0).any():  # a network whose ReLUs are all dead
        return DummyClassifier().fit(values, labels)
    estimator, settings = _candidates(kind, seed, len(labels))
    if class_weight is not None:
        _weigh(estimator, class_weight, kind, labels)
    num_folds = min(MAX_FOLDS, np.unique(labels, return_counts=True)[1].min())
    if not settings or num_folds < 2:
        return _fit_quietly(estimator, values, labels)
    folds = StratifiedKFold(int(num_folds), shuffle=True, random_state=seed)
    scoring = None if class_weight is None else _weighted_accuracy
    search = GridSearchCV(estimator, settings, cv=folds, scoring=scoring)
    _fit_quietly(search, values, labels)
    # a search scores as it chose: with weights, not by the share of right answers
    return search if class_weight is None else search.best_estimator_


def probe_accuracy(train, test, kind="logistic", seed=0):
    """Fit on one set of features and score on another.

    Args:
        train: Features.
        test: Features of other images.
        kind: as in `fit_probe`.
        seed: int.

    Returns:
        float in [0, 1].

    Raises:
        ValueError: as for `fit_probe`, or a test set of other classes or width.
    """
    check_same_classes(train, test, ("the training set", "the test set"))
    values, labels = check_labelled("test set", test)
    check_features("test features", values, least=1)
    probe = fit_probe(train, kind, seed)
    if np.shape(values)[1] != probe.n_features_in_:
        raise ValueError(
            f"Got {np.shape(values)[1]} test features a row, expected "
            f"{probe.n_features_in_} as in training; take both from one block."
        )
    with one_thread():
        return float(probe.score(values, labels))


def one_thread():
    """Return a context in which BLAS and OpenMP use one thread.

    For small matrices, where several threads only wait for each other.
    """
    return THREAD_POOLS.limit(limits=1)


def linear_head(num_features, num_classes):
    """Build a Keras classifier for cached features.

    Args:
        num_features: d.
        num_classes: int >= 2.

    Returns:
        keras.Model from float32 (batch, d) to logits (batch, num_classes): batch
        normalisation without learned scale, then one dense layer.
    """
    import keras
    from keras import layers

    check_whole(1, num_features=num_features)
    check_whole(2, num_classes=num_classes)

    values = keras.Input((num_features,), name="features")
    scaled = layers.BatchNormalization(center=False, scale=False, name="norm")(values)
    logits = layers.Dense(num_classes, name="logits")(scaled)
    return keras.Model(values, logits, name="linear_head")


def check_training_set(values, labels):
    """Refuse features and labels from which nothing can be learnt.

    Args:
        values: float (n, d).
        labels: int (n,).

    Raises:
        ValueError: fewer than two classes, values that are not finite, or labels that
            are not one class number for each row.
    """
    check_features("features", values)
    labels = check_labels("", values, labels)
    if len(np.unique(labels)) < 2:
        raise ValueError(
            f"Got {len(np.unique(labels))} class in {len(labels)} rows, expected at "
            "least two; draw the labels from every class."
        )


def _candidates(kind, seed, num_rows):
    """Return an estimator and the grid of its one setting."""
    strengths = [0.001, 0.01, 0.1, 1.0]
    if kind == "logistic":
        # of the mean loss; ten times stricter takes twice as long for the same answers
        regression = LogisticRegression(max_iter=300, tol=1e-3)
        model = make_pipeline(StandardScaler(), regression)
        return model, {"logisticregression__C": strengths}
    if kind == "svm":
        model = make_pipeline(StandardScaler(), LinearSVC(random_state=seed))
        return model, {"linearsvc__C": [0.0001, *strengths[:-1]]}
    if kind == "knn":
        neighbours = [k for k in (1, 3, 5, 9) if k <= num_rows // 2]
        # on unit length, Euclidean neighbours are cosine neighbours
        model = make_pipeline(StandardScaler(), Normalizer(), KNeighborsClassifier(1))
        return model, {"kneighborsclassifier__n_neighbors": neighbours}
    return make_pipeline(StandardScaler(), Normalizer(), NearestCentroid()), {}


def _weigh(estimator, class_weight, kind, labels):
    """Set the class weights of a pipeline's last step, or say why they do not fit."""
    if "class_weight" not in estimator[-1].get_params():
        raise ValueError(
            f"Got class_weight for probe {kind!r}, which cannot weigh classes, "
            "expected 'logistic' or 'svm'; take one of them."
        )
    check_class_weight(class_weight, labels)
    estimator[-1].set_params(class_weight=class_weight)


def _weighted_accuracy(estimator, values, labels):
    """Share of right answers, each row counted with the weight of its class."""
    weights = compute_sample_weight(estimator[-1].class_weight, labels)
    return accuracy_score(labels, estimator.predict(values), sample_weight=weights)


def _fit_quietly(estimator, values, labels):
    """Fit; a setting that stops at the iteration limit still competes.

    With one row a class, scikit-learn's centroids divide nothing by nothing on the
    way, and do not use the result.
    """
    with (
        warnings.catch_warnings(),
        np.errstate(invalid="ignore", divide="ignore"),
        one_thread(),
    ):
        warnings.simplefilter("ignore", ConvergenceWarning)
        # features that never vary, such as those of dead ReLUs, decide nothing
        warnings.filterwarnings("ignore", message="self.within_class_std_dev_")
        return estimator.fit(values, labels)
