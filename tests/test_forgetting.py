"""Forgetting: nothing is lost where nothing moved, all where features are gone."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from tiny import tiny_images

from tl_helpers.finetuning import forgetting


def mean_colour(scale):
    """A network whose features are the image's mean colours, times a scale."""
    images = keras.Input((8, 8, 3))
    x = keras.layers.Rescaling(scale / 255)(images)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))


@pytest.fixture
def source():
    return tiny_images(40, seed=1), tiny_images(40, seed=2)


def test_unchanged_network_forgets_nothing(source):
    result = forgetting(mean_colour(1), mean_colour(1), *source)
    assert result.before == result.after == result.refitted == 1


def test_forgetting_compares_the_names_of_the_classes(source):
    train, test = source
    turned = replace(test, class_names=test.class_names[::-1])
    with pytest.raises(ValueError, match="for class 0 in the test set, expected"):
        forgetting(mean_colour(1), mean_colour(1), train, turned)


def test_turned_features_are_forgotten_by_the_old_probe_only(source):
    """Every feature changes its sign: the old probe is wrong, a new one is not."""
    result = forgetting(mean_colour(1), mean_colour(-1), *source)
    assert result.after < 0.6 and result.refitted == 1


def test_empty_features_are_lost(source):
    assert np.isclose(forgetting(mean_colour(1), mean_colour(0), *source).refitted, 0.5)
