from dataclasses import replace

import keras
import numpy as np
import pytest
from pictures_of_own import drawn, write
from tiny import tiny_backbone, tiny_images

from tl_helpers.features import extract
from tl_helpers.fitting import shift
from tl_helpers.fitting.shift import load_unlabelled, measure_shift
from tl_helpers.fitting.tuning import probe_classifier
from tl_helpers.training import accuracy


@pytest.fixture(scope="module")
def home():
    """A classifier and the images that it learnt from."""
    keras.utils.set_random_seed(3)
    backbone, images = tiny_backbone(), tiny_images(120)
    return probe_classifier(backbone, extract(backbone, images), "block2"), images


def paler(images):
    """The same kind of pictures from a camera with a third of the contrast."""
    pixels = (images.pixels() // 3 + 100).astype(np.uint8)
    return replace(images, images=pixels)


def test_images_like_those_at_home_are_left_alone(home):
    found, adapted = measure_shift(*home, tiny_images(120, seed=1))
    assert found["reason"] == "none" and adapted is None


def test_another_camera_is_noticed_and_adapting_helps(home):
    model, images = home
    away = paler(tiny_images(120, seed=1))
    found, adapted = measure_shift(model, images, away)
    assert found["distance"] > found["noise"]
    if found["reason"] == "adapted":
        assert accuracy(adapted, away) >= accuracy(model, away)
    assert found["reason"] in ("adapted", "few classes")


@pytest.mark.parametrize(
    "number, reason", [(12, "few"), (60, "too few to adapt"), (120, "adapted")]
)
def test_what_is_done_follows_from_the_number_of_images(
    home, monkeypatch, number, reason
):
    monkeypatch.setattr(shift, "MIN_SPREAD", 0.0)
    found, adapted = measure_shift(*home, paler(tiny_images(number, seed=1)))
    assert found["reason"] == reason
    assert (adapted is not None) == (reason == "adapted")


def test_two_classes_of_which_one_occurs_are_not_adapted_to(home):
    model, images = home
    away = paler(tiny_images(300, seed=1))
    found, _ = measure_shift(model, images, away[np.flatnonzero(away.labels == 1)])
    assert found["reason"] == "few classes"


def test_adapting_that_brings_nothing_nearer_is_dropped(home, monkeypatch):
    monkeypatch.setattr(shift, "MIN_SPREAD", 0.0)
    monkeypatch.setattr(shift, "adapt_batch_norm", lambda model, *_, **__: model)
    found, adapted = measure_shift(*home, paler(tiny_images(120, seed=1)))
    assert found["reason"] == "no gain" and adapted is None


def test_unlabelled_images_come_from_any_depth_and_broken_ones_are_named(tmp_path):
    write(tmp_path / "a/b/one.png", drawn(1))
    write(tmp_path / "two.jpg", drawn(2))
    (tmp_path / "three.txt").write_text("no image")
    images, broken = load_unlabelled(tmp_path, 8)
    assert len(images) == 2 and broken == ["three.txt"]
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="without a readable image"):
        load_unlabelled(tmp_path / "none", 8)
    with pytest.raises(FileNotFoundError, match="check the path"):
        load_unlabelled(tmp_path / "nowhere", 8)
