"""Image files of every kind become RGB uint8, or a sentence that names them."""

import os
import struct
import tracemalloc
import zlib
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tl_helpers.datasets import decoding, files
from tl_helpers.datasets.files import (
    ImageFiles,
    decode_image,
    file_digest,
    survey,
)

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


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "b.png", "c.tif", "d.jpg", "e.webp"])
def test_decode_image_turns_what_a_camera_turned(tmp_path, name, orientation):
    """Row and column of the bright corner, from the table of the EXIF standard."""
    grey = np.zeros((16, 16), np.uint16 if name == "b.png" else np.uint8)
    grey[:4, :4] = 65535 if name == "b.png" else 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode_image(saved(tmp_path, grey, name, exif=exif), 16)[..., 0]
    corners = image[[0, 0, -1, -1], [0, -1, -1, 0]] > 128
    # 1 upright, 2 mirrored, 3 upside down, 4 flipped, 5 to 8 lie on a side
    assert np.flatnonzero(corners) == [None, 0, 1, 2, 3, 0, 1, 2, 3][orientation]


@pytest.mark.parametrize(
    "mode, name, stored, expected",
    [
        ("1", "a.png", 255, WHITE),
        ("L", "a.gif", 77, (77, 77, 77)),
        ("L", "a.bmp", 77, (77, 77, 77)),
        ("LA", "a.png", (100, 51), (224, 224, 224)),  # 100 x 0.2 + 255 x 0.8
        ("LA", "a.tif", (100, 51), (224, 224, 224)),
        ("RGB", "a.tif", (1, 2, 3), (1, 2, 3)),
        ("RGB", "a.ppm", (1, 2, 3), (1, 2, 3)),
        ("RGBA", "a.png", (200, 100, 0, 51), (244, 224, 204)),
        ("RGBA", "a.tif", (200, 100, 0, 51), (244, 224, 204)),
        ("CMYK", "a.tif", (0, 255, 255, 0), RED),
        ("CMYK", "a.tif", (0, 0, 0, 155), (100, 100, 100)),
        ("YCbCr", "a.tif", (76, 85, 255), (254, 0, 0)),
        ("I;16", "a.png", 257 * 100, (100, 100, 100)),
        ("I;16B", "a.tif", 257 * 100, (100, 100, 100)),
        ("I", "a.tif", 257 * 100, (100, 100, 100)),
    ],
)
def test_decode_image_turns_every_mode_into_rgb(tmp_path, mode, name, stored, expected):
    path = saved(tmp_path, Image.new(mode, (6, 6), stored), name)
    image = decode_image(path, 6)
    assert image.shape == (6, 6, 3) and (image == expected).all()


def test_decode_image_lays_a_palette_with_alpha_on_white(tmp_path):
    image = Image.new("P", (4, 4))
    image.putpalette([200, 100, 0, 9, 9, 9])
    image.paste(1, (2, 0, 4, 4))
    path = saved(tmp_path, image, transparency=bytes([51, 255]))
    assert decode_image(path, 4)[0, [0, 3]].tolist() == [[244, 224, 204], [9, 9, 9]]


def test_decode_image_reads_lossless_webp(tmp_path):
    image = Image.new("RGBA", (4, 4), (200, 100, 0, 255))
    image.putpixel((0, 0), (0, 0, 0, 0))
    pixels = decode_image(saved(tmp_path, image, "a.webp", lossless=True), 4)
    assert pixels[0, :2].tolist() == [[255, 255, 255], [200, 100, 0]]


def png(path, depth, colour, values, clear):
    """Write a PNG of one row whose `clear` value is transparent."""
    values = np.array(values)
    if depth == 16:
        row = values.astype(">u2").tobytes()
    else:
        bits = "".join(f"{value:0{depth}b}" for value in values)
        row = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(
            -(-len(bits) // 8)
        )
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", len(values), 1, depth, colour, 0, 0, 0),
        b"tRNS": np.array(clear, ">u2").tobytes(),
        b"IDAT": zlib.compress(b"\0" + row),
        b"IEND": b"",
    }
    content = b"\x89PNG\r\n\x1a\n"
    for name, data in chunks.items():
        if name == b"tRNS" and not data:
            continue
        check = struct.pack(">I", zlib.crc32(name + data))
        content += struct.pack(">I", len(data)) + name + data + check
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "depth, values, clear, expected",
    [
        (2, [0, 1, 2], 2, [0, 85, 255]),
        (4, [0, 7, 14], 7, [0, 255, 238]),
        (8, [0, 7, 14], 7, [0, 255, 14]),
        (16, [0, 25700, 4095, 65535], 4095, [0, 100, 255, 255]),
        (16, [0, 25700, 4095, 65535], 0, [255, 100, 16, 255]),
    ],
)
def test_decode_image_honours_a_transparent_grey(
    tmp_path, depth, values, clear, expected
):
    path = png(tmp_path / "a.png", depth, 0, values, clear)
    for column, grey in enumerate(expected):
        one = png(tmp_path / "b.png", depth, 0, [values[column]], clear)
        assert (decode_image(one, 1) == grey).all()
    assert decode_image(path, 1).shape == (1, 1, 3)


