"""`load_model` in a program that imports nothing else, for every model made here."""

import importlib
import inspect
import json
import pkgutil
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers
from test_hub import write_module
from tiny import tiny_backbone, tiny_images

import tl_helpers
from tl_helpers import backbones, dense, pretraining, probes, training
from tl_helpers.adaptation import (
    CDAN,
    DANN,
    Discrepancy,
    GradientReversal,
    InverseDecay,
    MeanTeacher,
    MutualLearning,
    SelfTraining,
    dense_network,
    digit_network,
)
from tl_helpers.backbones.applications import Preprocessing
from tl_helpers.backbones.embedded import build_network
from tl_helpers.backbones.small import build_small
from tl_helpers.combining import ensemble, interpolate, soup
from tl_helpers.combining.distilling import Distiller, SoftDivergence
from tl_helpers.domains import adapt_batch_norm
from tl_helpers.explanation import randomise_weights
from tl_helpers.fewshot import PrototypicalNetwork
from tl_helpers.finetuning import (
    BlockRates,
    add_bottlenecks,
    add_lora,
    classifier,
    merge_lora,
)
from tl_helpers.fitting import picture_classifier
from tl_helpers.multitask import Angle, Box, Classification, Mask, MultiTask, PCGrad
from tl_helpers.saving import save_model
from tl_helpers.streams import SourceFree

TASKS = {"class": Classification(2), "angle": Angle(), "box": Box(), "mask": Mask(8)}


def encoder():
    return dense_network(3, (), 4)


def head():
    return dense_network(4, (), 2)


def rows(*stack):
    """A model on rows of three numbers."""
    return keras.Sequential([keras.Input((3,)), *stack])


def trunk():
    return keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3, strides=2)])


