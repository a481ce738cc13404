"""Wrong arguments of all that touches Keras end in one sentence of ours."""

import itertools
import zlib
from functools import cache, partial
from pathlib import Path

import fuzz
import keras
import numpy as np
import pytest
import test_fuzz
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
    path,
    positive,
    share,
    weight,
)
from pictures_of_own import dark_and_bright
from test_fuzz import LOGITS, PROBABILITIES, RECORD, RNG, Y
from tiny import tiny_backbone, tiny_images

from tl_helpers import (
    adaptation,
    augmentation,
    backbones,
    choosing,
    combining,
    dense,
    domains,
    explanation,
    features,
    fewshot,
    finetuning,
    fitting,
    multitask,
    pretraining,
    probes,
    profiles,
    robustness,
    saving,
    selection,
    streams,
    training,
)
from tl_helpers.datasets import ImageSet
from tl_helpers.features import Features

# without storage and inputs, which are inner parts, and tools, which make the course
ROOMS = (
    "profiles checks downloads saving scans evaluation datasets backbones training "
    "features probes choosing augmentation finetuning domains adaptation selection "
    "multitask fewshot plots dense explanation robustness pretraining combining "
    "streams fitting"
).split()
VALUES = RNG.normal(size=(12, 4)).astype("float32") + Y[:, None]
ROWS = Features(VALUES, Y)
OTHERS = Features(VALUES[::-1] + 1, Y[::-1].copy())
IMAGES = tiny_images()
SUPPORT = RNG.normal(size=(2, 3, 2, 4))
QUERY = RNG.normal(size=(2, 3, 5, 4))
FOLDERS = (f"folder{i}" for i in itertools.count())  # another one for every call
DRAWN = fewshot.episodes(Y, 3, 2, 2, 2)
EXEMPT = test_fuzz.EXEMPT | {
    "finetuning.Stage": "a record, which fine_tune checks",
    "backbones.Backbone": "a record that `load` makes",
    "backbones.HubLayer": "opens what `load` names, see test_hub.py",
    **dict.fromkeys(
        "profiles.Profile choosing.Evidence choosing.Rank choosing.Verdict "
        "finetuning.Forgetting selection.Choice selection.Selection "
        "fewshot.EpisodeAccuracy fewshot.Episodes domains.Draw "
        "dense.AveragePrecision dense.Detection dense.Judged dense.PixelScores "
        "explanation.Curve explanation.Located robustness.GradientCheck "
        "robustness.Membership robustness.Separation pretraining.Collapse "
        "combining.GreedySoup finetuning.AdapterSize streams.WarningSigns "
        "fitting.Fitted fitting.Forecast fitting.Inspection".split(),
        RECORD,
    ),
    **dict.fromkeys(
        ("saving.read_variables", "saving.set_variables"),
        "an inner part of trainings, which gets what they made",
    ),
    "dense.DiceLoss": "takes nothing",
    "fitting.fit_folder": "runs for seconds, see test_fit.py",
    **dict.fromkeys(
        "fitting.write_report fitting.headline fitting.advice".split(),
        "takes what fit_folder found",
    ),
    "robustness.Gaussians": "a record that fit_gaussians makes",
    **dict.fromkeys(
        ("robustness.margin", "robustness.log_odds"),
        "a loss, which takes what an attack hands to it",
    ),
    **dict.fromkeys(
        ("pretraining.nt_xent", "pretraining.negative_cosine"),
        "a loss, which takes what a model hands to it",
    ),
    "training.check_compiled": "a check",
    "training.check_fits": "a check",
}
# Of calls that take long, one in so many combinations runs every day; all with -m slow.
EVERY = {
    "training.fit_steps": 6,
    "training.fit_rows": 4,
    "finetuning.fine_tune": 8,
    "finetuning.forgetting": 20,
    "augmentation.predict_views": 4,
    "augmentation.Policy call": 4,
    "domains.adapt_batch_norm": 4,
    "adaptation.CDAN": 4,
    "adaptation.DANN": 4,
    "adaptation.Discrepancy": 4,
    "adaptation.MeanTeacher": 4,
    "adaptation.MutualLearning": 4,
    "adaptation.SelfTraining": 4,
    "backbones.export_module": 4,
    "robustness.check_gradients": 2,
    "streams.BatchStatistics": 4,
    "streams.RunningStatistics": 4,
    "streams.Tent": 4,
    "explanation.deletion": 2,
    "explanation.insertion": 2,
    "selection.dev": 2,
}


@cache
def networks():
    """An encoder, a head and a discriminator for rows of 4 numbers."""
    dense = adaptation.dense_network
    return dense(4, (), 5), dense(5, (), 3), dense(5, (), 1)


@cache
def whole(place=0):
    return adaptation.dense_network(4, (5,), 3)


@cache
def backbone():
    return tiny_backbone()


@cache
def one_layer():
    model = adaptation.dense_network(4, (), 2)
    model.compile("sgd", "mse")
    return model


@cache
def classifier():
    model = finetuning.classifier(backbone(), 2)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@cache
def tent():
    return streams.Tent(classifier())


def second_classifier():
    return finetuning.classifier(backbone(), 2)


def with_lora():
    model = finetuning.classifier(backbone(), 2)
    finetuning.add_lora(model, 2)
    return model


def load_adapter(model, path):
    """Write an adapter where a name is given, then load it."""
    if isinstance(path, str):
        finetuning.save_adapter(classifier(), path)
    finetuning.load_adapter(model, path)


def several(**others):
    """Argue with a list of models."""
    models = [classifier(), second_classifier()]
    one = {"one": classifier(), "wrong": [classifier(), 3]}
    return thing(models, **{k: lambda x=x: x for k, x in one.items()}, **others)


def of_another_kind():
    return [classifier(), whole()]


@cache
def finder():
    """A detector of two classes, and boxes that fit the tiny images."""
    model = dense.detector(backbone(), 2, channels=2)
    model.compile("adam")
    return model


BOXES = np.array([[[1.0, 1, 5, 6], [2, 2, 7, 7]], [[0, 0, 3, 3], [0, 0, 0, 0]]])
BOX_LABELS = np.array([[0, 1], [1, -1]])
FOUND = [dense.Detection(x, np.array([0, 1]), np.array([0.9, 0.8])) for x in BOXES]
PIXEL_LABELS = np.arange(2 * 8 * 8).reshape(2, 8, 8) % 3