def test_decode_image_honours_a_transparent_colour_of_16_bits(tmp_path):
    colour = (0x1234, 0x5600, 0x0012)
    clear = png(tmp_path / "a.png", 16, 2, [colour], colour)
    assert (decode_image(clear, 1) == 255).all()
    opaque = png(tmp_path / "b.png", 16, 2, [colour], (1, 2, 3))
    assert decode_image(opaque, 1).tolist() == [[[0x12, 0x56, 0x00]]]


@pytest.mark.parametrize("values", [(0, 65535), (0, 255)])
def test_decode_image_honours_a_tiff_whose_zero_is_white(tmp_path, values):
    kind = np.uint16 if values[1] > 255 else np.uint8
    for value, expected in zip(values, (255, 0), strict=True):
        pixels = np.full((2, 2), value, kind)
        (tmp_path / "a.tif").write_bytes(tiff(pixels.tobytes(), 8 * pixels.itemsize))
        assert (decode_image(tmp_path / "a.tif", 2) == expected).all()


def tiff(data, bits, num_frames=1):
    """Return a TIFF of 2 x 2 px frames that share their data, 0 is white."""
    tags = [(256, 2), (257, 2), (258, bits), (259, 1), (262, 0), (273, 8)]
    tags += [(277, 1), (278, 2), (279, len(data))]
    content = struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data
    for frame in range(num_frames):
        content += struct.pack("<H", len(tags))
        content += b"".join(
            struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags
        )
        is_last = frame == num_frames - 1
        content += struct.pack("<I", 0 if is_last else len(content) + 4)
    return content


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
    monkeypatch.setattr(decoding, "MAX_PIXELS", 5_000_000)
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
    with pytest.raises(ValueError, match=r"tom.jpg \(class folder 'cats'\)") as error:
        decode_image(path, 8)
    assert "BufferedReader" not in str(error.value)


def test_decode_image_reads_a_png_named_jpg(tmp_path):
    path = saved(tmp_path, Image.new("RGB", (4, 4), RED), "a.jpg", format="PNG")
    assert (decode_image(path, 4) == RED).all()


@pytest.mark.parametrize(
    "low, high, kind, offered",
    [
        (0, 1, np.float32, "0, 1"),
        (0.25, 3.5, np.float32, "0, 3.5"),
        (-1000, 3000, np.int32, "-1000, 3000"),
        (5, 100_000, np.int32, "0, 131071"),
    ],
)
def test_decode_image_refuses_values_of_unknown_range(
    tmp_path, low, high, kind, offered
):
    path = saved(tmp_path, np.array([[low, high]], kind), "a.tif")
    with pytest.raises(ValueError, match=rf"to {high}, .*pixel_range=\({offered}\)"):
        decode_image(path, 4)


@pytest.mark.parametrize(
    "kind, pixel_range, value, expected",
    [
        (np.uint16, (0, 4095), 4095, 255),
        (np.uint16, (0, 4095), 819, 51),  # a fifth
        (np.uint16, (1000, 2000), 1500, 128),
        (np.uint16, (1000, 2000), 900, 0),
        (np.uint16, (1000, 2000), 60_000, 255),
        (np.int32, (-1000, 3000), 0, 64),
        (np.float32, (0, 1), 0.2, 51),
    ],
)
def test_decode_image_scales_the_range_that_is_named(
    tmp_path, kind, pixel_range, value, expected
):
    path = saved(tmp_path, np.full((4, 4), value, kind), "a.tif")
    assert (decode_image(path, 4, pixel_range) == expected).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_decode_image_refuses_floats_that_are_not_finite(tmp_path, value):
    path = saved(tmp_path, np.array([[0, value]], np.float32), "a.tif")
    with pytest.raises(ValueError, match="not finite"):
        decode_image(path, 4, (0, 1))


