"""Image files of every kind become RGB uint8, or a sentence that names them."""

import numpy as np
import pytest
from PIL import Image

from tl_helpers.datasets import files
from tl_helpers.datasets.files import ImageFiles, decode_image, file_digest

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def saved(folder, image, name="a.png", **options):
    """Save a Pillow image or an array; return its path."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(folder / name, **options)
    return folder / name


def test_decode_image_returns_the_pixels_of_a_file_of_that_size(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    image = decode_image(saved(tmp_path, pixels), 32)
    assert image.dtype == np.uint8 and np.array_equal(image, pixels)


def test_decode_image_crops_the_centre(tmp_path):
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = 200
    assert (decode_image(saved(tmp_path, pixels), 10) == 200).all()


def test_decode_image_averages_when_it_shrinks(tmp_path):
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    inner = decode_image(saved(tmp_path, stripes), 8)[1:-1, 1:-1]
    assert np.abs(inner.astype(int) - 127).max() <= 20


def test_decode_image_applies_the_orientation(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = RED
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    path = saved(tmp_path, pixels, exif=exif)
    image = decode_image(path, 8)
    assert tuple(image[-1, 0]) == RED and tuple(image[0, 0]) == (0, 0, 0)


def test_decode_image_applies_the_orientation_below_transparency(tmp_path):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:4] = (*RED, 255)
    exif = Image.Exif()
    exif[0x0112] = 3
    image = decode_image(saved(tmp_path, pixels, exif=exif), 8)
    assert tuple(image[-1, 0]) == RED and tuple(image[0, 0]) == WHITE


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr", "LA", "RGBA", "PA"])
def test_decode_image_turns_every_mode_into_rgb(tmp_path, mode):
    name = "a.tif" if mode in ("CMYK", "YCbCr") else "a.png"
    source = Image.new("RGB", (6, 6), "white")
    if mode == "PA":
        mode, source = "P", source.convert("RGBA")
    image = decode_image(saved(tmp_path, source.convert(mode), name), 6)
    assert image.shape == (6, 6, 3) and (image >= 254).all()


def test_decode_image_reads_a_cmyk_jpeg(tmp_path):
    path = saved(tmp_path, Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "a.jpg")
    red, green, blue = decode_image(path, 16)[8, 8].astype(int)
    assert red > 200 and green < 40 and blue < 40


def test_decode_image_lays_transparency_on_white(tmp_path):
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert (decode_image(saved(tmp_path, clear), 4) == 255).all()
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 128))
    assert set(decode_image(saved(tmp_path, half, "b.png"), 4).flat) == {127}


def test_decode_image_honours_a_transparent_palette_colour(tmp_path):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([0, 0, 0, 9, 9, 9])
    path = saved(tmp_path, image, transparency=0)
    assert (decode_image(path, 4) == 255).all()


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_decode_image_scales_16_bits(tmp_path, name):
    values = np.full((4, 4), 257 * 100, np.uint16)
    values[0] = 65535
    image = decode_image(saved(tmp_path, values, name), 4)
    assert (image[0] == 255).all() and (image[1:] == 100).all()


def test_decode_image_takes_the_first_frame(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN, BLUE)]
    path = saved(tmp_path, frames[0], "a.gif", save_all=True, append_images=frames[1:])
    assert tuple(decode_image(path, 4)[0, 0]) == RED


def test_decode_image_enlarges_one_pixel(tmp_path):
    image = decode_image(saved(tmp_path, Image.new("RGB", (1, 1), BLUE)), 8)
    assert image.shape == (8, 8, 3) and (image == BLUE).all()


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_decode_image_reads_20000_pixels_width(tmp_path, name):
    wide = Image.new("RGB", (20_000, 40), WHITE)
    wide.paste(BLUE, (9_900, 0, 10_100, 40))
    red, _, blue = decode_image(saved(tmp_path, wide, name), 32)[16, 16].astype(int)
    assert red < 10 and blue > 245


def test_decode_image_refuses_more_pixels_than_stated(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_PIXELS", 5_000_000)
    (tmp_path / "cats").mkdir()
    path = saved(tmp_path / "cats", Image.new("1", (20_000, 300)))
    with pytest.raises(ValueError, match="20000 x 300 pixels.*at most 5 million"):
        decode_image(path, 8)
    # A JPEG is decoded at an eighth of its size, so the same picture passes.
    jpeg = saved(tmp_path, Image.new("L", (20_000, 300)), "a.jpg")
    assert decode_image(jpeg, 8).shape == (8, 8, 3)


@pytest.mark.parametrize("kind", ["truncated", "text", "empty"])
def test_decode_image_names_the_bad_file_and_its_class(tmp_path, kind):
    (tmp_path / "cats").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = saved(tmp_path / "cats", noise, "tom.jpg")
    whole = path.read_bytes()
    half = whole[: len(whole) // 2]
    path.write_bytes({"truncated": half, "text": b"not an image", "empty": b""}[kind])
    with pytest.raises(ValueError, match=r"tom.jpg \(class folder 'cats'\)"):
        decode_image(path, 8)


def test_decode_image_reads_a_png_named_jpg(tmp_path):
    path = saved(tmp_path, Image.new("RGB", (4, 4), RED), "a.jpg", format="PNG")
    assert (decode_image(path, 4) == RED).all()


def test_decode_image_refuses_floats_of_unknown_range(tmp_path):
    path = saved(tmp_path, np.full((4, 4), 0.5, np.float32), "a.tif")
    with pytest.raises(ValueError, match="mode F, not 8 or 16 bits"):
        decode_image(path, 4)


@pytest.fixture
def twenty(tmp_path):
    """Twenty files of one grey level each, 0 to 190."""
    paths = [
        saved(tmp_path, Image.new("L", (5, 5), 10 * i), f"{i:02}.png")
        for i in range(20)
    ]
    return ImageFiles(paths, 4)


def test_image_files_decodes_rows_in_the_order_asked_for(twenty):
    assert twenty.shape == (20, 4, 4, 3) and twenty.dtype == np.uint8
    rows = np.array([7, 0, 19, 7])
    images = twenty[rows]
    assert images.shape == (4, 4, 4, 3) and images.dtype == np.uint8
    assert images[:, 0, 0, 0].tolist() == [70, 0, 190, 70]
    assert twenty[3].shape == (4, 4, 3) and len(twenty[:0]) == 0


def test_image_files_subset_keeps_the_chosen_rows(twenty):
    part = twenty.subset(np.array([4, 2]))
    assert len(part) == 2 and part[:][:, 0, 0, 0].tolist() == [40, 20]


def test_image_files_decodes_only_what_is_asked_for(twenty, monkeypatch):
    decoded = []
    real = decode_image
    monkeypatch.setattr(
        files, "decode_image", lambda *a: decoded.append(a[0]) or real(*a)
    )
    twenty.subset(np.arange(10))[np.array([1, 2])]
    assert len(decoded) == 2


def test_image_files_fingerprint_follows_bytes_order_and_size(twenty):
    assert twenty.fingerprint == ImageFiles(twenty.paths, 4).fingerprint
    others = [
        twenty.subset(np.arange(20)[::-1]),
        twenty.subset(np.arange(19)),
        ImageFiles(twenty.paths, 5),
    ]
    prints = {twenty.fingerprint, *(other.fingerprint for other in others)}
    assert len(prints) == 4


def test_image_files_fingerprint_notices_a_changed_file(twenty, tmp_path):
    before = twenty.fingerprint
    saved(tmp_path, Image.new("L", (5, 5), 255), "00.png")
    assert ImageFiles(twenty.paths, 4).fingerprint != before


def test_file_digest_is_the_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a").hex().startswith("ba7816bf8f01cfea414140de5dae")
