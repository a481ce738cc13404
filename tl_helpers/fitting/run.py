"""A folder of images -> a model and the facts of a report, step by step, resumable."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tl_helpers import profiles
from tl_helpers.fitting.inspecting import Inspection, inspect_folder
from tl_helpers.fitting.protocol import hold_out_test
from tl_helpers.fitting.shift import load_unlabelled
from tl_helpers.fitting.steps import Steps
from tl_helpers.inputs import check_kind, check_not_negative, check_whole

NUM_STEPS = 7  # and one for every fold of fine-tuning


@dataclass(frozen=True)
class Fitted:
    """What came out.

    Attributes:
        inspection: Inspection of the folder.
        facts: dict of JSON values, one entry a step: "data", "choice", "curve",
            "forecasts", "plan", "strategies", "chosen", "trust", "test", "shift",
            "costs".
        train: ImageSet to learn from, at the network's size.
        test: ImageSet of the images that tested once.
        probabilities: float (n, classes), the model's answers to them.
        model_path: Path of the model.
        adapted_path: Path of the one for the unlabelled images, or None.
    """

    inspection: Inspection
    facts: dict
    train: object
    test: object
    probabilities: np.ndarray
    model_path: Path
    adapted_path: Path | None


def fit_folder(
    folder, out="fit", unlabelled=None, backbone_names=None, minutes=10, seed=0
):
    """Fit a model to a folder of images, and learn what can be said of it.

    Every choice is made on the training images by cross-validation; the test images
    are asked once, at the end. A killed call goes on where it was.

    Args:
        folder: str or Path, as for `inspect_folder`.
        out: str or Path of the folder for the model and, in `work`, what is kept.
        unlabelled: str or Path of images from where the model will be used, or None.
        backbone_names: sequence of names for `backbones.load`; None for the
            profile's.
        minutes: float >= 0, what fine-tuning may take by count on a slow machine.
        seed: int.

    Returns:
        Fitted.

    Raises:
        ValueError: a folder without two classes, or arguments that do not fit.
        OSError: a folder that is not there.
    """
    check_kind(str, os.PathLike, folder=folder, out=out)
    check_kind(list, tuple, type(None), backbone_names=backbone_names)
    check_not_negative(minutes=minutes)
    check_whole(seed=seed)
    names = tuple(backbone_names or (profiles.current().backbone,))
    with _bar() as bar:
        bar.set_description("reading images")
        inspection = inspect_folder(folder)
        away = None if unlabelled is None else load_unlabelled(unlabelled, 64)
        train, test = hold_out_test(inspection, seed)
        bar.update()
        fitting = Steps(train, test, names, minutes, seed, Path(out), bar)
        facts = fitting.run(away)
    facts["data"] = _data_facts(inspection, train, test)
    return Fitted(
        inspection,
        facts,
        fitting.train,
        test,
        fitting.probabilities,
        fitting.model_path,
        fitting.adapted_path if facts["shift"].get("reason") == "adapted" else None,
    )


def _bar():
    from tqdm import tqdm

    return tqdm(total=NUM_STEPS, unit="step")


def _data_facts(inspection, train, test):
    return {
        "train": len(train),
        "test": len(test),
        "train counts": train.class_counts(),
        "test counts": test.class_counts(),
        "has own test": inspection.test is not None,
    }
