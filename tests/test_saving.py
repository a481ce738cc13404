"""Model files: `.keras` only, safe, never half-written, read without other imports."""

import io
import json
import zipfile

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from tl_helpers.saving import load_model, read_variables, save_model, set_variables


@pytest.fixture
def tiny_model():
    return keras.Sequential([keras.Input((3,)), layers.Dense(2)])


def test_save_model_round_trip(tiny_model, tmp_path):
    x = np.ones((1, 3), "float32")
    again = load_model(save_model(tiny_model, tmp_path / "m.keras"))
    np.testing.assert_array_equal(again(x), tiny_model(x))


@pytest.mark.parametrize("name", ["m.h5", "m.hdf5", "m"])
def test_load_model_refuses_other_formats(name, tmp_path):
    with pytest.raises(ValueError, match="ends in '.keras'"):
        load_model(tmp_path / name)


def test_load_model_names_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_model(tmp_path / "absent.keras")


def test_load_model_refuses_what_is_no_path():
    with pytest.raises(ValueError, match="type int, expected str or Path"):
        load_model(3)


def test_save_model_refuses_what_is_no_model(tmp_path):
    with pytest.raises(ValueError, match="Got a dict to save"):
        save_model({}, tmp_path / "m.keras")
    assert not list(tmp_path.iterdir())


# Files that are no model


def archive(members, **settings):
    """Bytes of a zip archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **settings) as written:
        for name, content in members.items():
            written.writestr(name, content)
    return file.getvalue()


def encrypted(content):
    """Bytes of an archive, with the flag set that asks for a password."""
    content = bytearray(content)
    for header, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(header) + offset] |= 1
    return bytes(content)


NO_MODEL = {
    "empty": (b"", "which is empty"),
    "text": (b"hello, world", "no archive .it begins with b'hello, w'"),
    "an HDF5 file": (b"\x89HDF\r\n\x1a\n" + bytes(64), "an HDF5 file"),
    "another archive": (archive({"a.txt": "a"}), "no item named 'config.json'"),
    "another JSON": (archive({"config.json": "[]"}), "a zip archive of something else"),
    "no JSON": (archive({"config.json": "{"}), "damaged"),
    "deep JSON": (archive({"config.json": "[" * 100_000}), "damaged"),
    "no UTF-8": (archive({"config.json": b"\xff"}), "damaged"),
    "encrypted": (encrypted(archive({"config.json": "{}"})), "encrypted"),
    "a bomb": (
        archive({"config.json": bytes(2**29)}, compression=zipfile.ZIP_DEFLATED),
        "unpack to 0.5 GB",
    ),
}


def assert_refused(path, match):
    """A ValueError of one line that names the file and says what to do."""
    with pytest.raises(ValueError, match=match) as caught:
        load_model(path)
    told = str(caught.value)
    assert told.startswith(f"Got {path}, ") and "save_model" in told
    assert "\n" not in told


@pytest.mark.parametrize("kind", NO_MODEL)
def test_load_model_says_what_the_file_is(kind, tmp_path):
    content, match = NO_MODEL[kind]
    (tmp_path / "m.keras").write_bytes(content)
    assert_refused(tmp_path / "m.keras", match)


def test_load_model_says_that_it_is_a_folder(tmp_path):
    path = tmp_path / "m.keras"
    path.mkdir()
    assert_refused(path, "a folder")
    (path / "saved_model.pb").touch()
    assert_refused(path, "SavedModel")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Bytes of a model file, and its weights."""
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    path = save_model(model, tmp_path_factory.mktemp("whole") / "m.keras")
    return path.read_bytes(), model.get_weights()


@given(st.data())
def test_load_model_refuses_a_cut_file(whole, tmp_path_factory, data):
    content = whole[0][: data.draw(st.integers(0, len(whole[0]) - 1))]
    path = tmp_path_factory.mktemp("cut") / "m.keras"
    path.write_bytes(content)
    assert_refused(path, "which is")