def compiled(optimizer):
    model = rows(layers.Dense(2, name="only"))
    model.compile(optimizer, "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def hub(folder):
    layer = backbones.HubLayer(write_module(folder / "module"))
    return keras.Sequential([keras.Input((8, 8, 3)), layer])


def segmenter_with(loss):
    model = dense.segmenter(tiny_backbone(), 2, channels=2)
    model.compile("sgd", loss)
    return model


def learner():
    backbone = tiny_backbone()
    backbone.network.trainable = True
    return backbone.extractor()


def adapted():
    return adapt_batch_norm(classifier(tiny_backbone(), 2), tiny_images())


def merged():
    model = classifier(tiny_backbone(), 2)
    add_lora(model, 2)
    return merge_lora(model)


def named():
    return picture_classifier(classifier(tiny_backbone(), 2), ("a", "b"), 8, 2.0, 0.9)


def distilling():
    return Distiller(encoder(), encoder(), SoftDivergence(2.0))


# Whatever is registered with Keras, and every function that says it returns a model.
MADE = {
    "BlockMaps": lambda _: dense.segmenter(tiny_backbone(), 2, channels=2),
    "BoxesAround": lambda _: dense.detector(tiny_backbone(), 2, channels=2),
    "DiceLoss": lambda _: segmenter_with(dense.DiceLoss()),
    "FocalLoss": lambda _: segmenter_with(dense.FocalLoss(1.5)),
    "ResizeLike": lambda _: dense.segmenter(tiny_backbone(), 2, skips=False),
    "Segmenter": lambda _: dense.segmenter(tiny_backbone(), 3, "block1", channels=2),
    "Angle": lambda _: MultiTask(trunk(), {"angle": TASKS["angle"]}),
    "BlockRates": lambda _: compiled(BlockRates("adam", {"only": 0.5})),
    "Bottleneck": lambda _: add_bottlenecks(classifier(tiny_backbone(), 2), 2),
    "Box": lambda _: MultiTask(trunk(), {"box": TASKS["box"]}),
    "CDAN": lambda _: CDAN(encoder(), head()),
    "Classification": lambda _: MultiTask(trunk(), {"class": TASKS["class"]}),
    "Classifier": lambda _: classifier(tiny_backbone(), 2, "block1", (3,), 0.5),
    "DANN": lambda _: DANN(encoder(), head()),
    "Detector": lambda _: dense.detector(tiny_backbone(), 2, channels=2),
    "Distiller": lambda _: distilling(),
    "Discrepancy": lambda _: Discrepancy(encoder(), head(), "mmd"),
    "GradientReversal": lambda _: rows(GradientReversal(0.5)),
    "HeadFeatures": lambda _: classifier(tiny_backbone(), 2),
    "HubLayer": hub,
    "InverseDecay": lambda _: compiled(keras.optimizers.SGD(InverseDecay(0.1, 9))),
    "Mask": lambda _: MultiTask(trunk(), {"mask": TASKS["mask"]}),
    "MeanProbability": lambda _: ensemble([encoder(), encoder()]),
    "MeanTeacher": lambda _: MeanTeacher(encoder()),
    "MultiTask": lambda _: MultiTask(trunk(), TASKS, weighting="uncertainty"),
    "MutualLearning": lambda _: MutualLearning(encoder(), encoder()),
    "NamedAnswers": lambda _: named(),
    "PCGrad": lambda _: PCGrad(trunk(), TASKS),
    "PictureClassifier": lambda _: named(),
    "Preprocessing": lambda _: rows(Preprocessing("tf")),
    "PrototypicalNetwork": lambda _: PrototypicalNetwork(encoder(), 2, 1),
    "SimCLR": lambda _: pretraining.SimCLR(learner(), temperature=0.3),
    "SimSiam": lambda _: pretraining.SimSiam(learner()),
    "SourceFree": lambda _: SourceFree(encoder(), head()),
    "SelfTraining": lambda _: SelfTraining(encoder()),
    "SoftDivergence": lambda _: distilling(),
    "add_bottlenecks": lambda _: add_bottlenecks(classifier(tiny_backbone(), 2), 2),
    "adapt_batch_norm": lambda _: adapted(),
    "build_small": lambda _: build_small((2, 3)),
    "build_network": lambda _: build_network(),
    "classifier": lambda _: classifier(tiny_backbone(), 2),
    "dense_network": lambda _: dense_network(3, (4,), 2, batch_norm=True),
    "digit_network": lambda _: digit_network(20)[0],
    "ensemble": lambda _: ensemble([encoder()]),
    "interpolate": lambda _: interpolate(encoder(), encoder(), 0.5),
    "merge_lora": lambda _: merged(),
    "randomise_weights": lambda _: randomise_weights(classifier(tiny_backbone(), 2)),
    "picture_classifier": lambda _: named(),
    "prediction_head": lambda _: pretraining.prediction_head(8),
    "projection_head": lambda _: pretraining.projection_head(3, 4),
    "soup": lambda _: soup([encoder(), encoder()]),
    "linear_head": lambda _: probes.linear_head(3, 2),
    "warmup_cosine": lambda _: compiled(
        keras.optimizers.Adam(training.warmup_cosine(0.1, 9))
    ),
}
MODEL = re.compile(r"\s*\(?.{0,40}(keras\.(Model|optimizers)|Classifier)", re.S)
# what is tested; inner parts of `segmenter`, of all that combines, of `fit_folder`
NOT_MADE = {"load_model", "maps_of", "copy_of", "probe_classifier", "fine_tuned"}
ALONE = """
import json, sys
for path, rows in json.load(open(sys.argv[1])):
    for name in [name for name in sys.modules if name.startswith("tl_helpers")]:
        del sys.modules[name]
    if "keras" in sys.modules:
        import keras
        keras.saving.get_custom_objects().clear()
    from tl_helpers.saving import load_model
    model = load_model(path)
    import keras, numpy as np
    answers = keras.tree.flatten(model(np.load(rows)))
    np.savez(path + ".npz", *[keras.ops.convert_to_numpy(x) for x in answers])
"""


def public_functions(module):
    """Functions that a module defines for others."""
    for name, made in vars(importlib.import_module(module)).items():
        is_own = inspect.isfunction(made) and made.__module__ == module
        if is_own and not name.startswith("_"):
            yield name, (inspect.getdoc(made) or "").partition("Returns:")[2]


def makers():
    """Names of what the package registers with Keras, and of what returns a model."""
    found = set()
    for module in pkgutil.walk_packages(tl_helpers.__path__, "tl_helpers."):
        if not module.name.startswith(("tl_helpers.tools", "tl_helpers.__main__")):
            functions = public_functions(module.name)
            found |= {name for name, returns in functions if MODEL.match(returns)}
    prefix, registered = "tl_helpers>", keras.saving.get_custom_objects()
    own = [name for name in registered if name.startswith(prefix)]
    return found | {name.removeprefix(prefix) for name in own}


def test_nothing_that_the_package_makes_is_missing_here():
    assert makers() - NOT_MADE == set(MADE)


def shape_of(model):
    """Shape of one row that a model takes."""
    for inner in ("trunk", "encoder", "first", "student", "classifier"):
        model = getattr(model, inner, model)
    return [size or 8 for size in model.input_shape[1:]]


@pytest.fixture(scope="module")
def read_alone(tmp_path_factory):
    """{name: (answers, answers of the model that another process read)}."""
    folder = tmp_path_factory.mktemp("alone")
    answers, jobs = {}, []
    for name, make in MADE.items():
        keras.utils.set_random_seed(0)
        model = make(folder)
        given = np.random.default_rng(0).random((2, *shape_of(model)), "float32")
        np.save(folder / f"{name}.npy", given)
        answers[name] = keras.tree.flatten(model(given))
        path = save_model(model, folder / f"{name}.keras")
        jobs.append([str(path), str(folder / f"{name}.npy")])
    (folder / "jobs.json").write_text(json.dumps(jobs))
    command = [sys.executable, "-c", ALONE, str(folder / "jobs.json")]
    subprocess.run(command, check=True)
    return folder, answers


@pytest.mark.parametrize("name", MADE)
def test_load_model_needs_no_other_import(name, read_alone):
    folder, answers = read_alone
    with np.load(folder / f"{name}.keras.npz") as read:
        assert len(read.files) == len(answers[name])
        for one, other in zip(answers[name], read.values(), strict=True):
            np.testing.assert_array_equal(one, other)
