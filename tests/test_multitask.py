"""Several tasks on one trunk: heads, absent labels, weights and conflicts."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops
from scipy.special import log_softmax
from tiny import moved, values_of

from tl_helpers import datasets
from tl_helpers.multitask import (
    Angle,
    Box,
    Classification,
    Mask,
    MultiTask,
    PCGrad,
    axis_angles,
    gradient_cosines,
    gradient_lengths,
    project_conflicting,
    scaled_boxes,
    uncertainty_terms,
)

ROWS, SIZE = 8, 8
NAN = np.nan


def trunk(seed=0):
    keras.utils.set_random_seed(seed)
    stack = [keras.Input((SIZE, SIZE, 3)), layers.Rescaling(1 / 255)]
    stack += [layers.Conv2D(4, 3, strides=2, padding="same", name="conv")]
    stack += [layers.BatchNormalization(), layers.LeakyReLU()]
    return keras.Sequential(stack, name="trunk")


def flat_trunk(width=3):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((width,)), layers.Dense(4)], name="trunk")


def all_tasks():
    return {
        "class": Classification(3),
        "angle": Angle(),
        "box": Box(),
        "mask": Mask(SIZE),
    }


def two_tasks():
    return {name: all_tasks()[name] for name in ("class", "mask")}


def data(seed=0, names=None):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (ROWS, SIZE, SIZE, 3)).astype("float32")
    labels = {
        "class": rng.integers(0, 3, ROWS),
        "angle": rng.uniform(-3, 3, ROWS).astype("float32"),
        "box": np.sort(rng.uniform(0, 1, (ROWS, 4)).astype("float32"), axis=1),
        "mask": rng.random((ROWS, SIZE, SIZE)) > 0.5,
    }
    return images, {name: labels[name] for name in names or labels}


def compiled(model, rate=0.05, eager=False):
    # the same steps, without the seconds that tracing takes
    model.compile(keras.optimizers.SGD(rate), run_eagerly=eager)
    return model


def rows_of(task, measure, labels, outputs):
    values = getattr(task, measure)(np.asarray(labels), np.asarray(outputs, "float32"))
    return ops.convert_to_numpy(values)


@pytest.fixture(scope="module")
def fitted():
    """A model of all tasks after an epoch, its weights before and its log."""
    model = compiled(MultiTask(trunk(), all_tasks(), weighting="uncertainty"))
    before, (images, labels) = values_of(model), data()
    log = model.fit(images, labels, batch_size=4, verbose=0).history
    return model, before, log


# --- Tasks ----------------------------------------------------------------------


def test_classification_matches_log_softmax_and_skips_absent():
    logits, labels = [[2.0, 0, -1], [0, 1, 3], [5, 0, 0]], [0, 1, -1]
    expected = [-log_softmax(logits[0])[0], -log_softmax(logits[1])[1], 0]
    task = Classification(3)
    np.testing.assert_allclose(rows_of(task, "losses", labels, logits), expected, 1e-5)
    assert rows_of(task, "scores", labels, logits).tolist() == [1, 0, 0]


def test_angle_goes_around_the_circle():
    labels = np.radians([350, 90, NAN]).astype("float32")
    at = np.radians([10, 90, 0])
    outputs = np.stack([np.cos(at), np.sin(at)], 1)
    losses = rows_of(Angle(), "losses", labels, outputs)
    expected = [1 - np.cos(np.radians(20)), 0, 0]
    np.testing.assert_allclose(losses, expected, atol=1e-6)
    scores = rows_of(Angle(), "scores", labels, outputs)
    np.testing.assert_allclose(scores, [20, 0, 0], atol=1e-3)


def test_box_matches_hand_computed_loss_and_iou():
    labels = [[0, 0, 0.5, 0.5], [0, 0, 1, 1], [NAN, 0, 1, 1]]
    outputs = [[0, 0.25, 0.5, 0.55], [0.9, 0, 0.1, 1], [0, 0, 1, 1]]
    losses = rows_of(Box(), "losses", labels, outputs)
    first = (0.25 - 0.05 + 0.05**2 / 0.2) / 4  # one edge far off, one near
    np.testing.assert_allclose(losses, [first, 2 * 0.85 / 4, 0], rtol=1e-5)
    scores = rows_of(Box(), "scores", labels, outputs)
    shared, union = 0.5 * 0.25, 0.25 + 0.5 * 0.3 - 0.5 * 0.25
    np.testing.assert_allclose(scores, [shared / union, 0, 0], rtol=1e-5)


def test_mask_counts_known_pixels_only():
    labels = [[[1, 0], [1, -1]], [[0, 0], [0, 0]], [[NAN] * 2] * 2]
    logits = [[[3.0, 2], [-1, 9]], [[-1, -1], [-1, -1]], [[1, 1], [1, 1]]]
    cost = np.log1p(np.exp([-3, 2, 1])).mean(), np.log1p(np.exp(-1)), 0
    losses = rows_of(Mask(2), "losses", labels, logits)
    np.testing.assert_allclose(losses, cost, rtol=1e-5)
    scores = rows_of(Mask(2), "scores", labels, logits)
    np.testing.assert_allclose(scores, [1 / 3, 1, 0], rtol=1e-5)


@pytest.mark.parametrize("name", list(all_tasks()))
def test_head_gives_the_shape_of_its_task(name):
    task = all_tasks()[name]
    head = task.head((2, 3, 4))
    outputs = head(np.zeros((5, 2, 3, 4), "float32"))
    assert tuple(outputs.shape) == (5, *task.output_shape)


def test_angle_head_answers_on_the_unit_circle():
    rows = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    outputs = Angle().head((4,)).predict(rows, verbose=0)
    np.testing.assert_allclose((outputs**2).sum(1), 1, rtol=1e-5)


# --- Labels ---------------------------------------------------------------------


def test_axis_angles_of_known_rotations():
    half = np.radians(20) / 2
    upright, spun = [1, 0, 0, 0], [np.cos(0.4), 0, np.sin(0.4), 0]
    left = [np.cos(half), 0, 0, np.sin(half)]  # about the viewer's axis
    forward = [np.cos(half), np.sin(half), 0, 0]
    angles = np.degrees(axis_angles([upright, spun, left, forward]))
    np.testing.assert_allclose(angles, [0, 0, -20, 0], atol=1e-5)


def test_axis_angles_lean_as_the_masks_of_long_shapes_do():
    solids = datasets.load("solids", "studio")
    long = solids[solids.labels == solids.class_names.index("capsule")]
    angles, seen = axis_angles(long.extras["pose"]), []
    for mask in long.extras["mask"]:
        y, x = np.nonzero(mask)
        spread = np.cov(x, -y)
        seen.append(np.arctan2(2 * spread[0, 1], spread[1, 1] - spread[0, 0]) / 2)
    assert np.corrcoef(angles, seen)[0, 1] > 0.95


def test_scaled_boxes_divides_and_refuses_what_reaches_out():
    boxes = scaled_boxes(np.array([[0, 16, 32, 64]], "int16"), 64)
    assert boxes.tolist() == [[0, 0.25, 0.5, 1]]
    with pytest.raises(ValueError, match="size_px=32"):
        scaled_boxes([[0, 16, 32, 64]], 32)


@pytest.mark.parametrize("box", [[9, 2, 5, 6], [5, 6, 9, 2]])
def test_boxes_that_end_before_they_begin_are_refused(box):
    with pytest.raises(ValueError, match="in row 1, expected x0 <= x1 and y0 <= y1"):
        scaled_boxes([[1, 1, 2, 2], box], 10)
    with pytest.raises(ValueError, match="in row 0, expected x0 <= x1 and y0 <= y1"):
        Box().check("box", np.array([box]) / 10)


def test_parts_of_a_class_number_are_refused_and_absent_ones_are_not():
    Classification(3).check("kind", [0.0, np.nan, -1, 2])
    with pytest.raises(ValueError, match="Got parts of a whole in kind labels"):
        Classification(3).check("kind", [0.0, 1.5])


# --- The model ------------------------------------------------------------------


def test_fit_moves_every_part_and_logs_every_task(fitted):
    model, before, log = fitted
    still = {path for path in set(before) - moved(before, model) if "seed" not in path}
    assert not still
    names = {f"{name}_loss" for name in model.tasks}
    names |= {f"{name}_{task.metric}" for name, task in model.tasks.items()}
    assert set(log) == names | {"loss"}
    assert np.isfinite(list(log.values())).all()


def test_evaluate_logs_losses_and_metrics_computed_by_hand(fitted):
    model, (images, labels) = fitted[0], data()
    labels["class"][:3] = -1
    log = model.evaluate(images, labels, batch_size=4, verbose=0, return_dict=True)
    outputs = model.predict(images, verbose=0)
    assert set(outputs) == set(labels)
    for name, task in model.tasks.items():
        there = ops.convert_to_numpy(task.present(labels[name]))
        for measure, key in (("losses", "loss"), ("scores", task.metric)):
            values = rows_of(task, measure, labels[name], outputs[name])
            expected = values.sum() / there.sum()
            np.testing.assert_allclose(log[f"{name}_{key}"], expected, rtol=1e-4)


def test_loss_is_the_weighted_sum():
    weights = {"class": 0.5, "angle": 2.0}
    tasks = {"class": Classification(3), "angle": Angle()}
    model = compiled(MultiTask(trunk(), tasks, weights=weights))
    log = model.evaluate(*data(names=tasks), verbose=0, return_dict=True)
    expected = 0.5 * log["class_loss"] + 2 * log["angle_loss"]
    np.testing.assert_allclose(log["loss"], expected, rtol=1e-5)


def test_loss_counts_the_regularizers_of_the_layers():
    heads = {}
    for strength in (0.0, 0.5):
        penalty = keras.regularizers.L2(strength)
        tame = layers.Dense(3, kernel_initializer="ones", kernel_regularizer=penalty)
        heads[strength] = keras.Sequential([keras.Input((4,)), tame])
    x, labels = np.zeros((2, 3), "float32"), {"class": np.zeros(2, int)}
    models = [
        MultiTask(flat_trunk(), {"class": Classification(3)}, {"class": head})
        for head in heads.values()
    ]
    free, held = (float(m.compute_loss(x, labels, m(x))) for m in models)
    assert held - free == pytest.approx(0.5 * 12, rel=1e-5)  # 12 weights of 1


def test_saved_model_reloads_with_equal_outputs(fitted, tmp_path):
    model, images = fitted[0], data()[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    expected = model.predict(images, verbose=0)
    for name, outputs in loaded.predict(images, verbose=0).items():
        np.testing.assert_array_equal(outputs, expected[name])
    assert list(loaded.tasks) == list(model.tasks)
    assert loaded.tasks["mask"].size_px == SIZE
    np.testing.assert_array_equal(loaded.log_variances, model.log_variances)


def gradients_of(model, images, labels):
    with tf.GradientTape() as tape:
        loss = model.compute_loss(images, labels, model(images))
    variables = model.trainable_variables
    return [
        None if g is None else ops.convert_to_numpy(g)
        for g in tape.gradient(loss, variables)
    ]


@pytest.mark.parametrize("weighting", ["fixed", "uncertainty"])
def test_absent_rows_change_no_gradient(weighting):
    images, labels = data()
    keras.utils.set_random_seed(1)
    model = MultiTask(trunk(), all_tasks(), weighting=weighting)
    absent = {name: rows.astype("float32") for name, rows in labels.items()}
    for name, rows in absent.items():
        rows[4:] = -1 if name == "class" else NAN
    few = {name: rows[:4] for name, rows in labels.items()}
    alone = gradients_of(model, images[:4], few)
    beside = gradients_of(model, images, absent)
    for expected, gradient in zip(alone, beside, strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)
    assert max(np.abs(g).max() for g in alone) > 0.01


@pytest.mark.parametrize("weighting", ["fixed", "uncertainty"])
def test_batch_without_any_label_has_zero_gradient(weighting):
    images, labels = data()
    model = MultiTask(trunk(), all_tasks(), weighting=weighting)
    if weighting == "uncertainty":
        model.log_variances.assign([1.0] * 4)
    for name in labels:
        absent = -1 if name == "class" else NAN
        labels[name] = np.full(labels[name].shape, absent, "float32")
    assert float(model.compute_loss(images, labels, model(images))) == 0
    assert all((g == 0).all() for g in gradients_of(model, images, labels))


def test_weight_zero_trains_the_trunk_as_without_the_task():
    weights = []
    for scale in ({"class": 1.0}, {"class": 1.0, "mask": 0.0}):
        shared, tasks = trunk(), {name: all_tasks()[name] for name in scale}
        keras.utils.set_random_seed(3)
        model = compiled(MultiTask(shared, tasks, weights=scale), eager=True)
        model.fit(*data(names=scale), shuffle=False, epochs=2, verbose=0)
        weights.append(values_of(shared))
    for first, second in zip(*(w.values() for w in weights), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-6)
    start = values_of(trunk())["trunk/conv/kernel"]
    assert not np.array_equal(weights[0]["trunk/conv/kernel"], start)


@pytest.mark.parametrize("kind", [MultiTask, PCGrad])
def test_frozen_trunk_stays_bit_identical(kind):
    shared = trunk()
    shared.trainable = False
    model = compiled(kind(shared, two_tasks()), eager=True)
    before, heads = values_of(shared), values_of(model.heads["class"])
    model.fit(*data(names=model.tasks), verbose=0)
    assert not moved(before, shared)
    assert moved(heads, model.heads["class"])


def test_fit_takes_a_tf_dataset_and_a_head_of_the_users_own():
    head = keras.Sequential([keras.Input((4,)), layers.Dense(2, name="own")])
    model = compiled(
        MultiTask(flat_trunk(), {"domain": Classification(2)}, {"domain": head})
    )
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    rows = tf.data.Dataset.from_tensor_slices((x, {"domain": np.arange(8) % 2}))
    before = values_of(head)
    model.fit(rows.batch(4), shuffle=False, verbose=0)
    assert moved(before, head) == set(before)


@pytest.mark.parametrize("kind", [MultiTask, PCGrad])
def test_mixed_precision_trains_with_finite_losses(kind):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = compiled(kind(trunk(), two_tasks(), weighting="uncertainty"), 0.01)
        weights = values_of(model.trunk)
        log = model.fit(*data(names=model.tasks), epochs=2, verbose=0).history
        assert model.trunk.compute_dtype == "float16"
    finally:
        keras.config.set_dtype_policy(before)
    assert np.isfinite(list(log.values())).all()
    assert any("conv/kernel" in path for path in moved(weights, model.trunk))


# --- Weighting by uncertainty ---------------------------------------------------


def test_uncertainty_terms_and_gradient_match_the_formula():
    losses = np.array([0.8, 0.8], "float32")
    s = tf.Variable([0.3, 0.3])
    with tf.GradientTape() as tape:
        terms = uncertainty_terms(losses, s, [True, False])
        total = ops.sum(terms)
    fit = np.exp(-0.3) * 0.8
    np.testing.assert_allclose(terms, [fit / 2 + 0.15, fit + 0.15], rtol=1e-6)
    slopes = tape.gradient(total, s)
    np.testing.assert_allclose(slopes, [0.5 - fit / 2, 0.5 - fit], rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 10))
def test_uncertainty_terms_are_least_at_the_documented_variance(loss):
    best = np.log([loss, 2 * loss])
    around = [best - 0.1, best, best + 0.1]
    values = [uncertainty_terms([loss, loss], s, [True, False]) for s in around]
    low, middle, high = (ops.convert_to_numpy(v) for v in values)
    assert (middle < low).all() and (middle < high).all()


def test_log_variances_are_learned_towards_their_optimum():
    head = layers.Dense(2, kernel_initializer="zeros", trainable=False)
    head = keras.Sequential([keras.Input((4,)), head])
    tasks, x = {"class": Classification(2)}, np.ones((4, 3), "float32")
    model = MultiTask(flat_trunk(), tasks, {"class": head}, weighting="uncertainty")
    compiled(model, 1.0, True).fit(x, {"class": np.arange(4) % 2}, epochs=15, verbose=0)
    assert float(model.log_variances[0]) == pytest.approx(np.log(2 * np.log(2)), 1e-3)


# --- Conflicts ------------------------------------------------------------------


def test_project_conflicting_two_tasks_by_hand():
    projected = project_conflicting(np.array([[1.0, 0], [-1, 1]], "float32"))
    np.testing.assert_allclose(projected, [[0.5, 0.5], [0, 1]], atol=1e-6)


def test_project_conflicting_visits_tasks_in_the_given_order():
    rows = np.array([[1, 0], [-1, 1], [-1, -2]], "float32")
    first = ops.convert_to_numpy(project_conflicting(rows, [1, 2, 0]))[0]
    # away from row 1 gives (.5, .5); that has a product of -1.5 with row 2
    np.testing.assert_allclose(first, [0.5 - 0.3, 0.5 - 0.6], atol=1e-6)
    other = ops.convert_to_numpy(project_conflicting(rows, [2, 1, 0]))[0]
    np.testing.assert_allclose(other, np.array([0.8, -0.4]) + [-0.6, 0.6], atol=1e-6)


def test_project_conflicting_never_projects_a_task_on_itself():
    rows = np.array([[1, 0], [-1, 0.1], [-1, -1]], "float32")
    first = ops.convert_to_numpy(project_conflicting(rows, [1, 2, 0]))[0]
    half = 0.11 / 1.01 / 2  # by now it points away from where it began
    expected = [0.01 / 1.01 - half, 0.1 / 1.01 - half]
    np.testing.assert_allclose(first, expected, rtol=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_project_conflicting_leaves_no_conflict_between_two(seed):
    rows = np.random.default_rng(seed).normal(size=(2, 5)).astype("float32")
    projected = ops.convert_to_numpy(project_conflicting(rows))
    if rows[0] @ rows[1] >= 0:
        np.testing.assert_array_equal(projected, rows)
    assert projected[0] @ rows[1] >= -1e-5 and projected[1] @ rows[0] >= -1e-5


def test_project_conflicting_bears_a_task_without_gradient():
    rows = np.array([[0, 0], [1, -1]], "float32")
    np.testing.assert_array_equal(project_conflicting(rows), rows)


def twins(kind=MultiTask, weights=None):
    """Two angle tasks on one trunk whose heads have the same weights."""
    model = kind(flat_trunk(), {"a": Angle(), "b": Angle()}, weights=weights)
    model.heads["b"].set_weights(model.heads["a"].get_weights())
    x = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
    return model, x, np.linspace(-1, 1, 6).astype("float32")


def test_gradient_cosines_of_agreeing_opposed_and_absent_tasks():
    model, x, angles = twins()
    same = gradient_cosines(model, x, {"a": angles, "b": angles})
    np.testing.assert_allclose(same, np.ones((2, 2)), rtol=1e-5)
    opposed = gradient_cosines(model, x, {"a": angles, "b": angles + np.pi})
    np.testing.assert_allclose(opposed, [[1, -1], [-1, 1]], rtol=1e-4)
    absent = gradient_cosines(model, x, {"a": angles, "b": angles * NAN})
    assert np.isnan(absent[1]).all() and absent[0, 0] == pytest.approx(1)


def test_gradient_cosines_are_those_of_a_training_step_and_move_nothing():
    model = MultiTask(trunk(), two_tasks())
    images, labels = data(names=model.tasks)
    before = values_of(model)
    found = {
        mode: gradient_cosines(model, images, labels, mode) for mode in (False, True)
    }
    assert not moved(before, model)
    for mode, cosines in found.items():
        with tf.GradientTape(persistent=True) as tape:
            losses = model.task_losses(labels, model(images, training=mode))[0]
            first, second = losses[0], losses[1]
        shared = model.trunk.trainable_variables
        rows = [
            np.concatenate([np.ravel(g) for g in tape.gradient(loss, shared)])
            for loss in (first, second)
        ]
        expected = rows[0] @ rows[1] / np.prod(np.linalg.norm(rows, axis=1))
        assert cosines[0, 1] == pytest.approx(expected, abs=1e-3)
    assert abs(found[True][0, 1] - found[False][0, 1]) > 0.05
    np.testing.assert_array_equal(gradient_cosines(model, images, labels), found[True])


def test_gradient_lengths_of_hand_made_gradients():
    model, x, angles = twins()
    labels = {"a": angles, "b": angles * NAN}
    lengths = gradient_lengths(model, x, labels)
    with tf.GradientTape() as tape:
        loss = model.task_losses(labels, model(x, training=True))[0][0]
    rows = tape.gradient(loss, model.trunk.trainable_variables)
    expected = np.sqrt(sum(float(ops.sum(g**2)) for g in rows))
    np.testing.assert_allclose(lengths, [expected, 0], rtol=1e-5)


def test_pcgrad_stops_a_trunk_between_opposed_tasks():
    weights = {"a": 1.0, "b": 3.0}
    for kind, is_still in ((MultiTask, False), (PCGrad, True)):
        model, x, angles = twins(kind, weights)
        before = model.trunk.get_weights()
        labels = {"a": angles, "b": angles + np.pi}
        compiled(model).fit(x, labels, batch_size=6, verbose=0)
        change = np.abs(model.trunk.get_weights()[0] - before[0]).max()
        assert (change < 1e-6) == is_still


def test_pcgrad_trains_as_multi_task_where_tasks_agree():
    logs, ends = [], []
    for kind in (MultiTask, PCGrad):
        model, x, angles = twins(kind)
        labels = {"a": angles, "b": angles}
        compiled(model, eager=True)
        logs.append(model.fit(x, labels, epochs=2, shuffle=False, verbose=0).history)
        ends.append(np.concatenate([w.ravel() for w in model.get_weights()[:4]]))
    np.testing.assert_allclose(*ends, rtol=1e-4, atol=1e-6)
    for name, values in logs[0].items():
        np.testing.assert_allclose(logs[1][name], values, rtol=1e-4, err_msg=name)


def test_pcgrad_reloads_and_predicts_the_same(tmp_path):
    model, x, _ = twins(PCGrad)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, PCGrad)
    outputs, again = (m.predict(x, verbose=0)["b"] for m in (model, loaded))
    np.testing.assert_array_equal(outputs, again)


# --- Errors ---------------------------------------------------------------------


def without(labels, name):
    return {key: rows for key, rows in labels.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: without(y, "box"), r"no labels for \['box'\]"),
        (lambda y: y | {"colour": y["class"]}, r"labels for \['colour'\]"),
        (lambda y: y | {"box": 64 * y["box"]}, "expected 0 to 1; divide pixels"),
        (lambda y: y | {"box": y["box"][:, :2]}, r"expected \('n', 4\)"),
        (lambda y: y | {"class": y["class"] + 9}, "expected -1 to 2"),
        (lambda y: y | {"angle": y["angle"] * 60}, "give radians"),
        (lambda y: y["class"], "expected a dict"),
    ],
)
def test_fit_refuses_labels_that_do_not_fit(fitted, change, message):
    images, labels = data()
    with pytest.raises(ValueError, match=message):
        fitted[0].fit(images, change(labels), verbose=0)


def test_tf_data_without_a_task_is_refused_too(fitted):
    images, labels = data()
    rows = tf.data.Dataset.from_tensor_slices((images, without(labels, "box")))
    with pytest.raises(ValueError, match=r"no labels for \['box'\]"):
        fitted[0].evaluate(rows.batch(4), verbose=0)


def test_sample_weight_is_refused(fitted):
    with pytest.raises(ValueError, match="mark labels as absent"):
        fitted[0].fit(*data(), sample_weight=np.ones(ROWS), verbose=0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda t: MultiTask(t, {"mask": Mask(8)}), "before it pools"),
        (lambda t: MultiTask(t, {}), "Got no tasks"),
        (lambda t: MultiTask(t, {"a": Angle()}, weighting="equal"), "one of"),
        (lambda t: MultiTask(t, {"a": Angle()}, weights={"b": 1}), r"\['b'\]"),
        (lambda t: MultiTask(t, {"a": Angle()}, weights={"a": -1}), "at least 0"),
        (
            lambda t: MultiTask(t, {"a": Angle()}, None, "uncertainty", {"a": 1}),
            "leave one of the two out",
        ),
        (lambda t: MultiTask(t, {"a": Angle()}, {"a": Box().head((4,))}), "head for"),
        (lambda t: MultiTask(keras.Sequential(), {"a": Angle()}), "keras.Input"),
        (lambda t: Classification(1), "from 2 on"),
        (lambda t: project_conflicting(np.ones(3)), "(tasks, parameters)"),
        (lambda t: axis_angles(np.ones((2, 4))), "divide each by its length"),
        (lambda t: axis_angles(np.ones((2, 3))), "(n, 4)"),
    ],
)
def test_building_refuses_what_does_not_fit(build, message):
    with pytest.raises(ValueError, match=message):
        build(flat_trunk())


def test_gradient_cosines_refuses_a_frozen_trunk():
    model, x, angles = twins()
    model.trunk.trainable = False
    with pytest.raises(ValueError, match="frozen trunk"):
        gradient_cosines(model, x, {"a": angles, "b": angles})
