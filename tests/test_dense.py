"""Segmenters and detectors: formulas by hand, freezing, saving, scores."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_places import NAMES, SOURCE, rectangles
from tiny import moved, tiny_backbone, values_of

from tl_helpers import backbones, dense, finetuning, saving, training
from tl_helpers.backbones import Backbone
from tl_helpers.datasets import ImageSet
from tl_helpers.dense import boxes
from tl_helpers.dense.detector import detection_loss

IGNORED = 255


@pytest.fixture(scope="module")
def embedded():
    return backbones.load("embedded")


# --- Losses of pixels -------------------------------------------------------------


def logits_of(probabilities):
    return np.log(np.asarray(probabilities, "float32"))


def test_focal_loss_by_hand():
    """Two pixels, true probabilities 0.8 and 0.5, and a third that is ignored."""
    labels = np.array([[[0, 1, IGNORED]]])
    logits = logits_of([[[[0.8, 0.2], [0.5, 0.5], [0.1, 0.9]]]])
    wanted = (0.2**2 * -np.log(0.8) + 0.5**2 * -np.log(0.5)) / 2
    assert float(dense.FocalLoss(2)(labels, logits)) == pytest.approx(wanted, rel=1e-5)


def test_focal_loss_without_focus_is_cross_entropy():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, (3, 5, 5))
    logits = rng.normal(size=(3, 5, 5, 4)).astype("float32")
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    wanted = float(entropy(labels, logits))
    assert float(dense.FocalLoss(0)(labels, logits)) == pytest.approx(wanted, rel=1e-5)


def test_keras_ignores_a_class_as_the_losses_here_do():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, (1, 5, 5))
    labels[0, :2] = IGNORED
    logits = rng.normal(size=(1, 5, 5, 4)).astype("float32")
    entropy = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=IGNORED
    )
    wanted = float(entropy(labels, logits))
    assert float(dense.FocalLoss(0)(labels, logits)) == pytest.approx(wanted, rel=1e-5)


def test_dice_loss_by_hand():
    """Class 0: both 0.8, sizes 1 + 1.2; class 1: both 0.6, sizes 1 + 0.8."""
    labels = np.array([[[0, 1, IGNORED]]])
    logits = logits_of([[[[0.8, 0.2], [0.4, 0.6], [0.1, 0.9]]]])
    wanted = 1 - ((2 * 0.8 + 1) / (2.2 + 1) + (2 * 0.6 + 1) / (1.8 + 1)) / 2
    assert float(dense.DiceLoss()(labels, logits)) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    "loss", [dense.FocalLoss(2), dense.FocalLoss(0.5), dense.DiceLoss()]
)
def test_losses_ignore_what_is_ignored_and_have_finite_slopes(loss):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (2, 4, 4))
    labels[:, 0] = IGNORED
    logits = 40 * rng.normal(size=(2, 4, 4, 3)).astype("float32")  # very sure
    other = logits.copy()
    other[:, 0] = rng.normal(size=(2, 4, 3))
    assert float(loss(labels, logits)) == float(loss(labels, other))
    variable = keras.Variable(logits)
    slopes = _slopes(lambda: loss(labels, variable), variable)
    assert np.isfinite(slopes).all() and not slopes[:, 0].any() and slopes.any()


def _slopes(function, variable):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(variable.value)
        value = function()
    return tape.gradient(value, variable.value).numpy()


# --- Scores of pixels -------------------------------------------------------------


def test_score_pixels_by_hand():
    """Four pixels of two images: ground, a (1), b (2), one ignored."""
    labels = np.array([[[0, 1], [1, IGNORED]], [[0, 0], [0, 0]]])
    answers = np.array([[[0, 1], [2, 2]], [[0, 0], [0, 2]]])
    scores = dense.score_pixels(answers, labels, ("a", "b"))
    assert scores.counts.tolist() == [[4, 0, 1], [0, 1, 1], [0, 0, 0]]
    np.testing.assert_allclose(scores.overlaps, [4 / 5, 1 / 2, 0])
    assert scores.mean_overlap == pytest.approx(0.25)
    assert scores.accuracy == pytest.approx(5 / 7)
    assert scores.num_present.tolist() == [2, 1, 0]
    assert scores.num_found.tolist() == [2, 1, 0]
    assert scores.num_false_alarms.tolist() == [0, 0, 2]
    assert np.isnan(scores.borders[2]) and "a " in str(scores)


def test_borders_can_be_left_out():
    labels = np.array([[[0, 1], [1, IGNORED]]])
    scores = dense.score_pixels(labels % 255, labels, ("a",), tolerance_px=None)
    assert np.isnan(scores.borders).all() and scores.mean_overlap == 1


def test_all_ground_is_mostly_right_and_finds_nothing():
    images = rectangles(30)
    labels = images.extras["pixel_labels"]
    scores = dense.score_pixels(np.zeros_like(labels), labels, NAMES)
    assert scores.accuracy > 0.8 and scores.mean_overlap == 0
    assert scores.num_found.tolist() == [30, 0, 0, 0]


def test_boundary_score_of_shifted_squares():
    truth = np.zeros((20, 20), bool)
    truth[5:15, 5:15] = True
    near, far = np.roll(truth, 2, axis=1), np.roll(truth, 4, axis=1)
    assert dense.boundary_score(truth, truth) == 1
    assert dense.boundary_score(near, truth) == 1  # two px off are allowed
    # four to the side: the long sides are off, but for their ends
    assert 0.2 < dense.boundary_score(far, truth) < 0.7
    assert dense.boundary_score(truth & False, truth) == 0
    assert np.isnan(dense.boundary_score(truth & False, truth & False))


def test_the_frame_of_the_image_is_no_border():
    ground = np.ones((20, 20), bool)
    ground[8:12, 8:12] = False
    everything = np.ones_like(ground)
    assert dense.boundary_score(everything, ground) == 0
    assert np.isnan(dense.boundary_score(everything, everything))
    half = np.tile(np.arange(20) < 10, (20, 1))  # one border, in the middle
    strip = half & (np.arange(20) > 4)  # that one and another
    found = dense.boundary_score(strip, half)
    assert found == pytest.approx(2 * 0.5 * 1 / (0.5 + 1))
    nothing = np.zeros((1, 4, 4), int)
    scores = dense.score_pixels(nothing, nothing, ["a"])
    assert np.isnan(scores.borders).all()


def test_scores_refuse_what_does_not_fit():
    labels = np.zeros((2, 4, 4), int)
    with pytest.raises(ValueError, match="Got 1 answers for 2 masks"):
        dense.score_pixels(labels[:1], labels, NAMES)
    with pytest.raises(ValueError, match="expected numbers"):
        dense.score_pixels(np.zeros((2, 4, 5), int), labels, NAMES)
    with pytest.raises(ValueError, match="expected 0 to 3"):
        dense.score_pixels(labels + 7, labels, NAMES)
    with pytest.raises(ValueError, match="expected bool"):
        dense.boundary_score(labels[0], labels[0])


# --- Segmenter --------------------------------------------------------------------


def compiled(model, rate=0.02):
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=IGNORED
    )
    model.compile(keras.optimizers.Adam(rate), loss)
    return model


def fit(model, images, targets, num_steps=2):
    batches = images.batches(6, shuffle=True, targets=targets).repeat()
    model.fit(batches, steps_per_epoch=num_steps, verbose=0)


@pytest.mark.parametrize("skips", [True, False])
def test_a_segmenter_answers_every_pixel_and_trains_its_decoder_alone(embedded, skips):
    model = compiled(dense.segmenter(embedded, 4, skips=skips, channels=8))
    images = rectangles()
    before = values_of(model)
    fit(model, images, "pixel_labels")
    assert training.predict_logits(model, images).shape == (12, 32, 32, 4)
    changed = moved(before, model)
    decoder = {path for path in before if path.startswith("head_")}
    assert changed == decoder and len(decoder) > 10


def test_a_thawed_segmenter_moves_every_block_it_should(embedded):
    model = dense.segmenter(embedded, 4, channels=8)
    finetuning.thaw(model, "block4")
    compiled(model)
    before = values_of(model)
    fit(model, rectangles(), "pixel_labels")
    parts = finetuning.parts(model)
    changed = moved(before, model)
    for name, layers in parts.items():
        paths = {w.path for layer in layers for w in layer.trainable_weights}
        assert paths <= changed, name
        learns = name in ("block4", "block5", "block6", "head")
        assert bool(paths) == learns, name


def test_a_segmenter_leaves_the_backbone_alone(embedded):
    before = values_of(embedded.network)
    model = dense.segmenter(embedded, 4, channels=8)
    finetuning.thaw(model, "stem", batch_norm=True)
    fit(compiled(model), rectangles(), "pixel_labels")
    assert not moved(before, embedded.network)


def test_without_skips_the_finer_maps_do_not_matter(embedded):
    """Only their sizes do: of two decoders alike, one must not see the stem."""
    for skips in (True, False):
        model = dense.segmenter(embedded, 3, skips=skips, channels=8)
        depth = [x for x in model.layers if x.name.startswith("head_skip")]
        assert len(depth) == (3 if skips else 0)


def test_a_segmenter_reloads_with_its_blocks(embedded, tmp_path):
    model = compiled(dense.segmenter(embedded, 4, block="block4", channels=8))
    fit(model, rectangles(), "pixel_labels")
    again = saving.load_model(saving.save_model(model, tmp_path / "model.keras"))
    images = rectangles().pixels()
    np.testing.assert_array_equal(model.predict(images), again.predict(images))
    assert list(finetuning.parts(again)) == ["stem", *embedded.blocks[1:5], "head"]
    finetuning.thaw(again, "block3")


@pytest.mark.parametrize(
    ("block", "skips"),
    [(None, True), ("block4", True), ("stem", True), ("block2", False)],
)
def test_halves_together_are_the_whole(embedded, block, skips):
    model = dense.segmenter(embedded, 4, channels=8, skips=skips)
    lower, upper = model.halves(block)
    images = rectangles().pixels().astype("float32")
    maps = lower.predict_on_batch(images)
    np.testing.assert_array_equal(maps[0], images)
    assert maps[-1].shape[-1] == embedded.output(block).shape[-1]
    whole = model.predict_on_batch(images)
    np.testing.assert_allclose(upper.predict_on_batch(maps), whole, atol=1e-4)
    again = dense.Segmenter.from_config(model.get_config())  # it can still be copied
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(again.predict_on_batch(images), whole, atol=1e-4)


def test_training_the_upper_half_trains_the_model_behind_the_block(embedded):
    model = dense.segmenter(embedded, 4, channels=8)
    finetuning.thaw(model, "stem")
    lower, upper = model.halves("block4")
    images = rectangles()
    maps = lower.predict_on_batch(images.pixels().astype("float32"))
    before = values_of(model)
    compiled(upper).fit(maps, images.extras["pixel_labels"], verbose=0)
    changed = moved(before, model)
    starts = {path.split("_")[0] for path in changed}
    assert starts == {"block5", "block6", "head"}


def test_halves_refuse_a_block_that_is_not_there(embedded):
    with pytest.raises(ValueError, match="block9"):
        dense.segmenter(embedded, 2, channels=4).halves("block9")


def test_a_segmenter_learns_rectangles(embedded):
    model = dense.segmenter(embedded, 4)
    fit(compiled(model), rectangles(48), "pixel_labels", num_steps=60)
    images = rectangles(24, seed=1)
    answers = training.predict_logits(model, images).argmax(axis=-1)
    scores = dense.score_pixels(answers, images.extras["pixel_labels"], NAMES)
    assert scores.mean_overlap > 0.5, str(scores)


def test_segmenter_refuses_what_has_no_maps():
    flat = tiny_backbone()
    average = keras.layers.GlobalAveragePooling2D(name="flat")(flat.network.output)
    network = keras.Model(flat.network.input, average)
    backbone = Backbone("flat", network, {"flat": "flat"}, SOURCE)
    with pytest.raises(ValueError, match="blocks are no maps, expected a convolut"):
        dense.segmenter(backbone, 2)
    with pytest.raises(ValueError, match="no block 'block9'"):
        dense.segmenter(flat, 2, block="block9")
    with pytest.raises(ValueError, match="num_classes=1"):
        dense.segmenter(flat, 1)


FAMILIES = ("MobileNetV3Small", "EfficientNetV2B0", "ResNet50V2", "DenseNet121")


@pytest.mark.parametrize(
    "name",
    [FAMILIES[0], *(pytest.param(x, marks=pytest.mark.slow) for x in FAMILIES[1:])],
)
def test_a_segmenter_stands_on_every_family(name):
    backbone = backbones.load(name, pretrained=False)
    model = dense.segmenter(backbone, 3, channels=4)
    assert model.predict_on_batch(np.zeros((1, 64, 64, 3))).shape == (1, 64, 64, 3)
    found = dense.detector(backbone, 3, channels=4)
    answers = found.predict_on_batch(np.zeros((1, 64, 64, 3)))
    assert answers["boxes"].shape[1] == answers["logits"].shape[1] > 1


# --- Boxes ------------------------------------------------------------------------

A = np.array([0.0, 0, 10, 10])


@pytest.mark.parametrize(
    ("other", "overlap", "general"),
    [
        (A, 1, 1),
        ([5, 0, 15, 10], 50 / 150, 50 / 150),  # side by side: no room is wasted
        ([5, 5, 15, 15], 25 / 175, 25 / 175 - 50 / 225),
        ([20, 0, 30, 10], 0, -10 / 30),
        ([2, 2, 4, 4], 4 / 100, 4 / 100),
    ],
)
def test_overlaps_by_hand(other, overlap, general):
    assert float(boxes.box_overlaps(A, other)) == pytest.approx(overlap, abs=1e-5)
    assert float(boxes.giou(A, other)) == pytest.approx(general, abs=1e-5)


corner = st.floats(0, 50, width=32)


@settings(max_examples=60, deadline=None)
@given(st.lists(corner, min_size=8, max_size=8))
def test_giou_is_symmetric_bounded_and_below_the_overlap(numbers):
    corners = np.array(numbers, "float32").reshape(2, 2, 2)
    pair = np.concatenate([corners.min(1), corners.max(1) + 1], axis=-1)
    one, two = float(boxes.giou(*pair)), float(boxes.giou(*pair[::-1]))
    assert one == pytest.approx(two, abs=1e-5) and -1 <= one <= 1 + 1e-5
    assert one <= float(boxes.box_overlaps(*pair)) + 1e-5


def test_centres_lie_in_the_middle_of_cells():
    centres = np.asarray(boxes.cell_centres(2, 3, 8.0))
    assert centres.tolist() == [[4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12]]


def test_assign_by_hand():
    """Four cells in a row; a large box over three, a small one on the second."""
    centres = np.array([[4, 4], [12, 4], [20, 4], [28, 4]], "float32")
    large, small = [0, 0, 24, 8], [9, 1, 15, 7]
    given = np.array([[large, small, [0, 0, 0, 0]]], "float32")
    found, labels = boxes.assign(given, np.array([[7, 3, -1]]), centres, 8.5)
    assert np.asarray(labels).tolist() == [[7, 3, 7, -1]]  # the smaller one wins
    assert np.asarray(found)[0, :3].tolist() == [large, small, large]
    _, labels = boxes.assign(given, np.array([[7, 3, -1]]), centres, 4.0)
    assert np.asarray(labels).tolist() == [[-1, 3, -1, -1]]  # far from the middle
    _, labels = boxes.assign(given, np.array([[-1, -1, -1]]), centres, 8.5)
    assert np.asarray(labels).tolist() == [[-1, -1, -1, -1]]  # nothing to see


# --- Detector ---------------------------------------------------------------------


def test_detection_loss_by_hand():
    """One cell with an object of class 0 of two, one without, box of overlap a half."""
    answers = {
        "logits": np.log(
            np.array([[[0.8, 0.1], [0.2, 0.1]]]) / np.array([[[0.2, 0.9], [0.8, 0.9]]])
        ),
        "boxes": np.array([[[0.0, 0, 8, 4], [0, 0, 1, 1]]]),
        "centres": np.array([[[4.0, 4], [12, 4]]]),
    }
    answers = {name: x.astype("float32") for name, x in answers.items()}
    true, labels = np.array([[[0.0, 0, 8, 8]]], "float32"), np.array([[0]])
    right = 0.25 * 0.2**2 * -np.log(0.8)
    wrong = [0.75 * p**2 * -np.log(1 - p) for p in (0.1, 0.2, 0.1)]
    wanted = right + sum(wrong) + (1 - 0.5)
    found = float(detection_loss(true, labels, answers, 8.0))
    assert found == pytest.approx(wanted, rel=1e-4)


def test_detection_loss_counts_an_image_without_objects():
    answers = {
        "logits": np.zeros((1, 4, 2), "float32"),
        "boxes": np.ones((1, 4, 4), "float32"),
        "centres": np.zeros((1, 4, 2), "float32"),
    }
    found = detection_loss(np.zeros((1, 1, 4)), np.array([[-1]]), answers, 8.0)
    assert float(found) == pytest.approx(8 * 0.75 * 0.25 * np.log(2), rel=1e-4)


@pytest.fixture(scope="module")
def trained(embedded):
    model = dense.detector(embedded, 3)
    model.compile(keras.optimizers.Adam(0.01))
    fit(model, rectangles(48).resized(64), "boxes", num_steps=80)
    return model


def test_a_detector_learns_rectangles(trained):
    pytest.importorskip("pycocotools")
    images = rectangles(30, seed=1).resized(64)
    found = dense.detect(trained, images)
    extras = images.extras
    score = dense.average_precision(
        found, extras["boxes"], extras["box_labels"], NAMES, 64
    )
    assert score.ap50 > 0.5, str(score)


def test_a_detector_reloads_and_goes_on_training(trained, tmp_path):
    again = saving.load_model(saving.save_model(trained, tmp_path / "model.keras"))
    images = rectangles(4).resized(64)
    for name, values in trained.predict(images.pixels(), verbose=0).items():
        np.testing.assert_array_equal(values, again.predict(images.pixels())[name])
    again.compile(keras.optimizers.Adam(0.01))
    fit(again, images, "boxes", num_steps=1)


def test_a_detector_trains_its_head_alone_until_thawed(embedded):
    model = dense.detector(embedded, 3, channels=8)
    model.compile(keras.optimizers.Adam(0.01))
    before = values_of(model)
    fit(model, rectangles(), "boxes")
    assert moved(before, model) == {x for x in before if x.startswith("head_")}
    finetuning.thaw(model, "block5")
    with pytest.raises(ValueError, match="changed what learns after compile"):
        fit(model, rectangles(), "boxes")
    model.compile(keras.optimizers.Adam(0.01))
    before = values_of(model)
    fit(model, rectangles(), "boxes")
    assert any(path.startswith("block5") for path in moved(before, model))
    assert not any(path.startswith("block4") for path in moved(before, model))


def test_a_detector_asks_the_block_that_it_is_told(embedded):
    fine = dense.detector(embedded, 3, map_block="block3", channels=8)
    deep = dense.detector(embedded, 3, map_block="block6", channels=8)
    numbers = [
        m.predict_on_batch(np.zeros((1, 64, 64, 3)))["boxes"].shape[1]
        for m in (fine, deep)
    ]
    assert numbers == [16 * 16, 4 * 4]
    with pytest.raises(ValueError, match="map_block"):
        dense.detector(embedded, 3, block="block3", map_block="block6")


def test_detect_removes_repeats_and_sorts(trained):
    images = rectangles(6, seed=2).resized(64)
    for found in dense.detect(trained, images, least_score=0.01, most=5):
        assert len(found.boxes) <= 5
        assert (np.diff(found.scores) <= 0).all() and (found.scores >= 0.01).all()
        overlaps = np.asarray(boxes.box_overlaps(found.boxes[:, None], found.boxes))
        alike = found.labels[:, None] == found.labels
        assert overlaps[alike & ~np.eye(len(alike), dtype=bool)].max(initial=0) <= 0.5


def test_detect_suppresses_what_the_cells_answer(trained):
    images = rectangles(5, seed=2).resized(64)
    answers = dense.answer(trained, images)
    assert answers["logits"].shape == (5, *answers["boxes"].shape[1:2], 3)
    kept = dense.suppress(answers, 0.1, 0.6, 7)
    for one, other in zip(
        kept, dense.detect(trained, images, 0.1, 0.6, 7), strict=True
    ):
        for part, own in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, own)
    many = dense.suppress(answers, 0.1, 0.999, 200)
    assert sum(len(x.scores) for x in many) > sum(len(x.scores) for x in kept)
    with pytest.raises(ValueError, match="expected logits and boxes"):
        dense.suppress({"logits": answers["logits"]})


# --- Average precision --------------------------------------------------------------

TRUE = np.array([[[0.0, 0, 10, 10], [20, 20, 30, 30]], [[5, 5, 15, 15], [0, 0, 0, 0]]])
TRUE_LABELS = np.array([[0, 1], [0, -1]])
EMPTY = dense.Detection(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))


def found(*entries):
    places, labels, scores = zip(*entries, strict=True)
    return dense.Detection(np.array(places, float), np.array(labels), np.array(scores))


def scored(*detections):
    pytest.importorskip("pycocotools")
    return dense.average_precision(
        list(detections), TRUE, TRUE_LABELS, ("a", "b", "c"), 32
    )


PERFECT = (
    found((TRUE[0, 0], 0, 0.9), (TRUE[0, 1], 1, 0.8)),
    found((TRUE[1, 0], 0, 0.7)),
)


def test_perfect_detections_score_one_and_classes_never_shown_do_not_count():
    score = scored(*PERFECT)
    assert (score.ap, score.ap50) == pytest.approx((1, 1))
    assert score.by_class == pytest.approx({"a": 1, "b": 1})


def test_no_detections_score_zero():
    assert scored(EMPTY, EMPTY).ap50 == 0


def test_a_wrong_class_is_as_bad_as_nothing():
    first = found((TRUE[0, 0], 2, 0.9), (TRUE[0, 1], 1, 0.8))
    assert scored(first, PERFECT[1]).by_class["a"] == pytest.approx(51 / 101)


def test_a_double_detection_before_a_find_costs_precision():
    """Ranks: right, again the same (false), right: precision 1 up to half, then 2/3."""
    first = found((TRUE[0, 0], 0, 0.9), (TRUE[0, 0], 0, 0.8), (TRUE[0, 1], 1, 0.8))
    score = scored(first, PERFECT[1])
    assert score.by_class["a"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_a_loose_box_counts_at_half_and_not_at_three_quarters():
    loose = found(([0, 0, 10, 6], 0, 0.9), (TRUE[0, 1], 1, 0.8))  # overlap 0.6
    score = scored(loose, PERFECT[1])
    assert score.ap50 == 1 and score.ap75 < 1


def test_a_find_in_an_image_without_objects_is_a_false_alarm():
    pytest.importorskip("pycocotools")
    labels = np.array([[0, 1], [-1, -1]])
    alarm = found((TRUE[1, 0], 0, 0.95))
    score = dense.average_precision([PERFECT[0], alarm], TRUE, labels, ("a", "b"), 32)
    assert score.by_class == pytest.approx({"a": 0.5, "b": 1})


def test_average_precision_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="detections of 1 images and boxes of 2"):
        scored(EMPTY)
    with pytest.raises(ValueError, match="no box in any image"):
        dense.average_precision([EMPTY], TRUE[:1], [[-1, -1]], ("a", "b"), 32)


def test_image_sets_without_any_object_train_a_detector(embedded):
    images = rectangles()[:1]
    empty = ImageSet(
        images.images,
        images.labels,
        NAMES,
        SOURCE,
        {name: images.extras[name] for name in ("boxes", "box_labels")},
    )
    model = dense.detector(embedded, 3, channels=4)
    model.compile("adam")
    batches = empty.batches(1, targets="boxes")
    assert np.isfinite(model.fit(batches, verbose=0).history["loss"]).all()


# --- Kinds of errors ----------------------------------------------------------------


def judged(*entries, score=0.3):
    """Kinds of detections in the first image, and whether its objects were hit."""
    (one,) = dense.judge([found(*entries)], TRUE[:1], TRUE_LABELS[:1], score)
    return one.kinds, one.is_hit.tolist()


def test_judge_names_every_kind_of_detection():
    """Objects: class 0 in (0, 0, 10, 10), class 1 in (20, 20, 30, 30)."""
    kinds, is_hit = judged(
        (TRUE[0, 0], 0, 0.9),
        ([0, 0, 10, 9], 0, 0.8),  # again
        (TRUE[0, 1], 2, 0.7),  # another class
        ([26, 20, 36, 30], 1, 0.6),  # 40 of 160 px^2
        ([12, 0, 18, 6], 1, 0.5),  # nothing there
    )
    assert kinds == ["hit", "doubled", "wrong class", "badly placed", "ground"]
    assert is_hit == [True, False]


def test_judge_leaves_out_what_is_less_sure_than_asked():
    entries = (TRUE[0, 0], 0, 0.9), (TRUE[0, 1], 1, 0.4)
    assert judged(*entries) == (["hit", "hit"], [True, True])
    assert judged(*entries, score=0.5) == (["hit"], [True, False])


def test_judge_gives_the_surest_its_choice_and_the_next_what_is_left():
    """Two objects of a class side by side, two boxes that both fit the first best."""
    both = np.array([[[0.0, 0, 10, 10], [2, 0, 12, 10]]])
    entries = found(([0, 0, 10, 10], 0, 0.9), ([0.5, 0, 10.5, 10], 0, 0.8))
    (one,) = dense.judge([entries], both, [[0, 0]])
    assert one.kinds == ["hit", "hit"] and one.is_hit.all()


def test_judge_counts_an_image_without_objects_and_one_without_detections():
    nothing, alarm = dense.judge(
        [EMPTY, found((TRUE[1, 0], 0, 0.9))], TRUE, [[0, 1], [-1, -1]]
    )
    assert nothing.kinds == [] and nothing.is_hit.tolist() == [False, False]
    assert alarm.kinds == ["ground"] and len(alarm.is_hit) == 0


def test_judge_agrees_with_average_precision_on_hits():
    """Every detection a hit and every object hit: an average precision of 1."""
    all_judged = dense.judge(list(PERFECT), TRUE, TRUE_LABELS)
    assert all(one.is_hit.all() and {*one.kinds} == {"hit"} for one in all_judged)
    assert scored(*PERFECT).ap50 == pytest.approx(1)


def test_judge_refuses_other_lengths():
    with pytest.raises(ValueError, match="detections of 1 images"):
        dense.judge([EMPTY], TRUE, TRUE_LABELS)
