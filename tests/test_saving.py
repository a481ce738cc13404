"""Model files: `.keras` only, safe, never half-written."""

import keras
import numpy as np
import pytest
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


def test_load_model_refuses_lambda_layers(tmp_path):
    model = keras.Sequential([keras.Input((3,)), layers.Lambda(lambda x: 2 * x)])
    model.save(tmp_path / "lambda.keras")
    with pytest.raises(ValueError, match="[Ll]ambda"):
        load_model(tmp_path / "lambda.keras")


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