def test_decode_image_says_how_to_read_heic(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(ValueError, match="HEIC.*export it as JPEG.*pillow-heif"):
        decode_image(tmp_path / "a.jpg", 4)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_decode_image_does_not_wait_at_a_pipe(tmp_path, make):
    make(tmp_path / "a.png")
    for read in (lambda path: decode_image(path, 4), file_digest):
        with pytest.raises(ValueError, match="a.png is a (pipe|folder)"):
            read(tmp_path / "a.png")


def test_decode_image_reads_one_of_many_frames(tmp_path):
    """The others are not even looked for: their data would not be there."""
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(bytes([100]) * 4, 8, num_frames=3000))
    assert (decode_image(path, 2) == 155).all()


def test_decode_image_refuses_a_side_that_takes_minutes(tmp_path):
    path = saved(tmp_path, Image.new("1", (1, decoding.MAX_SIDE_PX + 1)))
    with pytest.raises(ValueError, match="1 x 65537 pixels.*65536 px a side"):
        decode_image(path, 8)


def test_decode_image_reduces_a_photograph_of_200_megapixels(tmp_path, recwarn):
    """Only the header says so; libjpeg makes up the data, at an eighth of a side."""
    small = saved(tmp_path, Image.new("L", (64, 64), 128), "a.jpg").read_bytes()
    start = small.index(b"\xff\xc0") + 5

    def of_size(height, width):
        size = struct.pack(">HH", height, width)
        (tmp_path / "b.jpg").write_bytes(small[:start] + size + small[start + 4 :])
        return tmp_path / "b.jpg"

    assert (decode_image(of_size(12_240, 16_320), 64) == 128).all()
    with pytest.raises(ValueError, match="16001 x 20000 pixels"):
        decode_image(of_size(20_000, 16_001), 64)
    assert not recwarn.list


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


@settings(max_examples=50)
@given(
    values=st.lists(st.integers(0, 65535), min_size=16, max_size=16),
    ends=st.lists(st.integers(-9, 70_000), min_size=2, max_size=2, unique=True),
)
def test_decode_image_scales_every_value_as_the_formula_does(values, ends):
    black, white = sorted(ends)
    expected = [
        min(255, max(0, round(Fraction(255 * (x - black), white - black))))
        for x in values
    ]
    with TemporaryDirectory() as folder:
        path = saved(Path(folder), np.array(values, np.uint16).reshape(4, 4))
        assert (
            decode_image(path, 4, (black, white))[..., 0].ravel().tolist() == expected
        )


@pytest.mark.parametrize("colour", [2, 6])
def test_survey_sees_12_bits_in_colour_files_of_16(tmp_path, colour):
    values = [(4095, 0, 1000), (4095, 0, 1000, 0)][colour == 6]
    clear = (4095, 0, 1000) if colour == 2 else ()  # all of it is laid on white
    path = png(tmp_path / "a.png", 16, colour, [values], clear)
    _, levels = survey([path], 1)
    assert levels[path] == (0, 257 * (4095 >> 8), "16 bits a colour")


def test_image_files_fingerprint_follows_the_pixel_range(twenty):
    ranged = ImageFiles(twenty.paths, 4, pixel_range=[0, 4095])
    prints = {
        twenty.fingerprint,
        ranged.fingerprint,
        ranged.subset(range(20)).fingerprint,
    }
    assert len(prints) == 2 and ranged.resized(5).pixel_range == (0, 4095)


def test_image_files_fingerprint_is_hashed_again(twenty, tmp_path):
    """Same object, same length of file, same tick of the clock."""
    before = twenty.fingerprint
    content = (tmp_path / "00.png").read_bytes()
    (tmp_path / "00.png").write_bytes(content[:-1] + b"x")
    assert twenty.fingerprint != before


def test_image_files_number_copies_alike(twenty, tmp_path):
    (tmp_path / "07.png").write_bytes((tmp_path / "03.png").read_bytes())
    copies = twenty.copies
    assert copies[7] == copies[3] and len(set(copies.tolist())) == 19


def test_a_file_takes_little_memory_beside_its_path(tmp_path, monkeypatch):
    """Sets of a hundred thousand files are made to be larger than memory."""
    paths = [str(tmp_path / f"{row:04d}.jpg") for row in range(1000)]
    for row, path in enumerate(paths):
        Path(path).write_bytes(row.to_bytes(2, "little"))
    monkeypatch.setattr(files, "UNSETTLED_NS", 0)  # new files are remembered at once
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    images = ImageFiles(paths, 8)
    first = images.fingerprint
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert images.fingerprint == first
    assert taken / len(paths) < 200  # bytes; a tuple for each took 270


def test_file_digest_is_the_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a").hex().startswith("ba7816bf8f01cfea414140de5dae")
