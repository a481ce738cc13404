"""Keras set for half precision or for channels first: right answers, or a sentence."""

import keras
import numpy as np
import pytest
from keras import layers
from tiny import tiny_backbone, tiny_images

from tl_helpers import backbones, explanation, features, robustness
from tl_helpers.adaptation import digit_network
from tl_helpers.finetuning import classifier
from tl_helpers.multitask import Classification, MultiTask


@pytest.fixture
def channels_first():
    """A backbone built before Keras is told to take channels first, as loaded ones."""
    backbone = tiny_backbone()
    keras.config.set_image_data_format("channels_first")
    yield backbone
    keras.config.set_image_data_format("channels_last")


@pytest.fixture
def half_precision():
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(
    "build",
    [
        lambda: backbones.load("embedded"),
        lambda: backbones.load("MobileNetV2", pretrained=False),
        lambda: digit_network(),
        lambda: MultiTask(
            keras.Sequential([keras.Input((2,)), layers.Dense(2)]),
            {"class": Classification(2)},
        ),
    ],
    ids=["embedded", "application", "digits", "multitask"],
)
def test_builders_refuse_channels_first(channels_first, build):
    with pytest.raises(ValueError, match="'channels_first' in Keras, expected 'chan"):
        build()


def test_features_and_classifiers_pool_height_and_width_all_the_same(channels_first):
    """By Keras's default they would average over height and channels."""
    maps = channels_first.extractor(pool=False).predict(
        tiny_images().pixels(), verbose=0
    )
    wanted = maps.mean(axis=(1, 2))
    for found in (
        features.compute(channels_first, tiny_images()),
        classifier(channels_first, 2).extractor().predict(tiny_images().pixels()),
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_classifier_gives_float32_logits_in_half_precision(half_precision):
    model = classifier(tiny_backbone(), 2)
    assert model.get_layer("block1_conv").compute_dtype == "float16"
    assert model.predict_on_batch(tiny_images().pixels()).dtype == np.float32


def test_explanations_and_attacks_are_float32_in_half_precision(half_precision):
    model, images = classifier(tiny_backbone(), 2), tiny_images(4)
    cam = explanation.grad_cam(model, images, 1, "block1")
    attacked = robustness.pgd(model, images, images.labels, 4, 2)
    assert cam.dtype == attacked.dtype == np.float32
    assert 0 < np.abs(attacked - images.pixels()).max() <= 4
