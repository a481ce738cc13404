"""A picture of one's own: path, button, Colab's dialogue, or the one that stands in."""

import importlib
import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tl_helpers import datasets
from tl_helpers.datasets import uploads


def png(colour=(200, 30, 10)):
    file = io.BytesIO()
    Image.new("RGB", (30, 20), colour).save(file, "PNG")
    return file.getvalue()


def test_without_a_choice_a_flower_stands_in():
    for button in (None, SimpleNamespace(value=())):
        pixels, name = datasets.own_picture(button=button, size_px=32)
        assert (pixels.shape, pixels.dtype, name) == (
            (1, 32, 32, 3),
            np.uint8,
            "flower.jpg",
        )


@pytest.mark.parametrize(
    "value",
    [
        ({"name": "red.png", "content": memoryview(png())},),
        {"red.png": {"content": png(), "metadata": {}}},
    ],
    ids=["ipywidgets 8", "ipywidgets 7"],
)
def test_the_buttons_picture_is_read(value):
    pixels, name = datasets.own_picture(button=SimpleNamespace(value=value))
    assert name == "red.png"
    assert (pixels == (200, 30, 10)).all()


def test_a_path_goes_before_the_button(tmp_path):
    (tmp_path / "blue.png").write_bytes(png((0, 0, 250)))
    button = SimpleNamespace(value=({"name": "red.png", "content": png()},))
    pixels, name = datasets.own_picture(str(tmp_path / "blue.png"), button)
    assert name == "blue.png" and (pixels[..., 2] == 250).all()


def test_colab_is_asked_only_when_told_to(monkeypatch):
    with pytest.raises(ValueError, match="outside Colab"):
        datasets.own_picture("upload")
    files = SimpleNamespace(upload=lambda: {"red.png": png()})
    colab = SimpleNamespace(files=files)
    monkeypatch.setitem(sys.modules, "google", SimpleNamespace(colab=colab))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    assert datasets.own_picture()[1] == "flower.jpg"
    assert datasets.own_picture("upload")[1] == "red.png"
    monkeypatch.setattr(files, "upload", dict)
    with pytest.raises(ValueError, match="Got no file"):
        datasets.own_picture("upload")


def test_what_is_no_image_is_named(tmp_path):
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(ValueError, match=r"a\.png"):
        datasets.own_picture(tmp_path / "a.png")


@pytest.mark.parametrize("can_ask", [True, False])
def test_the_button_is_shown_only_to_people(monkeypatch, can_ask):
    shown = []
    monkeypatch.setattr(uploads, "_can_ask", lambda: can_ask)
    display = importlib.import_module("IPython.display")
    monkeypatch.setattr(display, "display", shown.append)
    button = datasets.upload_button()
    assert shown == ([button] if can_ask else [])
    assert (button is None) != can_ask
    assert datasets.own_picture(button=button)[1] == "flower.jpg"


def test_nobody_is_there_outside_a_notebook():
    assert datasets.upload_button() is None