MAPS = RNG.normal(size=(24, 8, 8))
MANY_CLASSES = ImageSet(
    IMAGES.images, np.arange(24) % 4, tuple("abcd"), IMAGES.provenance
)


@cache
def probe(kind="logistic"):
    rows = Features(RNG.normal(size=(8, 6)), np.arange(8) % 2)
    return probes.fit_probe(rows, kind)


@cache
def multi():
    trunk = adaptation.dense_network(4, (), 5)
    return multitask.MultiTask(trunk, {"kind": multitask.Classification(3)})


def one_batch():
    """A model of several tasks and what goes through it."""
    return {
        "model": network(multi()),
        "images": numbers(VALUES),
        "labels": mapping(
            {"kind": Y},
            half={"kind": Y + 0.5},
            large={"kind": Y + 9},
            short={"kind": Y[:-1]},
        ),
        "training": flag(True),
    }


def dataset():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((VALUES, Y)).batch(4)


class Custom(keras.Model):
    """A subclassed model that was never called."""


def also(argument):
    """Let a tf.data set and plain models be wrong, too."""
    more = {"dataset": dataset, "class": lambda: Custom, "unbuilt": Custom}
    more["lambda"] = lambda: lambda x: x
    return fuzz.Argument(argument.value, argument.wrong | more)


def numbers(value):
    return also(array(value))


def rows(value):
    return also(labelled(value))


def thing(value, **others):
    return also(fuzz.thing(value, **others))


def layer(value):
    """Argue with a keras.Layer, which a model is."""
    given = thing(value)
    del given.wrong["unbuilt"]
    return given


def network(make):
    """Argue with a built keras.Model."""
    wide = {"wide": lambda: adaptation.dense_network(7, (), 7)}
    return thing(make, **wide)


def policy():
    return augmentation.policy("flip_crop", IMAGES)


def train_one(setting, source, target):
    return whole()


def reverse(source, target):
    return whole()


def view_layer():
    return keras.layers.GaussianNoise(0.1)


def raise_strength(**numbers):
    adaptation.DANN(*networks()).raise_strength(**numbers)


def loaded(path):
    """Write a model where a name is given, then load it."""
    if isinstance(path, str):
        saving.save_model(whole(), path)
    return saving.load_model(path)


def with_shots(num_shots):
    return DRAWN.with_shots(num_shots)


def explaining(call, own, **fine):
    """A function that explains; `own` makes what it takes beside the usual."""
    return Case(
        call,
        lambda: {
            "model": network(classifier()),
            "images": numbers(IMAGES.pixels()),
            "classes": labels(IMAGES.labels),
            **own(),
        },
        {"classes": "none", **fine},
    )


def grey_levels(value):
    """Argue with a number in [0, 255]."""
    return fuzz.Argument(value, weight(value).wrong | {"large": lambda: 256})


def inspect_folder(folder, **settings):
    """Inspect a folder that is filled first, where a name is given."""
    if isinstance(folder, str):
        dark_and_bright(Path(folder), 3)
    return fitting.inspect_folder(folder, **settings)


def attacking(call, own, **fine):
    """A function that attacks; `own` makes what it takes beside the usual."""
    return Case(
        call,
        lambda: {
            "model": network(classifier()),
            "images": numbers(IMAGES.pixels()),
            "labels": labels(IMAGES.labels),
            "budget": grey_levels(8),
            **own(),
        },
        fine,
    )


def extraction(call):
    """What `extract` and `compute` take alike."""
    return Case(
        call,
        lambda: {
            "backbone": thing(backbone()),
            "image_set": rows(IMAGES),
            "block": choice("block1"),
        },
        {"block": "none", "image_set": "empty row one_class"},
    )


def call_policy(images, labels):
    return policy()(images, labels)


@cache
def learner():
    """An encoder that may learn."""
    own = tiny_backbone()
    own.network.trainable = True
    return own.extractor()


def frozen():
    return tiny_backbone().extractor()


def simclr(encoder, projector, temperature):
    return pretraining.SimCLR(encoder, projector, temperature)


def simsiam(encoder, projector, predictor):
    return pretraining.SimSiam(encoder, projector, predictor)


def box_labels(boxes):
    return multitask.Box().check("box", boxes)


