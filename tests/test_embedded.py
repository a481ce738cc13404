"""The embedded network keeps the promises of its docstring."""

import json

import keras
import numpy as np
import pytest

from tl_helpers import profiles
from tl_helpers.backbones.embedded import BLOCKS, build_network


@pytest.fixture(scope="module")
def network():
    return build_network()


def multiply_adds(network, size_px):
    """Counted by hand: output pixels times the size of every kernel."""
    convolutions = [
        layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)
    ]
    outputs = keras.Model(network.input, [layer.output for layer in convolutions])
    shapes = outputs.compute_output_shape((1, size_px, size_px, 3))
    return sum(
        int(np.prod(shape[1:3]) * np.prod(layer.kernel.shape))
        for shape, layer in zip(shapes, convolutions, strict=True)
    )


def test_network_stays_within_its_budget(network):
    assert network.count_params() <= 1_200_000
    assert multiply_adds(network, 64) <= 60_000_000


@pytest.mark.parametrize("size_px", [48, 64, 96, 100])
def test_network_takes_any_size(network, size_px):
    maps = network(np.zeros((1, size_px, size_px, 3)))
    assert maps.shape == (1, -(-size_px // 16), -(-size_px // 16), 192)


def test_every_block_ends_in_a_layer_of_its_name(network):
    for name, channels, _ in BLOCKS:
        assert network.get_layer(name).output.shape[-1] == channels


def test_classifier_gives_logits():
    logits = build_network(num_classes=7)(np.zeros((2, 48, 48, 3)))
    assert logits.shape == (2, 7)


def test_model_card_quotes_what_was_measured(network):
    card = (profiles.data_dir() / "embedded.md").read_text()
    measured = json.loads((profiles.data_dir() / "embedded.json").read_text())
    assert f"{measured['val_top1']:.2%} top-1" in card
    assert f"{measured['val_top5']:.2%} top-5" in card
    assert f"{network.count_params():,} parameters" in card
    assert f"{multiply_adds(network, 64) / 1e6:.0f} million multiply-adds" in card
    assert measured["curve"][-1]["epoch"] == len(measured["curve"])
