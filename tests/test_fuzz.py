"""Wrong arguments of what touches no Keras end in one sentence of ours."""

import os
from collections import namedtuple

import fuzz
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from fuzz import (
    Case,
    array,
    choice,
    count,
    flag,
    function,
    labelled,
    labels,
    mapping,
    numbers,
    path,
    rows,
    share,
    thing,
    weight,
)
from PIL import Image
from test_scans import SPACING, VOLUME, nifti, write_slice

from tl_helpers import checks, datasets, evaluation, plots, probes, scans
from tl_helpers.datasets.image_set import ImageSet, Provenance
from tl_helpers.evaluation import Calibration, Difference

matplotlib.use("Agg")

RECORD = "a record that functions return; it holds what it is given"
EXEMPT = {
    "evaluation.Calibration": RECORD,
    "evaluation.Difference": RECORD,
    "evaluation.GroupAccuracy": RECORD,
    "evaluation.Pairs": RECORD,
    "evaluation.Spread": RECORD,
    "evaluation.Verification": RECORD,
    "datasets.Provenance": RECORD,
    "scans.Scan": RECORD,
    **dict.fromkeys(
        "downloads.fetch downloads.extract downloads.file_hash".split(),
        "takes addresses and paths that other functions made, see test_downloads.py",
    ),
    **dict.fromkeys(
        ("datasets.lfw_pairs", "datasets.read_pairs"),
        "takes images by the names of their files, see test_lfw.py",
    ),
    "checks.check_exercise": "takes any answer and never raises, by design",
}
RNG = np.random.default_rng(0)
Y = np.arange(12) % 3
PROBABILITIES = RNG.dirichlet(np.ones(3), 12)
LOGITS = RNG.normal(size=(12, 3))
PAIRS = evaluation.pairs_of(Y)
PAIRS = PAIRS._replace(fold=np.arange(len(PAIRS.first)) % 2)
DISTANCES = evaluation.cosine_distances(LOGITS, PAIRS)
SCORES = [0.7, 0.8, 0.75]
Judged = namedtuple("Judged", "found kinds boxes labels is_hit")  # as of `dense`
FOUND = (np.array([[1.0, 1, 5, 6]]), np.array([1]), np.array([0.9]))
JUDGED = Judged(FOUND, ["hit"], FOUND[0], FOUND[1], np.array([True]))
IMAGES = RNG.integers(0, 255, (6, 8, 8, 3)).astype("uint8")
NAMES = ("ant", "bee", "cow")
DIFFERENCE = Difference(0.1, 0.05, 0.15, 3)
SWAPPED = np.tile([5.0, 1, 1, 6], (6, 1))
SOURCE = Provenance("tiny", "drawn here", "MIT", "none")
IMAGE_SET = ImageSet(IMAGES, np.arange(6) % 3, NAMES, SOURCE)
CALIBRATION = Calibration(*np.full((3, 4), 0.25))


def split(labelled, first, second, **settings):
    return datasets.split(labelled, first, second, **settings)


def key(value):
    """Argue with a key of a dict; Python itself refuses a list."""
    given = choice(value)
    del given.wrong["list"]
    return given


def load_folder(path, **settings):
    """Load a folder that is made first, where a name is given."""
    for name in ("a", "b") if isinstance(path, str) else ():
        os.makedirs(f"{path}/{name}", exist_ok=True)
        Image.fromarray(IMAGES[ord(name) % 2]).save(f"{path}/{name}/image.png")
    return datasets.load_folder(path, **settings)


def read_dicom(source):
    """Read a folder that is filled first, where a name is given."""
    if isinstance(source, str):
        os.makedirs(source, exist_ok=True)
        for z, hu in enumerate(VOLUME):
            write_slice(f"{source}/{z}", hu, SPACING[0] * z)
    return scans.read_dicom(source)


def read_nifti(path):
    """Read a file that is written first, where a name is given."""
    return scans.read_nifti(nifti(path, VOLUME) if isinstance(path, str) else path)


def hounsfield():
    """Argue with a volume in HU: fewer slices are fine, grey values are not."""
    grey = np.abs(VOLUME)
    return array(
        VOLUME,
        grey=lambda: grey,
        bytes=lambda: (grey % 256).astype(np.uint8),
        standardised=lambda: VOLUME / 500,
    )