TABLE = {
    "datasets.ImageSet.batches": Case(
        IMAGES.batches,
        lambda: {
            "batch_size": count(2),
            "shuffle": flag(True),
            "seed": count(0, 0),
            "augment": function(policy()),
        },
        {"augment": "none"},
    ),
    "datasets.ImageSet.resized": Case(IMAGES.resized, lambda: {"size_px": count(4)}),
    "datasets.ImageSet.pixels": Case(
        IMAGES.pixels, lambda: {"rows": thing([0, 1])}, {"rows": "empty"}
    ),
    "adaptation.Ramp's strength": Case(
        raise_strength,
        lambda: {"peak": weight(1.0), "step": count(0, 0), "num_steps": count(1, 0)},
    ),
    "profiles.start": Case(
        profiles.start, lambda: {"seed": count(0, 0)}, {"seed": "flag"}
    ),
    "profiles.make_deterministic": Case(
        profiles.make_deterministic, lambda: {"seed": count(0, 0)}, {"seed": "flag"}
    ),
    "saving.save_model": Case(
        saving.save_model,
        lambda: {"model": network(whole()), "path": path("x.keras")},
        {"model": "wide unbuilt"},
    ),
    "saving.load_model": Case(loaded, lambda: {"path": path("x.keras")}),
    "backbones.Application": Case(
        backbones.Application, lambda: {"name": choice("MobileNetV2")}
    ),
    "backbones.load": Case(
        backbones.load, lambda: {"name": choice("embedded"), "pretrained": flag(False)}
    ),
    "backbones.export_module": Case(
        backbones.export_module,
        lambda: {
            "backbone": thing(backbone()),
            "folder": path(next(FOLDERS)),
            "block": choice("block1"),
            "pool": flag(True),
        },
        {"block": "none"},
    ),
    "backbones.Backbone.extractor": Case(
        backbone().extractor,
        lambda: {"block": choice("block1"), "pool": flag(True)},
        {"block": "none"},
    ),
    "training.reinitialise": Case(
        training.reinitialise,
        lambda: {"model": network(classifier()), "seed": count(0, 0)},
    ),
    "training.reset_optimizer": Case(
        training.reset_optimizer, lambda: {"model": network(classifier())}
    ),
    "training.build_optimizer": Case(
        training.build_optimizer, lambda: {"model": network(classifier())}
    ),
    "training.fit_steps": Case(
        training.fit_steps,
        lambda: {
            "model": network(classifier()),
            "images": rows(IMAGES),
            "num_steps": count(1),
            "batch_size": count(4),
            "seed": count(0, 0),
            "augment": function(policy()),
            "targets": choice("labels"),
        },
        {"augment": "none", "images": "row one_class"},
    ),
    "training.fit_rows": Case(
        training.fit_rows,
        lambda: {
            "model": network(one_layer()),
            "values": array(VALUES),
            "targets": array(VALUES[:, :2]),
            "rows": thing([0, 1, 1]),
            "batch_size": count(4),
        },
        {"targets": "nan infinite"},  # NaN is an absent label
    ),
    "training.warmup_cosine": Case(
        training.warmup_cosine,
        lambda: {"learning_rate": positive(0.1), "num_steps": count(10)},
    ),
    "training.predict_logits": Case(
        training.predict_logits,
        lambda: {"model": network(whole()), "rows": rows(ROWS)},
        {"rows": "array row one_class"},
    ),
    "training.accuracy": Case(
        training.accuracy,
        lambda: {"model": network(whole()), "labelled": rows(ROWS)},
        {"labelled": "row one_class"},
    ),
    "features.Features": Case(
        Features,
        lambda: {"values": numbers(VALUES), "labels": labels(Y), "class_names": None},
        {"values": "nan infinite"},
    ),
    "features.extract": extraction(features.extract),
    "features.compute": extraction(features.compute),
    "features.batch_size": Case(
        features.batch_size, lambda: {"shape": fuzz.thing((8, 8, 3))}
    ),
    "features.standardise": Case(
        features.standardise,
        lambda: {"rows": rows(ROWS), "like": rows(OTHERS)},
        {"like": "none array one_class", "rows": "array one_class row"},
    ),
    "probes.linear_head": Case(
        probes.linear_head,
        lambda: {"num_features": count(4), "num_classes": count(3, 2)},
    ),
    "choosing.logme": Case(
        choosing.logme, lambda: {"values": numbers(VALUES), "labels": labels(Y)}
    ),
    "choosing.h_score": Case(
        choosing.h_score, lambda: {"values": numbers(VALUES), "labels": labels(Y)}
    ),
    "choosing.shrunk_h_score": Case(
        choosing.shrunk_h_score,
        lambda: {"values": numbers(VALUES), "labels": labels(Y)},
    ),
    "choosing.leep": Case(
        choosing.leep,
        lambda: {"source_probabilities": numbers(PROBABILITIES), "labels": labels(Y)},
    ),
    "choosing.nce": Case(
        choosing.nce, lambda: {"source_labels": labels(Y), "labels": labels(Y)}
    ),
    "choosing.rank": Case(
        choosing.rank,
        lambda: {
            "candidates": mapping(
                {"a": ROWS, "b": Features(VALUES + 1, Y)},
                inner={"a": 3},
                nan={"a": Features(VALUES * np.nan, Y)},
            ),
            "score": function(choosing.logme),
            "num_samples": count(3, 2),
            "seed": count(0, 0),
        },
    ),
    "choosing.should_transfer": Case(
        choosing.should_transfer,
        lambda: {
            "sources": mapping(
                {"a": ROWS}, inner={"a": 3}, nan={"a": Features(VALUES * np.nan, Y)}
            ),
            "baseline": rows(ROWS),
            "kind": choice("prototypes"),
            "seed": count(0, 0),
        },
    ),
    "augmentation.Policy": Case(
        augmentation.Policy,
        lambda: {
            "name": choice("erase"),
            "num_classes": count(3),
            "has_flips": flag(True),
            "seed": count(0, 0),
        },
    ),
    "augmentation.policy": Case(
        augmentation.policy,
        lambda: {
            "name": choice("erase"),
            "classes": count(3),
            "seed": count(0, 0),
            "flip": flag(True),
        },
        {"flip": "none"},
    ),
    "augmentation.Policy call": Case(
        call_policy,
        lambda: {"images": numbers(IMAGES.pixels()), "labels": labels(IMAGES.labels)},
        {"labels": "none one_hot", "images": ""},
    ),
    "augmentation.predict_views": Case(
        augmentation.predict_views,
        lambda: {
            "model": network(classifier()),
            "images": numbers(IMAGES.pixels()),
            "views": thing(policy()),
            "num_views": count(2),
        },
        {"images": "row short"},
    ),
    "finetuning.BlockRates": Case(
        finetuning.BlockRates,
        lambda: {
            "optimizer": "adam",
            "rates": mapping(
                {"a": 1.0}, negative={"a": -1.0}, nan={"a": np.nan}, words={"a": "b"}
            ),
            "name": None,
        },
        {"rates": "empty"},
    ),
    "dense.segmenter": Case(
        dense.segmenter,
        lambda: {
            "backbone": thing(backbone()),
            "num_classes": count(2, 2),
            "block": choice("block2"),
            "skips": flag(True),
            "channels": count(2),
        },
        {"block": "none"},
    ),
    "dense.detector": Case(
        dense.detector,
        lambda: {
            "backbone": thing(backbone()),
            "num_classes": count(2),
            "block": choice("block2"),
            "map_block": choice("block1"),
            "channels": count(2),
        },
        {"block": "none", "map_block": "none"},
    ),
    "dense.detect": Case(
        dense.detect,
        lambda: {
            "model": thing(finder()),
            "images": numbers(IMAGES.pixels()),
            "least_score": share(0.05),
            "most_overlap": share(0.5),
            "most": count(3),
        },
        {"images": "row short"},
    ),
    "dense.answer": Case(
        dense.answer,
        lambda: {"model": thing(finder()), "images": numbers(IMAGES.pixels())},
        {"images": "row short"},
    ),
    "dense.suppress": Case(
        dense.suppress,
        lambda: {
            "answers": mapping(dense.answer(finder(), IMAGES)),
            "least_score": share(0.05),
            "most_overlap": share(0.5),
            "most": count(3),
        },
    ),
    "dense.judge": Case(
        dense.judge,
        lambda: {
            "detections": thing(
                FOUND, short=lambda: FOUND[:1], words=lambda: ["a", "b"]
            ),
            "boxes": numbers(BOXES),
            "box_labels": numbers(BOX_LABELS),
            "least_score": share(0.3),
            "least_overlap": share(0.5),
        },
        {"boxes": "infinite nan"},  # a row that is no box may be anything
    ),
    "dense.FocalLoss": Case(
        dense.FocalLoss, lambda: {"focus": weight(2.0), "name": None}
    ),
    "dense.score_pixels": Case(
        dense.score_pixels,
        lambda: {
            "answers": numbers(PIXEL_LABELS),
            "pixel_labels": numbers(PIXEL_LABELS),
            "class_names": thing(("a", "b"), twice=lambda: ("a", "a")),
            "tolerance_px": weight(2),
        },
        {"tolerance_px": "none"},
    ),
    "dense.boundary_score": Case(
        dense.boundary_score,
        lambda: {
            "answer": numbers(PIXEL_LABELS[0] == 1),
            "truth": numbers(PIXEL_LABELS[0] == 2),
            "tolerance_px": weight(2),
        },
    ),
    "dense.average_precision": Case(
        dense.average_precision,
        lambda: {
            "detections": thing(
                FOUND, short=lambda: FOUND[:1], words=lambda: ["a", "b"]
            ),
            "boxes": numbers(BOXES),
            "box_labels": numbers(BOX_LABELS),
            "class_names": thing(("a", "b"), twice=lambda: ("a", "a")),
            "size_px": count(8),
        },
        {"boxes": "infinite"},  # the last row is no box, which may be anything
    ),
    "explanation.grad_cam": explaining(
        explanation.grad_cam, lambda: {"block": choice("block1")}, block="none"
    ),
    "explanation.occlusion": explaining(
        explanation.occlusion,
        lambda: {"patch_px": count(4), "stride_px": count(4), "fill": share(9.0)},
        fill="none percent",
    ),
    "explanation.integrated_gradients": explaining(
        explanation.integrated_gradients,
        lambda: {"baseline": share(9.0), "steps": count(2)},
        baseline="none percent",
    ),
    "explanation.completeness_gap": explaining(
        explanation.completeness_gap,
        lambda: {"maps": numbers(MAPS), "baseline": share(9.0)},
        baseline="none percent",
    ),
    **{
        f"explanation.{call.__name__}": explaining(
            call,
            lambda: {
                "maps": numbers(MAPS),
                "steps": count(2),
                "fill": share(9.0),
                "seed": count(0, 0),
            },
            fill="none percent",
        )
        for call in (explanation.deletion, explanation.insertion)
    },
    **{
        f"explanation.{call.__name__}": Case(
            call,
            lambda: {"maps": numbers(MAPS), "masks": numbers(MAPS > 0)},
        )
        for call in (explanation.pointing_game, explanation.energy_inside)
    },
    "explanation.rank_correlation": Case(
        explanation.rank_correlation,
        lambda: {"maps": numbers(MAPS), "others": numbers(-MAPS)},
    ),
    "explanation.mosaics": Case(
        explanation.mosaics,
        lambda: {
            "images": rows(MANY_CLASSES),
            "number": count(2),
            "seed": count(0, 0),
        },
    ),
    "explanation.randomise_weights": Case(
        explanation.randomise_weights,
        lambda: {
            "model": network(classifier()),
            "from_block": choice("head"),
            "seed": count(0, 0),
        },
    ),
    "fitting.inspect_folder": Case(
        inspect_folder, lambda: {"folder": path("folder"), "size_px": count(8)}
    ),
    "fitting.forecast": Case(
        fitting.forecast,
        lambda: {
            "sizes": numbers([8, 16, 32]),
            "wrong": numbers([[5, 6], [4, 3], [3, 2]]),
            "held": numbers([9, 9]),
            "factor": positive(2.0),
            "seed": count(0, 0),
        },
    ),
    "fitting.choose_trust_threshold": Case(
        fitting.choose_trust_threshold,
        lambda: {
            "confidences": numbers(PROBABILITIES[:, 0]),
            "is_right": labels((Y > 0).astype(int)),
            "aim": share(0.9),
            "floor": share(0.8),
        },
    ),
    "fitting.picture_classifier": Case(
        fitting.picture_classifier,
        lambda: {
            "model": network(classifier()),
            "class_names": thing(("a", "b"), twice=lambda: ("a", "a")),
            "size_px": count(8),
            "temperature": positive(2.0),
            "threshold": share(0.9),
        },
        {"threshold": "none"},
    ),
    "robustness.fgsm": attacking(
        robustness.fgsm,
        lambda: {"labels": IMAGES.labels, "loss": function(robustness.margin)},
        loss="none",
    ),
    "robustness.fgsm without a loss": attacking(robustness.fgsm, dict),
    "robustness.pgd": attacking(
        robustness.pgd,
        lambda: {
            "steps": count(1),
            "step_size": positive(2.0),
            "restarts": count(1),
            "seed": count(0, 0),
            "loss": None,
        },
        step_size="none",
    ),
    "robustness.feature_attack": Case(
        robustness.feature_attack,
        lambda: {
            "network": network(classifier()),
            "images": numbers(IMAGES.pixels()),
            "budget": grey_levels(8),
            "steps": count(1),
            "step_size": positive(2.0),
            "seed": count(0, 0),
        },
        {"step_size": "none", "images": "row short"},
    ),
    "robustness.check_gradients": attacking(
        robustness.check_gradients,
        lambda: {"steps": count(1), "seed": count(0, 0)},
    ),
    "robustness.separation": Case(
        robustness.separation,
        lambda: {"inside": numbers(LOGITS[:, 0]), "outside": numbers(LOGITS[:, 1])},
        {"inside": "row short", "outside": "row short"},
    ),
    "robustness.unsureness": Case(
        robustness.unsureness,
        lambda: {"logits": numbers(LOGITS)},
        {"logits": "row short"},
    ),
    "robustness.energy": Case(
        robustness.energy,
        lambda: {"logits": numbers(LOGITS), "temperature": positive(2.0)},
        {"logits": "row short"},
    ),
    "robustness.fit_gaussians": Case(
        robustness.fit_gaussians, lambda: {"train": rows(ROWS)}, {"train": "one_class"}
    ),
    "robustness.neighbour_distance": Case(
        robustness.neighbour_distance,
        lambda: {
            "train_values": numbers(VALUES),
            "values": numbers(VALUES + 1),
            "num_neighbours": count(2),
        },
        {"train_values": "short", "values": "short"},
    ),
    "robustness.reduce_bits": Case(
        robustness.reduce_bits,
        lambda: {"images": numbers(IMAGES.pixels()), "bits": count(3)},
        {"images": "row short"},
    ),
    "robustness.median_filter": Case(
        robustness.median_filter,
        lambda: {"images": numbers(IMAGES.pixels()), "size_px": count(3)},
        {"images": "row short"},
    ),
    "pretraining.SimCLR": Case(
        simclr,
        lambda: {
            "encoder": thing(learner(), frozen=frozen),
            "projector": network(pretraining.projection_head(6, 4)),
            "temperature": positive(0.5),
        },
        {"projector": "none"},
    ),
    "pretraining.SimSiam": Case(
        simsiam,
        lambda: {
            "encoder": thing(learner(), frozen=frozen),
            "projector": network(pretraining.projection_head(6, 4)),
            "predictor": network(pretraining.prediction_head(4)),
        },
        {"predictor": "none"},
    ),
    "pretraining.WarnOfCollapse": Case(
        pretraining.WarnOfCollapse,
        lambda: {"images": numbers(IMAGES.pixels())},
        {"images": "short"},
    ),
    "pretraining.collapse": Case(
        pretraining.collapse,
        lambda: {"embedding": numbers(VALUES)},
        {"embedding": "short"},
    ),
    "pretraining.projection_head": Case(
        pretraining.projection_head, lambda: {"width": count(6), "projected": count(4)}
    ),
    "pretraining.prediction_head": Case(
        pretraining.prediction_head, lambda: {"width": count(6)}
    ),
    "pretraining.small_backbone": Case(
        pretraining.small_backbone,
        lambda: {"seed": count(0, 0), "widths": numbers([4, 6, 8])},
        {"widths": "short"},
    ),
    "pretraining.two_views": Case(
        pretraining.two_views,
        lambda: {
            "policy": thing(
                policy(), mixing=lambda: augmentation.policy("mixup", IMAGES)
            )
        },
    ),
    "robustness.squeezing_score": Case(
        robustness.squeezing_score,
        lambda: {
            "model": network(classifier()),
            "images": numbers(IMAGES.pixels()),
            "bits": count(3),
            "size_px": count(3),
        },
        {"images": "row short"},
    ),
    "robustness.membership": Case(
        robustness.membership,
        lambda: {
            "members": rows(Features(LOGITS, Y)),
            "others": rows(Features(LOGITS + 1, Y)),
            "fpr": share(0.1),
        },
        {"members": "row one_class", "others": "row one_class"},
    ),
    "streams.corrupt": Case(
        streams.corrupt,
        lambda: {
            "images": numbers(IMAGES.pixels()),
            "kind": choice("noise"),
            "severity": count(2, 0),
            "seed": count(0, 0),
        },
        {"images": "row short"},
    ),
    "streams.stream": Case(
        streams.stream,
        lambda: {
            "images": rows(IMAGES),
            "batch_size": count(5),
            "order": choice("runs"),
            "concentration": positive(0.1),
            "drift": choice("contrast"),
            "seed": count(0, 0),
        },
        {"images": "row one_class", "drift": "none"},
    ),
    "streams.BatchStatistics": Case(
        streams.BatchStatistics,
        lambda: {"model": network(classifier()), "prior": weight(8.0)},
    ),
    "streams.RunningStatistics": Case(
        streams.RunningStatistics,
        lambda: {"model": network(classifier()), "momentum": share(0.5)},
    ),
    "streams.Tent": Case(
        streams.Tent,
        lambda: {
            "model": network(classifier()),
            "optimizer": thing(keras.optimizers.SGD(0.1)),
            "anchor": share(0.1),
        },
        {"optimizer": "none"},
    ),
    "streams.Tent.predict": Case(
        tent().predict,
        lambda: {"images": numbers(IMAGES.pixels())},
        {"images": "row short"},
    ),
    "streams.warning_signs": Case(
        streams.warning_signs,
        lambda: {
            "probabilities_by_batch": thing([PROBABILITIES, PROBABILITIES[:1]]),
            "source_probabilities": numbers(PROBABILITIES),
            "over": count(2),
            "limit": share(0.5),
        },
        {"source_probabilities": "none row short"},
    ),
    "streams.SourceFree": Case(
        streams.SourceFree,
        lambda: {
            "encoder": network(networks()[0]),
            "head": network(adaptation.dense_network(5, (), 3)),
            "strength": weight(0.3),
        },
    ),
    "streams.prototype_labels": Case(
        streams.prototype_labels,
        lambda: {"features": numbers(VALUES), "logits": numbers(LOGITS)},
    ),
    "combining.ensemble": Case(
        combining.ensemble, lambda: {"models": several(other=of_another_kind)}
    ),
    "combining.soup": Case(
        combining.soup, lambda: {"models": several(other=of_another_kind)}
    ),
    "combining.greedy_soup": Case(
        combining.greedy_soup,
        lambda: {
            "models": several(other=of_another_kind),
            "score": function(lambda model: 0.5),
        },
    ),
    "combining.interpolate": Case(
        combining.interpolate,
        lambda: {
            "first": network(classifier()),
            "second": network(second_classifier()),
            "share": share(0.5),
        },
    ),
    "combining.walk": Case(
        combining.walk,
        lambda: {
            "first": network(classifier()),
            "second": network(second_classifier()),
            "shares": numbers([0.0, 0.5, 1]),
            "score": function(lambda model: 0.5),
            "refresh": function(lambda model: model),
        },
        {"shares": "row short", "refresh": "none"},
    ),
    "combining.distiller": Case(
        combining.distiller,
        lambda: {
            "student": network(classifier()),
            "teacher": thing(second_classifier(), same=classifier),
            "temperature": positive(3.0),
            "label_share": share(0.5),
        },
    ),
    "finetuning.train_only": Case(
        finetuning.train_only,
        lambda: {"model": network(second_classifier()), "part": choice("head")},
    ),
    "finetuning.add_lora": Case(
        finetuning.add_lora,
        lambda: {
            "model": network(finetuning.classifier(backbone(), 2)),
            "rank": count(2),
            "from_block": choice("block1"),
        },
        {"from_block": "none"},
    ),
    "finetuning.merge_lora": Case(
        finetuning.merge_lora, lambda: {"model": network(with_lora())}
    ),
    "finetuning.add_bottlenecks": Case(
        finetuning.add_bottlenecks,
        lambda: {
            "model": network(classifier()),
            "units": count(2),
            "from_block": choice("block1"),
        },
        {"from_block": "none"},
    ),
    "finetuning.adapter_size": Case(
        finetuning.adapter_size, lambda: {"model": network(classifier())}
    ),
    "finetuning.save_adapter": Case(
        finetuning.save_adapter,
        lambda: {"model": network(classifier()), "path": path("task.npz")},
    ),
    "finetuning.load_adapter": Case(
        load_adapter,
        lambda: {"model": network(classifier()), "path": path("task.npz")},
    ),
    "finetuning.classifier": Case(
        finetuning.classifier,
        lambda: {
            "backbone": thing(backbone()),
            "num_classes": count(2, 2),
            "block": choice("block1"),
            "hidden_units": thing((3,), negative=lambda: (-1,)),
            "dropout": share(0.1),
        },
        {"block": "none", "hidden_units": "empty"},
    ),
    "finetuning.fine_tune": Case(
        finetuning.fine_tune,
        lambda: {
            "model": network(classifier()),
            "train": rows(IMAGES),
            "validation": rows(IMAGES),
            "stages": thing((finetuning.Stage("head", 1, 1e-3),)),
            "optimizer": function(keras.optimizers.Adam),
            "batch_size": count(8),
            "augment": function(policy()),
            "folder": path(next(FOLDERS)),
            "seed": count(0, 0),
            "verbose": 0,
            "class_weight": choice("balanced"),
            "callbacks": thing([]),
        },
        {
            "train": "row one_class",
            "validation": "row one_class",
            "stages": "none",
            "augment": "none",
            "folder": "none",
            "class_weight": "none",
            "callbacks": "empty",
        },
    ),
    "finetuning.forgetting": Case(
        finetuning.forgetting,
        lambda: {
            "before": network(classifier().extractor()),
            "after": network(classifier().extractor()),
            "train": rows(IMAGES),
            "test": rows(IMAGES),
        },
        {"test": "row one_class", "train": ""},
    ),
    "finetuning.freeze": Case(
        finetuning.freeze, lambda: {"model": network(classifier())}
    ),
    "finetuning.thaw": Case(
        finetuning.thaw,
        lambda: {
            "model": network(classifier()),
            "from_block": choice("block1"),
            "batch_norm": flag(False),
        },
    ),
    "finetuning.parts": Case(
        finetuning.parts, lambda: {"model": network(classifier())}
    ),
    "finetuning.l2_sp": Case(
        finetuning.l2_sp,
        lambda: {
            "weights": thing([VALUES]),
            "start_weights": thing([VALUES + 1]),
            "head_weights": thing([VALUES]),
            "alpha": weight(0.1),
            "beta": weight(0.1),
        },
        {"head_weights": "empty"},
    ),
    "finetuning.layer_rates": Case(
        finetuning.layer_rates,
        lambda: {
            "model": network(classifier()),
            "rates": mapping(
                {"head": 1.0},
                negative={"head": -1.0},
                nan={"head": np.nan},
                words={"head": "b"},
            ),
        },
        {"rates": "empty"},
    ),
    "finetuning.stages_of": Case(
        finetuning.stages_of,
        lambda: {
            "model": network(classifier()),
            "epochs": count(1),
            "learning_rate": positive(0.1),
        },
    ),
    "finetuning.start_from_probe": Case(
        finetuning.start_from_probe,
        lambda: {
            "model": network(classifier()),
            "probe": thing(probe(), svm=lambda: probe("svm"), knn=lambda: probe("knn")),
        },
    ),
    "domains.adapt_batch_norm": Case(
        domains.adapt_batch_norm,
        lambda: {
            "model": network(classifier()),
            "images": numbers(IMAGES.pixels()),
            "batch_size": count(8, 2),
            "source_images": numbers(IMAGES.pixels()),
        },
        {"source_images": "none short", "images": "short"},
    ),
    "domains.class_shift": Case(
        domains.class_shift, lambda: {"source": rows(ROWS), "target": rows(OTHERS)}
    ),
    "domains.coral": Case(
        domains.coral,
        lambda: {
            "source": rows(ROWS),
            "target": numbers(VALUES),
            "like": numbers(VALUES),
        },
        {"source": "one_class", "target": "short", "like": "none short"},
    ),
    "domains.draw": Case(
        domains.draw,
        lambda: {
            "source": rows(ROWS),
            "target": rows(OTHERS),
            "seed": count(0, 0),
            "by_domain": flag(True),
        },
        {"source": "one_class", "target": "one_class"},
    ),
    "domains.choose_block": Case(
        domains.choose_block,
        lambda: {
            "backbone": thing(backbone()),
            "source_images": thing(IMAGES),
            "seeds": numbers((0, 1)),
        },
        {"seeds": "row short"},
    ),
    "domains.diagnose": Case(
        domains.diagnose,
        lambda: {
            "history": mapping(
                {"loss": [1.0, 0.5]}, words={"loss": ["a"]}, nan={"loss": [np.nan]}
            ),
            "target_logits": numbers(LOGITS),
            "accuracy": share(0.5),
            "source_only_accuracy": share(0.5),
        },
        {"history": "none empty nan", "target_logits": "none nan infinite row short"},
    ),
    "domains.mmd_test": Case(
        domains.mmd_test,
        lambda: {
            "source": numbers(VALUES),
            "target": numbers(VALUES + 1),
            "num_permutations": count(2),
            "seed": count(0, 0),
        },
        {"source": "short", "target": "short"},
    ),
    "domains.proxy_a_distance": Case(
        domains.proxy_a_distance,
        lambda: {
            "source": numbers(VALUES),
            "target": numbers(VALUES + 1),
            "seed": count(0, 0),
        },
        {"source": "short", "target": "short"},
    ),
    "adaptation.DANN": Case(
        adaptation.DANN,
        lambda: {
            "encoder": network(networks()[0]),
            "head": network(networks()[1]),
            "discriminator": network(networks()[2]),
            "strength": weight(1.0),
            "joint_batch": flag(False),
        },
        {"discriminator": "none"},
    ),
    "adaptation.CDAN": Case(
        adaptation.CDAN,
        lambda: {
            "encoder": network(networks()[0]),
            "head": network(networks()[1]),
            "strength": weight(1.0),
            "is_entropy_conditioned": flag(False),
        },
    ),
    "adaptation.Discrepancy": Case(
        adaptation.Discrepancy,
        lambda: {
            "encoder": network(networks()[0]),
            "head": network(networks()[1]),
            "loss": choice("coral"),
            "strength": weight(1.0),
            "align": thing(()),
            "joint_batch": flag(False),
        },
        {"align": "empty"},
    ),
    "adaptation.MutualLearning": Case(
        adaptation.MutualLearning,
        lambda: {
            "first": network(whole()),
            "second": thing(whole(1), same=whole),
            "views": layer(view_layer()),
            "strength": weight(1.0),
            "joint_batch": flag(False),
        },
        {"views": "none"},
    ),
    "adaptation.MeanTeacher": Case(
        adaptation.MeanTeacher,
        lambda: {
            "student": thing(whole()),
            "views": layer(view_layer()),
            "strength": weight(1.0),
            "threshold": share(0.5),
            "momentum": share(0.5),
            "joint_batch": flag(False),
        },
        {"views": "none"},
    ),
    "adaptation.SelfTraining": Case(
        adaptation.SelfTraining,
        lambda: {
            "classifier": thing(whole()),
            "views": layer(view_layer()),
            "share": share(0.5),
            "strength": weight(1.0),
            "joint_batch": flag(False),
        },
        {"views": "none"},
    ),
    "adaptation.GradientReversal": Case(
        adaptation.GradientReversal, lambda: {"strength": weight(1.0)}
    ),
    "adaptation.InverseDecay": Case(
        adaptation.InverseDecay,
        lambda: {"initial": positive(0.1), "num_steps": count(10)},
    ),
    "adaptation.Ramp": Case(adaptation.Ramp, lambda: {"peak": weight(1.0)}),
    "adaptation.ramp": Case(
        adaptation.ramp, lambda: {"progress": share(0.5)}, {"progress": "list"}
    ),
    "adaptation.reverse_gradient": Case(
        adaptation.reverse_gradient,
        lambda: {"values": numbers(VALUES), "strength": weight(1.0)},
        {"values": "flat deeper row short empty"},
    ),
    "adaptation.coral_loss": Case(
        adaptation.coral_loss,
        lambda: {"source": numbers(VALUES), "target": numbers(VALUES + 1)},
        {"source": "short", "target": "short"},
    ),
    "adaptation.mmd_loss": Case(
        adaptation.mmd_loss,
        lambda: {
            "source": numbers(VALUES),
            "target": numbers(VALUES + 1),
            "bandwidths": fuzz.numbers([1.0, 2.0]),
            "unbiased": flag(False),
        },
        {"source": "short row", "target": "short row", "bandwidths": "none row short"},
    ),
    "adaptation.dense_network": Case(
        adaptation.dense_network,
        lambda: {
            "width": count(4),
            "hidden_units": thing((3,), negative=lambda: (-1,)),
            "num_outputs": count(2),
            "batch_norm": flag(False),
            "name": None,
        },
        {"hidden_units": "empty"},
    ),
    "adaptation.digit_network": Case(
        adaptation.digit_network,
        lambda: {
            "size_px": count(28, 16),
            "num_classes": count(10, 2),
            "batch_norm": flag(False),
            "spatial_dropout": share(0.1),
            "rescale": None,
        },
    ),
    "adaptation.pairs": Case(
        adaptation.pairs,
        lambda: {
            "source": rows(ROWS),
            "target": rows(OTHERS),
            "batch_size": count(4, 2),
            "seed": count(0, 0),
        },
        {"source": "row one_class", "target": "array row one_class"},
    ),
    "selection.dev": Case(
        selection.dev,
        lambda: {
            "train_values": numbers(VALUES),
            "validation_values": numbers(VALUES),
            "validation_losses": numbers(np.arange(12.0)),
            "target_values": numbers(VALUES + 1),
            "seed": count(0, 0),
        },
        {"train_values": "short", "target_values": "short"},
    ),
    "selection.information_maximisation": Case(
        selection.information_maximisation,
        lambda: {"logits": numbers(LOGITS)},
        {"logits": "short"},
    ),
    "selection.soft_neighbourhood_density": Case(
        selection.soft_neighbourhood_density,
        lambda: {"values": numbers(PROBABILITIES), "temperature": positive(0.05)},
        {"values": "short"},
    ),
    "selection.source_validation": Case(
        selection.source_validation,
        lambda: {"logits": numbers(LOGITS), "labels": labels(Y)},
    ),
    "selection.target_entropy": Case(
        selection.target_entropy,
        lambda: {"logits": numbers(LOGITS)},
        {"logits": "short"},
    ),
    "selection.reverse_validation": Case(
        selection.reverse_validation,
        lambda: {
            "train": function(reverse),
            "model": network(whole()),
            "source": rows(ROWS),
            "target": rows(OTHERS),
            "validation": rows(ROWS),
        },
        {
            "source": "array row one_class",
            "target": "array row one_class",
            "validation": "row one_class",
        },
    ),
    "selection.select": Case(
        selection.select,
        lambda: {
            "train": function(train_one),
            "settings": thing([1, 2], twice=lambda: [1, 1]),
            "source": rows(ROWS),
            "target": rows(OTHERS),
            "test": rows(OTHERS),
            "validators": thing(["target_entropy"]),
            "seed": count(0, 0),
            "folder": path(next(FOLDERS)),
        },
        {"target": "array one_class", "test": "none", "folder": "none"},
    ),
    "multitask.Classification": Case(
        multitask.Classification, lambda: {"num_classes": count(3, 2)}
    ),
    "multitask.Mask": Case(multitask.Mask, lambda: {"size_px": count(8)}),
    "multitask.Box check": Case(
        box_labels,
        lambda: {
            "boxes": array(
                [[0.1, 0.1, 0.5, 0.5], [0.2, 0.3, 0.4, 0.5]],
                swapped=lambda: [[0.5, 0.1, 0.1, 0.5]],
            )
        },
        {"boxes": "row short nan"},
    ),
    "multitask.MultiTask": Case(
        multitask.MultiTask,
        lambda: {
            "trunk": network(networks()[0]),
            "tasks": mapping({"kind": multitask.Classification(3)}, inner={"kind": 3}),
            "heads": mapping({}, inner={"kind": 3}),
            "weighting": choice("fixed"),
            "weights": mapping(
                {"kind": 1.0},
                negative={"kind": -1.0},
                nan={"kind": np.nan},
                words={"kind": "a"},
            ),
        },
        {"heads": "none empty", "weights": "none", "trunk": "wide"},
    ),
    "multitask.PCGrad": Case(
        multitask.PCGrad,
        lambda: {
            "trunk": network(networks()[0]),
            "tasks": mapping({"kind": multitask.Classification(3)}, inner={"kind": 3}),
        },
        {"trunk": "wide"},
    ),
    "multitask.axis_angles": Case(
        multitask.axis_angles,
        lambda: {"quaternions": array(np.eye(4))},
        {"quaternions": "row short empty"},
    ),
    "multitask.scaled_boxes": Case(
        multitask.scaled_boxes,
        lambda: {
            "boxes_px": array(
                [[1, 1, 5, 5], [2, 3, 4, 5]], swapped=lambda: [[5, 1, 1, 5]]
            ),
            "size_px": count(8),
        },
        {"boxes_px": "row short nan empty"},
    ),
    "multitask.gradient_cosines": Case(multitask.gradient_cosines, one_batch),
    "multitask.gradient_lengths": Case(multitask.gradient_lengths, one_batch),
    "multitask.project_conflicting": Case(
        multitask.project_conflicting,
        lambda: {"gradients": numbers(VALUES[:3]), "order": labels(np.arange(3))},
        {"order": "none"},
    ),
    "multitask.uncertainty_terms": Case(
        multitask.uncertainty_terms,
        lambda: {
            "losses": numbers(np.arange(1, 3.0)),
            "log_variances": numbers(np.zeros(2)),
            "is_regression": numbers(np.array([True, False])),
        },
    ),
    "fewshot.PrototypicalNetwork": Case(
        fewshot.PrototypicalNetwork,
        lambda: {
            "encoder": network(networks()[0]),
            "num_ways": count(3, 2),
            "num_shots": count(2),
        },
        {"encoder": "wide"},
    ),
    "fewshot.Episodes.with_shots": Case(with_shots, lambda: {"num_shots": count(1)}),
    "fewshot.centre_and_normalise": Case(
        fewshot.centre_and_normalise,
        lambda: {"values": numbers(VALUES), "mean": numbers(VALUES.mean(0))},
        {"values": "row short deeper"},
    ),
    "fewshot.episode_batches": Case(
        fewshot.episode_batches,
        lambda: {"values": numbers(VALUES), "drawn": thing(DRAWN)},
        {"values": "flat"},
    ),
    "fewshot.episodes": Case(
        fewshot.episodes,
        lambda: {
            "labels": labels(Y),
            "num_ways": count(3, 2),
            "num_shots": count(2),
            "num_queries": count(1),
            "num_episodes": count(2),
            "seed": count(0, 0),
            "classes": labels(np.arange(3)),
        },
        {"labels": "short", "classes": "none"},
    ),
    "fewshot.split_classes": Case(
        fewshot.split_classes,
        lambda: {"labels": labels(Y), "num_held_out": count(1), "seed": count(0, 0)},
        {"labels": "short"},
    ),
    "fewshot.evaluate_episodes": Case(
        fewshot.evaluate_episodes,
        lambda: {
            "values": numbers(VALUES),
            "drawn": thing(DRAWN),
            "classifier": function(fewshot.prototypes),
        },
    ),
    **{
        f"fewshot.{name}": Case(
            getattr(fewshot, name),
            lambda knobs=knobs: {
                "support": numbers(SUPPORT),
                "query": numbers(QUERY),
                **knobs(),
            },
        )
        for name, knobs in {
            "prototypes": dict,
            "nearest_neighbour": dict,
            "ridge": lambda: {"strength": positive(1.0)},
            "logistic": lambda: {"strength": positive(0.1)},
            "fine_tuned_head": lambda: {
                "num_steps": count(3, 0),
                "rate": positive(2.0),
            },
            "transductive_prototypes": lambda: {
                "num_steps": count(1, 0),
                "sharpness": weight(10.0),
            },
        }.items()
    },
}


