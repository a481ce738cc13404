"""Folders of images as people have them, small enough for a test."""

import keras
import numpy as np
import pytest
from PIL import Image
from tiny import tiny_backbone

from tl_helpers import backbones, profiles
from tl_helpers.fitting import candidates, curves, protocol, tuning

TURNED = 274, 6  # EXIF: the camera was held upright


def drawn(seed, level=60, size=(96, 80)):
    """A picture with a pattern of its own: uint8 (height, width, 3), RGB, [0, 255]."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 90, (4, 5, 3), np.uint8)
    pixels = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR))
    return pixels + np.uint8(level)


def write(path, pixels, mode="RGB", **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(path, **settings)


def dark_and_bright(folder, num_images=10, first=0, names=("bright", "dark")):
    """Two classes that anything can tell apart, every picture another one."""
    for place, name in enumerate(names):
        for i in range(num_images):
            seed = first + 1000 * place + i
            write(folder / name / f"{i:03d}.png", drawn(seed, 150 * (place == 0)))
    return folder


def odd_folder(folder):
    """Every format and fault that `inspect_folder` knows, in three usable classes."""
    dark_and_bright(folder, 6, names=("bright", "dark", "other"))
    write(folder / "bright/a.jpg", drawn(1, 140), quality=90)
    write(folder / "bright/b.webp", drawn(2, 140))
    write(folder / "dark/c.png", drawn(3), "L")
    write(folder / "dark/d.png", drawn(4), "RGBA")
    write(folder / "dark/e.jpg", drawn(5), "CMYK")
    exif = Image.Exif()
    exif[TURNED[0]] = TURNED[1]
    write(folder / "dark/f.jpg", drawn(6), exif=exif)
    (folder / "dark/broken.jpg").write_bytes(b"\xff\xd8\xff" + bytes(40))
    (folder / "dark/notes.txt").write_text("no image")
    write(folder / "lonely/one.png", drawn(7))
    (folder / "empty").mkdir()
    (folder / "readme.md").write_text("loose")
    return folder


def bytes_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def tiny_network(monkeypatch):
    """Whatever backbone is asked for is a tiny one at 8 px; less is tried out."""

    def load(name, pretrained=True):
        keras.utils.set_random_seed(3)
        return tiny_backbone()

    monkeypatch.setattr(backbones, "load", load)
    monkeypatch.setattr(profiles, "start", lambda: None)  # other tests began already
    monkeypatch.setattr(candidates, "SMALL_PX", 8)
    monkeypatch.setattr(candidates, "USUAL_PX", 8)
    monkeypatch.setattr(protocol, "NUM_FOLDS", 3)
    monkeypatch.setattr(curves, "SHARES", (0.3, 0.56, 1.0))
    monkeypatch.setattr(tuning, "EPOCHS", 2)