def score_table(scores):
    return evaluation.ScoreTable(3, {"probe": scores})


TRAIN = rows(LOGITS, Y)


def curves():
    """Argue with {method: {setting: accuracies}}."""

    def with_first(value):
        return {"probe": {1: [value, 0.5], 5: [0.6, 0.7]}}

    return mapping(
        with_first(0.5),
        nan=with_first(np.nan),
        percent=with_first(81.3),
        words=with_first("a"),
        inner={"a": 3},
    )


TABLE = {
    "checks.check": Case(
        checks.check, lambda: {"condition": thing(True), "claim": "true"}
    ),
    "evaluation.accuracy": Case(
        evaluation.accuracy, lambda: {"predictions": labels(Y), "labels": labels(Y)}
    ),
    "evaluation.balanced_accuracy": Case(
        evaluation.balanced_accuracy,
        lambda: {"predictions": labels(Y), "labels": labels(Y)},
    ),
    "evaluation.confusion": Case(
        evaluation.confusion,
        lambda: {
            "predictions": labels(Y),
            "labels": labels(Y),
            "num_classes": count(3),
        },
    ),
    "evaluation.compare_paired": Case(
        evaluation.compare_paired,
        lambda: {
            "values": numbers(SCORES),
            "baseline": numbers([0.6, 0.7, 0.65]),
            "test_share": share(0.5),
        },
        {"test_share": "none"},
    ),
    "evaluation.summarise": Case(
        evaluation.summarise,
        lambda: {"values": numbers(SCORES), "test_share": share(0.5)},
        {"values": "row short", "test_share": "none"},
    ),
    "evaluation.bootstrap_interval": Case(
        evaluation.bootstrap_interval,
        lambda: {
            "values": numbers(SCORES),
            "statistic": function(np.mean),
            "num_resamples": count(20),
            "seed": count(0, 0),
        },
        {"values": "short"},
    ),
    "evaluation.binomial_interval": Case(
        evaluation.binomial_interval,
        lambda: {"num_right": count(8, 0), "num_images": count(10)},
    ),
    "evaluation.auc_interval": Case(
        evaluation.auc_interval,
        lambda: {"auc": share(0.8), "num_ones": count(9), "num_zeros": count(7)},
    ),
    "evaluation.brier_score": Case(
        evaluation.brier_score,
        lambda: {"probabilities": array(PROBABILITIES), "labels": labels(Y)},
    ),
    "evaluation.calibration_curve": Case(
        evaluation.calibration_curve,
        lambda: {
            "probabilities": array(PROBABILITIES),
            "labels": labels(Y),
            "num_bins": count(5),
        },
    ),
    "evaluation.roc_auc": Case(
        evaluation.roc_auc,
        lambda: {"probabilities": array(PROBABILITIES), "labels": labels(Y)},
    ),
    "evaluation.accuracy_by_group": Case(
        evaluation.accuracy_by_group,
        lambda: {
            "predictions": labels(Y),
            "labels": labels(Y),
            "groups": labels(Y // 2),
        },
        {"groups": "words negative"},
    ),
    "evaluation.fpr_at_tpr": Case(
        evaluation.fpr_at_tpr,
        lambda: {
            "scores": array(LOGITS[:, 0]),
            "labels": labels(Y % 2),
            "tpr": share(0.9),
        },
    ),
    "evaluation.tpr_at_fpr": Case(
        evaluation.tpr_at_fpr,
        lambda: {
            "scores": array(LOGITS[:, 0]),
            "labels": labels(Y % 2),
            "fpr": share(0.1),
        },
    ),
    "evaluation.roc_curve": Case(
        evaluation.roc_curve,
        lambda: {"scores": array(LOGITS[:, 0]), "labels": labels(Y % 2)},
    ),
    "evaluation.pairs_of": Case(
        evaluation.pairs_of, lambda: {"people": labels(Y)}, {"people": "short"}
    ),
    "evaluation.cosine_distances": Case(
        evaluation.cosine_distances,
        lambda: {"embedding": array(LOGITS), "pairs": thing(PAIRS)},
    ),
    "evaluation.choose_threshold": Case(
        evaluation.choose_threshold,
        lambda: {
            "distances": array(DISTANCES),
            "is_same": labels(PAIRS.is_same),
            "false_accept": share(0.3),
        },
    ),
    "evaluation.accept_rates": Case(
        evaluation.accept_rates,
        lambda: {
            "distances": array(DISTANCES),
            "pairs": thing(PAIRS),
            "threshold": weight(0.5),
            "seed": count(0, 0),
        },
    ),
    "evaluation.verify": Case(
        evaluation.verify,
        lambda: {
            "test": labelled(TRAIN),
            "others": labelled(rows(LOGITS + 1, Y + 3)),
            "false_accept": share(0.3),
            "seed": count(0, 0),
        },
    ),
    "evaluation.fold_accuracies": Case(
        evaluation.fold_accuracies,
        lambda: {"distances": array(DISTANCES), "pairs": thing(PAIRS)},
    ),
    "evaluation.fit_temperature": Case(
        evaluation.fit_temperature,
        lambda: {"logits": array(LOGITS), "labels": labels(Y)},
    ),
    "evaluation.ScoreTable": Case(
        evaluation.ScoreTable,
        lambda: {
            "seeds": count(3),
            "rows": mapping({"probe": SCORES}),
            "test_share": share(0.5),
        },
        {"rows": "empty", "seeds": "", "test_share": "none"},
    ),
    "evaluation.ScoreTable.compare": Case(
        evaluation.ScoreTable(3, dict.fromkeys("ab", {1: SCORES})).compare,
        lambda: {"method": key("a"), "baseline": key("b"), "at": key(1)},
        {"at": "none"},
    ),
    "evaluation.ScoreTable row": Case(score_table, lambda: {"scores": numbers(SCORES)}),
    "plots.activation_maps": Case(
        plots.activation_maps,
        lambda: {
            "image": array(IMAGES[0]),
            "maps": mapping({"block1": LOGITS[None]}),
            "num_channels": count(2),
        },
        {"image": "row short"},
    ),
    "plots.answers": Case(
        plots.answers,
        lambda: {
            "images": array(np.concatenate([IMAGES, IMAGES])),
            "labels": labels(Y),
            "probabilities": array(PROBABILITIES),
            "class_names": thing(NAMES),
            "rows": thing([0, 1]),
            "columns": count(3),
        },
        {"rows": "none"},
    ),
    "plots.boxes_and_masks": Case(
        plots.boxes_and_masks,
        lambda: {
            "images": array(IMAGES),
            "boxes": array(np.tile([1.0, 1, 5, 6], (6, 1)), swapped=lambda: SWAPPED),
            "masks": array(IMAGES[..., 0] > 99, whole=lambda: IMAGES[..., 0]),
            "true_boxes": array(np.tile([1.0, 1, 5, 6], (6, 1))),
            "true_masks": array(IMAGES[..., 0] > 99),
            "titles": thing(list("abcdef")),
            "columns": count(3),
        },
        {
            "boxes": "nan none",
            "masks": "none",
            "true_boxes": "nan none",
            "true_masks": "none",
            "titles": "none",
        },
    ),
    "plots.explanations": Case(
        plots.explanations,
        lambda: {
            "images": array(IMAGES),
            "maps": array(IMAGES[..., 0] - 99.0),
            "titles": thing(list("abcdef")),
            "number": count(3),
            "masks": array(IMAGES[..., 0] > 99),
        },
        {"titles": "none", "masks": "none"},
    ),
    "plots.pixel_answers": Case(
        plots.pixel_answers,
        lambda: {
            "images": array(IMAGES),
            "pixel_labels": array(IMAGES[..., 0] % 3),
            "answers": array(IMAGES[..., 1] % 3),
            "class_names": thing(NAMES),
            "titles": thing(list("abcdef")),
            "number": count(3),
            "worst": thing(False),
        },
        {"titles": "none", "answers": "none"},
    ),
    "plots.confusion_matrix": Case(
        plots.confusion_matrix,
        lambda: {
            "counts": array(np.eye(3, dtype=int)),
            "class_names": thing(NAMES),
            "axis": thing(None),
        },
        {"axis": "none"},
    ),
    "plots.cosines": Case(
        plots.cosines,
        lambda: {
            "tables": mapping({"a": np.eye(3)}, large={"a": 2 * np.eye(3)}),
            "names": thing(NAMES),
        },
    ),
    "plots.detections": Case(
        plots.detections,
        lambda: {
            "images": array(IMAGES),
            "judged": thing([JUDGED] * 6, short=lambda: [JUDGED], words=lambda: NAMES),
            "class_names": thing(NAMES),
            "columns": count(3),
        },
    ),
    "plots.domains": Case(
        plots.domains,
        lambda: {
            "source": array(LOGITS[:, :2]),
            "target": array(LOGITS[:, 1:]),
            "names": thing(("a", "b")),
            "axis": thing(None),
        },
        {"axis": "none", "source": "row short", "target": "row short"},
    ),
    "plots.feature_map": Case(
        plots.feature_map,
        lambda: {
            "points": array(LOGITS[:, :2]),
            "labels": labels(Y),
            "class_names": thing(NAMES),
            "axis": thing(None),
            "only": thing(NAMES[:1]),
        },
        {"axis": "none", "only": "none"},
    ),
    "plots.filters": Case(
        plots.filters,
        lambda: {"kernels": array(RNG.normal(size=(3, 3, 3, 4))), "columns": count(2)},
        {"kernels": "row short"},
    ),
    "plots.gains": Case(
        plots.gains,
        lambda: {
            "differences": mapping({"probe": {1: DIFFERENCE}}, inner={"probe": 3}),
            "axis": thing(None),
            "legend": thing(True),
        },
        {"axis": "none"},
    ),
    "plots.label_efficiency": Case(
        plots.label_efficiency,
        lambda: {
            "curves": curves(),
            "chance": share(0.5),
            "axis": thing(None),
        },
        {"axis": "none"},
    ),
    "plots.layer_choice": Case(
        plots.layer_choice,
        lambda: {
            "accuracies": curves(),
            "chance": share(0.5),
            "axis": thing(None),
        },
        {"axis": "none"},
    ),
    "plots.losses": Case(
        plots.losses,
        lambda: {
            "histories": mapping(
                {"probe": [2.0, 1.0]}, nan={"probe": [np.nan]}, none={"probe": {}}
            ),
            "x_label": "step",
            "axis": thing(None),
        },
        {"axis": "none"},
    ),
    "plots.pareto": Case(
        plots.pareto,
        lambda: {
            "accuracies": mapping(
                {"probe": SCORES}, nan={"probe": [np.nan]}, percent={"probe": [81.3]}
            ),
            "costs": mapping({"probe": 2.0}, nan={"probe": np.nan}, zero={"probe": 0}),
            "cost_label": "s",
            "axis": thing(None),
            "kinds": mapping({"probe": "linear"}, unknown={"other": "linear"}),
            "baseline": choice("probe"),
        },
        {"axis": "none", "kinds": "none empty", "baseline": "none"},
    ),
    "plots.reliability": Case(
        plots.reliability,
        lambda: {"calibration": thing(CALIBRATION), "axis": thing(None)},
        {"axis": "none"},
    ),
    "plots.scores": Case(
        plots.scores,
        lambda: {
            "scores": mapping(
                {"probe": SCORES},
                nan={"probe": [np.nan]},
                percent={"probe": [81.3]},
                word={"probe": "b"},
            ),
            "baseline": choice("probe"),
            "oracle": choice("probe"),
            "chance": share(0.5),
            "kinds": mapping({"probe": "linear"}, unknown={"other": "linear"}),
            "axis": thing(None),
        },
        dict.fromkeys(["baseline", "oracle", "chance", "axis"], "none")
        | {"kinds": "none empty"},
    ),
    "plots.show_images": Case(
        plots.show_images,
        lambda: {
            "images": array(IMAGES),
            "titles": thing(["a"] * 6),
            "columns": count(3),
            "size_in": weight(0.9),
        },
        {"titles": "none"},
    ),
    "plots.worst": Case(
        plots.worst,
        lambda: {
            "images": array(np.concatenate([IMAGES, IMAGES])),
            "labels": labels(Y),
            "probabilities": array(PROBABILITIES),
            "class_names": thing(NAMES),
            "number": count(2),
        },
    ),
    "plots.one_of_each": Case(
        plots.one_of_each,
        lambda: {
            "image_set": thing(IMAGE_SET),
            "per_class": count(1),
            "seed": count(0, 0),
        },
    ),
    "probes.check_training_set": Case(
        probes.check_training_set,
        lambda: {"values": array(LOGITS), "labels": labels(Y)},
    ),
    "probes.fit_probe": Case(
        probes.fit_probe,
        lambda: {
            "train": labelled(TRAIN),
            "kind": choice("logistic"),
            "seed": count(0, 0),
            "class_weight": choice("balanced"),
        },
        {"class_weight": "none"},
    ),
    "probes.probe_accuracy": Case(
        probes.probe_accuracy,
        lambda: {
            "train": labelled(TRAIN),
            "test": labelled(TRAIN),
            "kind": choice("prototypes"),
            "seed": count(0, 0),
        },
        {"test": "row one_class"},
    ),
    "scans.check_hu": Case(
        scans.check_hu, lambda: {"hu": hounsfield()}, {"hu": "row short"}
    ),
    "scans.to_rgb": Case(
        scans.to_rgb,
        lambda: {
            "hu": hounsfield(),
            "windows": array([(-600.0, 1500)] * 3, flat=lambda: (-600, 1500)),
        },
        {"hu": "row short"},
    ),
    "scans.neighbours_to_rgb": Case(
        scans.neighbours_to_rgb,
        lambda: {
            "hu": hounsfield(),
            "window": array([-600.0, 1500], swapped=lambda: (1500, -600)),
        },
        {"hu": "row short"},
    ),
    "scans.read_dicom": Case(read_dicom, lambda: {"source": path("series")}),
    "scans.read_nifti": Case(read_nifti, lambda: {"path": path("scan.nii")}),
    "datasets.ImageSet": Case(
        ImageSet,
        lambda: {
            "images": array(IMAGES),
            "labels": labels(np.arange(6) % 3),
            "class_names": thing(NAMES, twice=lambda: ("ant", "ant", "cow")),
            "provenance": SOURCE,
            "extras": mapping({}, short={"mask": [1]}),
        },
        {"extras": "empty"},
    ),
    "datasets.check_groups_apart": Case(
        lambda train, test: datasets.check_groups_apart(train, test),
        lambda: {"train": labels(Y), "test": labels(Y + 30)},
        {"train": "half negative short", "test": "nan half negative short"},
    ),
    "datasets.few_per_class": Case(
        datasets.few_per_class,
        lambda: {
            "labelled": labelled(IMAGE_SET),
            "labels_per_class": count(1),
            "seed": count(0, 0),
        },
        {"labelled": "row one_class"},
    ),
    "datasets.split": Case(
        split,
        lambda: {
            "labelled": labelled(IMAGE_SET),
            "first": share(0.5),
            "second": share(0.5),
            "stratify": flag(True),
            "groups": labels(np.arange(6) % 2),
            "seed": count(0, 0),
        },
        {"groups": "none words half negative", "first": "", "second": ""},
    ),
    "datasets.load": Case(
        datasets.load,
        lambda: {"name": choice("digits"), "part": choice("all"), "size_px": count(8)},
        {"part": "none", "size_px": "none"},
    ),
    "datasets.own_picture": Case(
        datasets.own_picture,
        lambda: {"path": path(None), "button": thing(None), "size_px": count(8)},
        {"path": "none", "button": "none"},
    ),
    "datasets.upload_button": Case(datasets.upload_button, dict),
    "datasets.parts": Case(datasets.parts, lambda: {"name": choice("digits")}),
    "datasets.load_folder": Case(
        load_folder,
        lambda: {
            "path": path("folder"),
            "size_px": count(8),
            "skip_bad": flag(True),
            "class_names": thing(("a", "b"), twice=lambda: ("a", "a")),
        },
        {"class_names": "none"},
    ),
    "datasets.train_and_test": Case(
        datasets.train_and_test,
        lambda: {
            "name": choice("digits"),
            "part": choice("all"),
            "size_px": count(8),
            "seed": count(0, 0),
        },
        {"part": "none", "size_px": "none"},
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_wrong_arguments_end_in_a_sentence(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plt.close("all")
    assert not fuzz.faults(TABLE[name])