def wanted(name, argument, kind):
    """Choose one of several combinations where a call takes long: another each time."""
    digest = zlib.crc32(f"{name} {argument} {kind}".encode())
    return digest % EVERY.get(name, 1) == 0


@pytest.mark.parametrize("name", TABLE)
def test_wrong_arguments_end_in_a_sentence(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not fuzz.faults(TABLE[name], partial(wanted, name))


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_all_wrong_arguments_end_in_a_sentence(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not fuzz.faults(TABLE[name])


@pytest.mark.parametrize("name", TABLE | test_fuzz.TABLE)
def test_the_table_shows_valid_calls(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case = (TABLE | test_fuzz.TABLE)[name]
    case.call(**fuzz.valid_arguments(case))


def test_the_table_names_everything_public():
    known = TABLE | test_fuzz.TABLE
    found = fuzz.public(*ROOMS)
    takes = {name for name, call in found.items() if fuzz.parameters(call)}
    assert takes == (takes & known.keys()) | (takes & EXEMPT.keys())
    assert EXEMPT.keys() <= takes and not known.keys() & EXEMPT.keys()
    for name in takes & known.keys():
        case = known[name]
        if case.call is found[name]:  # else it is called through a function above
            assert set(fuzz.parameters(case.call)) <= set(case.arguments()), name
