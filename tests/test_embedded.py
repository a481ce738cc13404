"""The embedded network keeps the promises of its docstring."""

import numpy as np
import pytest

from tl_helpers.embedded import BLOCKS, build_network


@pytest.fixture(scope="module")
def network():
    return build_network()


def multiply_adds(network, size_px):
    """Counted by hand: output pixels times the size of every kernel."""
    total, sides = 0, {}
    side = size_px // 2
    for layer in network.layers:
        if type(layer).__name__ == "Conv2D":
            sides[layer.name] = side
            strides = {name: stride for name, _, stride in BLOCKS}
            block, _, part = layer.name.partition("_")
            if part == "1_conv":
                side //= strides[block]
            total += side**2 * int(np.prod(layer.kernel.shape))
    return total


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