@given(st.data())
def test_load_model_takes_no_flipped_byte_for_a_weight(whole, tmp_path_factory, data):
    content = bytearray(whole[0])
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(
        st.integers(1, 255)
    )
    path = tmp_path_factory.mktemp("flipped") / "m.keras"
    path.write_bytes(content)
    try:
        loaded = load_model(path).get_weights()
    except ValueError as error:
        assert str(error).startswith(f"Got {path}, ") and "\n" not in str(error)
    else:  # a date, or another byte that decides nothing
        for one, other in zip(loaded, whole[1], strict=True):
            np.testing.assert_array_equal(one, other)


# Models that cannot be rebuilt


@pytest.mark.filterwarnings("ignore")  # Keras warns of what it cannot name
@pytest.mark.parametrize(
    ("layer", "match"),
    [
        (lambda: layers.Lambda(lambda x: 2 * x), "Lambda"),
        (lambda: type("Unknown", (layers.Identity,), {})(), "locate class 'Unknown'"),
    ],
)
def test_load_model_says_what_it_cannot_rebuild(layer, match, tmp_path):
    model = keras.Sequential([keras.Input((3,)), layer()])
    path = save_model(model, tmp_path / "m.keras")
    assert_refused(path, match)


def changed(content, change):
    """Bytes of a model file whose config went through a function."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    return archive(members | {"config.json": json.dumps(config)})


def huge_layer(config):
    config["config"]["layers"][1]["config"]["units"] = 10**12


def huge_product(config):
    config["config"]["layers"][0]["config"]["batch_shape"] = [None, 10**7]
    config["config"]["build_input_shape"] = [None, 10**7]
    config["config"]["layers"][1]["config"]["units"] = 10**7
    config["config"]["layers"][1]["build_config"]["input_shape"] = [None, 10**7]


def huge_metric(config):
    metric = {"class_name": "MeanIoU", "module": "keras.metrics"}
    metric |= {"config": {"num_classes": 10**6}, "registered_name": None}
    config["compile_config"] = {"optimizer": "sgd", "loss": "mse", "metrics": [metric]}


@pytest.mark.parametrize("change", [huge_layer, huge_product, huge_metric])
def test_load_model_makes_nothing_larger_than_the_file_holds(change, whole, tmp_path):
    (tmp_path / "m.keras").write_bytes(changed(whole[0], change))
    assert_refused(tmp_path / "m.keras", "000,000.* more than its file can hold")
    assert len(keras.Variable(np.zeros(10**5)).shape) == 1  # the limit is gone again


def test_load_model_says_that_weights_do_not_fit(whole, tmp_path):
    def wider(config):
        config["config"]["layers"][1]["config"]["units"] = 5

    (tmp_path / "m.keras").write_bytes(changed(whole[0], wider))
    assert_refused(tmp_path / "m.keras", "cannot rebuild")


def test_load_model_names_a_module_of_another_version(whole, tmp_path):
    def newer(config):
        config["config"]["layers"][1]["module"] = "tl_helpers.none_such"

    (tmp_path / "m.keras").write_bytes(changed(whole[0], newer))
    assert_refused(tmp_path / "m.keras", "tl_helpers.none_such")


def test_save_model_keeps_the_old_file_when_killed(tiny_model, tmp_path, monkeypatch):
    path = save_model(tiny_model, tmp_path / "m.keras")
    before = path.read_bytes()

    def half_save(file):
        file.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(tiny_model, "save", half_save)
    with pytest.raises(KeyboardInterrupt):
        save_model(tiny_model, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.keras"]


def test_variables_come_back_with_optimizer_and_random_state(tmp_path):
    def train(model, times):
        for _ in range(times):
            model.train_on_batch(np.ones((4, 3)), np.zeros((4, 2)))

    def build():
        model = keras.Sequential(
            [keras.Input((3,)), layers.Dropout(0.5), layers.Dense(2)]
        )
        model.compile("adam", "mse")
        model.optimizer.build(model.trainable_variables)
        return model, [*model.variables, *model.optimizer.variables]

    first, variables = build()
    train(first, 2)
    half_way = read_variables(variables)
    train(first, 2)
    second, others = build()
    set_variables(others, half_way)
    train(second, 2)
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
