"""Explanations: formulas by hand, nested models, nothing moved, measures of maps."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops
from scipy import stats
from tiny import (
    PROVENANCE,
    learning_classifier,
    moved,
    pixels,
    tiny_backbone,
    tiny_images,
    values_of,
)

from tl_helpers import dense, explanation
from tl_helpers.datasets import ImageSet
from tl_helpers.finetuning import classifier

MAPS = (explanation.grad_cam, explanation.occlusion, explanation.integrated_gradients)
PATCH = {explanation.occlusion: {"patch_px": 4, "stride_px": 3}}
EVERY = pytest.mark.parametrize("explain", MAPS, ids=lambda x: x.__name__)


def maps_of(explain, model, images, **settings):
    return explain(model, images, **PATCH.get(explain, {}) | settings)


@pytest.fixture(scope="module")
def network():
    return learning_classifier(4)


# --- What all of them share -------------------------------------------------------


@EVERY
def test_maps_have_the_size_of_the_image_and_come_out_alike_twice(network, explain):
    first, second = (maps_of(explain, network, tiny_images(5)) for _ in range(2))
    assert first.shape == (5, 8, 8) and first.dtype == np.float32
    np.testing.assert_array_equal(first, second)
    assert first.any()


@EVERY
def test_explaining_moves_no_weight_and_no_statistic(network, explain):
    before = values_of(network)
    frozen = [layer.trainable for layer in network.layers]
    maps_of(explain, network, tiny_images(5))
    assert not moved(before, network)
    assert [layer.trainable for layer in network.layers] == frozen
    assert not any("call" in vars(layer) for layer in network.layers)


@EVERY
def test_new_weights_are_seen(network, explain):
    model = classifier(tiny_backbone(), 2)
    old = maps_of(explain, model, tiny_images(3), classes=0)
    head = model.get_layer("head_logits")
    head.set_weights([-3 * x for x in head.get_weights()])
    new = maps_of(explain, model, tiny_images(3), classes=0)
    assert not np.allclose(new, old)


@EVERY
def test_classes_may_be_one_for_all_one_each_or_the_models_answer(network, explain):
    images = tiny_images(4)
    own = network.predict(images.pixels(), verbose=0).argmax(1)
    answered = maps_of(explain, network, images)
    np.testing.assert_array_equal(
        maps_of(explain, network, images, classes=own), answered
    )
    one = maps_of(explain, network, images, classes=2)
    each = maps_of(explain, network, images, classes=[2] * 4)
    np.testing.assert_array_equal(one, each)
    other = maps_of(explain, network, images, classes=0)
    assert not np.array_equal(one, other)


@EVERY
def test_bytes_floats_and_image_sets_are_the_same(network, explain):
    images = tiny_images(3)
    wanted = maps_of(explain, network, images)
    for same in (images.pixels(), images.pixels().astype("float64")):
        np.testing.assert_array_equal(maps_of(explain, network, same), wanted)


@EVERY
def test_a_class_that_does_not_exist_is_refused(network, explain):
    for classes in (3, -1, [0, 1, 3], 0.5):
        with pytest.raises(ValueError, match="Got explained labels.*expected"):
            maps_of(explain, network, tiny_images(3), classes=classes)


@EVERY
def test_images_in_another_range_or_size_are_refused(network, explain):
    for images in (pixels(2, 8, 8) / 255, pixels(2, 8, 8) - 9, pixels(2, 8, 8) + 9):
        with pytest.raises(ValueError, match=r"expected RGB in \[0, 255\]; multiply"):
            maps_of(explain, network, images)
    with pytest.raises(ValueError, match=r"expected \('n', 8, 8, 3\)"):
        maps_of(explain, network, pixels(2, 9, 9))


@EVERY
def test_a_model_without_logits_is_refused(explain):
    segmenter = dense.segmenter(tiny_backbone(), 2, channels=2)
    detector = dense.detector(tiny_backbone(), 2, channels=2)
    for model in (segmenter, detector):
        with pytest.raises(ValueError, match="expected a functional or Sequential"):
            maps_of(explain, model, tiny_images(2))


# --- Grad-CAM ---------------------------------------------------------------------


def linear_head(size_px=2):
    """Two maps of a 1x1 convolution, averaged, and two logits of them."""
    return keras.Sequential(
        [
            keras.Input((size_px, size_px, 3)),
            layers.Conv2D(2, 1, name="maps"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2),
        ]
    )


def test_grad_cam_by_hand():
    """Weights of a linear head over the cells, times the maps, cut at 0."""
    model, images = linear_head(), pixels(3, 2, 2)
    kernel = np.array([[1.0, 0], [0, 1], [0, -2]])  # map 0 is red, map 1 green - 2 blue
    head = np.array([[3.0, -1], [2, 4]])
    model.set_weights(
        [kernel.reshape(1, 1, 3, 2), np.zeros(2), head, np.array([7.0, -7])]
    )
    red, rest = images[..., 0], images[..., 1] - 2 * images[..., 2]
    for label, (one, other) in enumerate(head.T):
        wanted = np.maximum(one * red + other * rest, 0) / 4
        found = explanation.grad_cam(model, images, label)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_grad_cam_enlarges_the_map_of_a_coarse_block(network):
    """Block 2 has one cell, block 1 has nine."""
    spans = {}
    for block in ("block2", "block1"):
        maps = [
            explanation.grad_cam(network, tiny_images(2), label, block)
            for label in range(3)
        ]
        spans[block] = np.ptp(maps, axis=(2, 3)).max() / np.max(maps)
    assert spans["block2"] < 1e-6 and spans["block1"] > 0.01


def small_base():
    """A base as `keras.applications` builds them, without its classifier."""
    base = keras.Sequential([keras.Input((16, 16, 3))], name="base")
    for i in range(2):
        base.add(layers.DepthwiseConv2D(3, 2, "same"))
        base.add(layers.Conv2D(8, 1, name=f"conv_pw_{i}"))
        base.add(layers.BatchNormalization())
        base.add(layers.ReLU(name=f"conv_pw_{i}_relu"))
    return base


def mobilenet():
    return keras.applications.MobileNet(
        (32, 32, 3), alpha=0.25, weights=None, include_top=False
    )


def in_sequential(base, pool, head):
    return keras.Sequential([keras.Input(base.input_shape[1:]), base, pool, head])


def in_functional(base, pool, head):
    images = keras.Input(base.input_shape[1:])
    return keras.Model(images, head(pool(base(images, training=False))))


def in_both(base, pool, head):
    images = keras.Input(base.input_shape[1:])
    inner = keras.Sequential([keras.Input(base.input_shape[1:]), base])
    return keras.Model(images, head(pool(inner(layers.Rescaling(1.0)(images)))))


@pytest.mark.parametrize(
    "build, put",
    [
        (small_base, in_sequential),
        (small_base, in_functional),
        (small_base, in_both),
        (mobilenet, in_functional),
    ],
)
def test_grad_cam_reaches_into_nested_models(build, put):
    """The plain way ends with "Graph disconnected"."""
    keras.utils.set_random_seed(0)
    base, pool, head = build(), layers.GlobalAveragePooling2D(), layers.Dense(3)
    nested = put(base, pool, head)
    flat = keras.Model(base.inputs, head(pool(base.outputs[0])))
    images, block = pixels(2, *base.input_shape[1:3]), "conv_pw_1_relu"
    with pytest.raises(ValueError, match="disconnected|not connected|not reachable"):
        keras.Model(nested.inputs, base.get_layer(block).output)
    for name in (block, None) if put is in_both else (block,):
        wanted = explanation.grad_cam(flat, images, 1, name)
        found = explanation.grad_cam(nested, images, 1, name)
        assert found.any()
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-7)


def test_grad_cam_refuses_blocks_that_are_not_there_or_have_no_maps(network):
    with pytest.raises(ValueError, match="Got block='b', expected one of block1, bl"):
        explanation.grad_cam(network, tiny_images(2), block="b")
    model = linear_head()
    name = model.layers[-1].name
    with pytest.raises(ValueError, match=f"Got {name}, expected a layer with maps"):
        explanation.grad_cam(model, pixels(2, 2, 2), block=name)
    flat = keras.Sequential([keras.Input((2, 2, 3)), layers.Flatten(), layers.Dense(2)])
    with pytest.raises(ValueError, match="Got block=None, expected one of"):
        explanation.grad_cam(flat, pixels(2, 2, 2))


# --- Occlusion and integrated gradients -------------------------------------------


def linear(size_px=3):
    """Logits that are weighted sums of the pixels."""
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [keras.Input((size_px, size_px, 3)), layers.Flatten(), layers.Dense(2)]
    )


def worth(model, images, fill, label=1):
    """What each pixel of a linear model is worth: weight times (image - fill)."""
    weights = model.get_weights()[0][:, label].reshape(images.shape[1:])
    return (weights * (images - fill)).sum(-1)


@pytest.mark.parametrize("fill", [0, 99.5, (255, 0, 128), None])
def test_on_a_linear_network_both_are_weight_times_difference(fill):
    model, images = linear(), pixels(4, 3, 3)
    given = images.mean((1, 2), keepdims=True) if fill is None else np.array(fill)
    wanted = worth(model, images, given)
    found = explanation.occlusion(model, images, 1, 1, 1, fill)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=0.02)
    found = explanation.integrated_gradients(model, images, 1, fill, steps=1)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=0.02)


def test_occlusion_is_the_mean_over_the_patches_that_cover_a_pixel():
    """Patches of 2 px every 2 px on 3 px: the last one moves back to the border."""
    model, images = linear(), pixels(2, 3, 3)
    share, fall = np.zeros((3, 3)), np.zeros((2, 3, 3))
    for top in (0, 1):
        for left in (0, 1):
            part = np.s_[:, top : top + 2, left : left + 2]
            fall[part] += worth(model, images, 50.0)[part].sum((1, 2))[:, None, None]
            share[part[1:]] += 1
    found = explanation.occlusion(model, images, 1, 2, 2, 50.0)
    np.testing.assert_allclose(found, fall / share, rtol=1e-3, atol=0.02)


def test_occlusion_refuses_patches_that_leave_pixels_uncovered(network):
    for patch_px, stride_px in ((9, 1), (2, 3)):
        with pytest.raises(ValueError, match="expected a patch no larger than the im"):
            explanation.occlusion(
                network, tiny_images(2), None, patch_px, stride_px, None
            )


@settings(max_examples=10)
@given(
    seed=st.integers(0, 10_000),
    label=st.integers(0, 2),
    baseline=st.one_of(st.none(), st.floats(0, 255, width=32)),
)
def test_integrated_gradients_are_complete(network, seed, label, baseline):
    """Whatever the image, the class and the baseline: the map adds up."""
    images = pixels(3, 8, 8, seed=seed)
    knobs = {"classes": label, "baseline": baseline}
    maps = explanation.integrated_gradients(network, images, steps=100, **knobs)
    gap = explanation.completeness_gap(network, images, maps, **knobs)
    assert np.abs(gap).max() < 0.01 * max(1, np.abs(maps).sum((1, 2)).max())


def test_completeness_gap_is_what_is_missing(network):
    images = tiny_images(3)
    logits = [
        network.predict(x, verbose=0)[:, 1]
        for x in (images.pixels(), np.zeros((3, 8, 8, 3)))
    ]
    gap = explanation.completeness_gap(network, images, np.zeros((3, 8, 8)), 1, 0)
    np.testing.assert_allclose(gap, logits[1] - logits[0], rtol=1e-4, atol=1e-6)


def test_more_steps_leave_a_smaller_gap(network):
    images, gaps = pixels(8, 8, 8), []
    for steps in (1, 4, 64):
        maps = explanation.integrated_gradients(network, images, 0, 0, steps)
        gaps.append(
            np.abs(explanation.completeness_gap(network, images, maps, 0, 0)).mean()
        )
    assert gaps[2] < gaps[1] < gaps[0]


def test_one_step_in_the_middle_is_exact_where_the_gradient_is_linear():
    inputs = keras.Input((2, 2, 3))
    head = layers.Dense(2, name="head")
    squares = layers.Flatten()(ops.square(inputs / 255))
    model = keras.Model(inputs, head(squares))
    images = pixels(3, 2, 2)
    maps = explanation.integrated_gradients(model, images, 1, 60, steps=1)
    gap = explanation.completeness_gap(model, images, maps, 1, 60)
    np.testing.assert_allclose(gap, 0, atol=1e-4)


def test_a_fill_that_is_no_colour_is_refused(network):
    for fill in (256, -1, np.nan, "grey", (1, 2), np.zeros((2, 8, 8, 3)), True):
        with pytest.raises(ValueError, match="Got baseline.*expected"):
            explanation.integrated_gradients(network, tiny_images(3), 0, fill)


# --- Measures ---------------------------------------------------------------------

MASK = np.zeros((1, 2, 4), bool)
MASK[0, :, :1] = True  # two pixels of eight


def test_pointing_game_by_hand():
    hit, miss, tie, nothing = np.zeros((4, 2, 4))
    hit[1, 0], miss[0, 3] = 1, 1
    tie[0, 0] = tie[0, 1] = 5
    found = explanation.pointing_game(
        np.stack([hit, miss, tie, nothing]), np.repeat(MASK, 4, axis=0)
    )
    assert found.inside.tolist() == [1, 0, 0.5, 0.25]
    assert found.chance.tolist() == [0.25] * 4
    assert str(found) == "43.8% inside, 25.0% by chance"


def test_energy_inside_by_hand():
    one = np.array([[3.0, 1, 0, 0], [0, 0, -9, 0]])
    found = explanation.energy_inside(
        np.stack([one, -one, 0 * one]), np.repeat(MASK, 3, axis=0)
    )
    assert found.inside.tolist() == [0.75, 0, 0.25]


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), factor=st.floats(0.01, 1000))
def test_energy_is_a_share_that_no_unit_changes(seed, factor):
    rng = np.random.default_rng(seed)
    maps, masks = rng.normal(size=(4, 5, 6)), rng.random((4, 5, 6)) < 0.4
    masks[:, 0, 0], masks[:, 1, 1] = True, False
    inside = explanation.energy_inside(maps, masks).inside
    outside = explanation.energy_inside(maps, ~masks).inside
    np.testing.assert_allclose(inside + outside, 1)
    scaled = explanation.energy_inside(factor * maps, masks).inside
    np.testing.assert_allclose(scaled, inside)


def test_random_maps_score_what_chance_says():
    rng = np.random.default_rng(0)
    maps, masks = rng.random((4000, 6, 6)), np.zeros((4000, 6, 6), bool)
    masks[:, 2:5, 2:4] = True
    for measure in (explanation.pointing_game, explanation.energy_inside):
        found = measure(maps, masks)
        assert found.inside.mean() == pytest.approx(found.chance.mean(), abs=0.02)


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(0)
    maps, others = rng.integers(0, 5, (2, 6, 4, 4))  # with ties
    others[0], others[1] = maps[0], -3.0 * maps[1]
    found = explanation.rank_correlation(maps, others)
    wanted = [
        stats.spearmanr(a.ravel(), b.ravel())[0]
        for a, b in zip(maps, others, strict=True)
    ]
    np.testing.assert_allclose(found, wanted)
    assert found[:2] == pytest.approx([1, -1])
    assert np.isnan(explanation.rank_correlation(0 * maps, maps)).all()


def test_measures_refuse_masks_that_do_not_fit():
    maps = np.zeros((1, 2, 4))
    with pytest.raises(ValueError, match="expected bool"):
        explanation.energy_inside(maps, MASK.astype(int))
    with pytest.raises(ValueError, match="Got 1 masks without an object"):
        explanation.pointing_game(maps, MASK & False)
    with pytest.raises(ValueError, match=r"expected numbers \(1, 2, 3\)"):
        explanation.pointing_game(maps[..., :3], MASK)


def coloured(num_images=30):
    """Images of one grey level each, whose tens are the class."""
    labels = np.arange(num_images) % 5
    levels = 10 * labels + np.arange(num_images) // 5
    images = np.broadcast_to(levels[:, None, None, None], (num_images, 2, 3, 3))
    return ImageSet(images.astype("uint8"), labels, tuple("abcde"), PROVENANCE)


def test_mosaics_ask_for_one_of_four_classes():
    found = explanation.mosaics(coloured(), 200)
    pixels, mask = found.pixels() // 10, found.extras["mask"]
    assert pixels.shape == (200, 4, 6, 3) and mask.shape == (200, 4, 6)
    for image, one, label in zip(pixels, mask, found.labels, strict=True):
        quarters = image.reshape(2, 2, 2, 3, 3).swapaxes(1, 2).reshape(4, -1)
        assert (np.ptp(quarters, axis=1) == 0).all()  # each from one image
        assert len(set(quarters[:, 0])) == 4
        assert one.sum() == 6 and (image[one] == label).all()
    corners = mask[:, [0, 0, -1, -1], [0, -1, 0, -1]].mean(axis=0)
    assert np.abs(corners - 0.25).max() < 0.1  # asked for everywhere alike
    assert len(set(found.labels)) == 5


def test_a_map_of_the_middle_scores_chance_on_mosaics():
    found = explanation.mosaics(coloured(), 50)
    rows, columns = np.mgrid[:4, :6]
    middle = np.exp(-((rows - 1.5) ** 2) - (columns - 2.5) ** 2)
    maps = np.broadcast_to(middle, (50, 4, 6))
    for measure in (explanation.energy_inside, explanation.pointing_game):
        np.testing.assert_allclose(measure(maps, found.extras["mask"]).inside, 0.25)


def test_mosaics_come_out_alike_twice_and_need_four_classes():
    one, same, other = (explanation.mosaics(coloured(), 5, x) for x in (0, 0, 1))
    np.testing.assert_array_equal(one.pixels(), same.pixels())
    assert not np.array_equal(one.pixels(), other.pixels())
    few = coloured()
    with pytest.raises(ValueError, match="Got images of 3 classes, expected at least"):
        explanation.mosaics(few[few.labels < 3], 5)


# --- Curves and the randomised network --------------------------------------------


def one_pixel():
    """A network that looks at the red of the upper left pixel alone."""
    model = linear(2)
    kernel = np.zeros((12, 2))
    kernel[0, 0] = 0.01
    model.set_weights([kernel, np.zeros(2)])
    return model


def test_curves_by_hand():
    """Of four pixels only the first one counts, and the map knows it."""
    images, maps = np.full((1, 2, 2, 3), 200.0), np.array([[[9.0, 3], [2, 1]]])
    sure, even = 1 / (1 + np.exp(-2)), 0.5
    knobs = {"classes": 0, "steps": 4, "fill": 0}
    deleted = explanation.deletion(one_pixel(), images, maps, **knobs)
    assert deleted.shares.tolist() == [0, 0.25, 0.5, 0.75, 1]
    np.testing.assert_allclose(deleted.probabilities, [[sure, *[even] * 4]], rtol=1e-5)
    np.testing.assert_allclose(
        deleted.areas, (sure + even) / 8 + 0.75 * even, rtol=1e-5
    )
    inserted = explanation.insertion(one_pixel(), images, maps, **knobs)
    np.testing.assert_allclose(inserted.probabilities, [[even, *[sure] * 4]], rtol=1e-5)
    worst = explanation.deletion(one_pixel(), images, -maps, **knobs)
    assert worst.areas > deleted.areas


def test_curves_of_a_map_without_order_are_those_of_a_random_one():
    images, knobs = (
        np.full((400, 2, 2, 3), 200.0),
        {"classes": 0, "steps": 4, "fill": 0},
    )
    curve = explanation.deletion(one_pixel(), images, np.zeros((400, 2, 2)), **knobs)
    sure = 1 / (1 + np.exp(-2))
    wanted = [sure + share * (0.5 - sure) for share in curve.shares]
    np.testing.assert_allclose(curve.probabilities.mean(0), wanted, atol=0.03)
    again = explanation.deletion(one_pixel(), images, np.zeros((400, 2, 2)), **knobs)
    np.testing.assert_array_equal(again.probabilities, curve.probabilities)


def test_curves_refuse_maps_of_another_size(network):
    for curve in (explanation.deletion, explanation.insertion):
        with pytest.raises(ValueError, match=r"expected numbers \(3, 8, 8\)"):
            curve(network, tiny_images(3), np.zeros((2, 8, 8)))


@pytest.mark.parametrize(
    "block, changed", [("head", {"head"}), ("block2", {"head", "block2"})]
)
def test_randomise_weights_forgets_a_block_and_what_follows(network, block, changed):
    before = values_of(network)
    copy = explanation.randomise_weights(network, block)
    assert not moved(before, network)
    kernels = {path for path in moved(before, copy) if path.endswith("kernel")}
    assert {path.split("_")[0] for path in kernels} == changed
    again = explanation.randomise_weights(network, block)
    for one, other in zip(copy.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    drawn = explanation.randomise_weights(network, block, seed=1)
    assert not np.array_equal(drawn.weights[-2], copy.weights[-2])


def test_a_randomised_network_explains_differently(network):
    images = tiny_images(4)
    forgot = explanation.randomise_weights(network, "block1")
    for explain in MAPS[1:]:
        old, new = (maps_of(explain, x, images, classes=1) for x in (network, forgot))
        assert np.nanmean(explanation.rank_correlation(old, new)) < 0.9
