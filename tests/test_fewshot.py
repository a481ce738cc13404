"""Episodes and their classifiers, against hand-worked cases and scikit-learn."""

from functools import partial

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier

from tests.tiny import moved, tiny_images, values_of
from tl_helpers import fewshot
from tl_helpers.saving import load_model, save_model

ALL = fewshot.CLASSIFIERS | {"transductive": fewshot.transductive_prototypes}


@pytest.fixture(params=ALL)
def classifier(request):
    return ALL[request.param]


def drawn_features(shots=3, queries=8, width=6, distance=1.0, seed=0):
    """Support and query of 4 episodes with 3 classes that overlap."""
    rng = np.random.default_rng(seed)
    centres = distance * rng.normal(size=(4, 3, 1, width))
    support, query = (
        centres + rng.normal(size=(4, 3, k, width)) for k in (shots, queries)
    )
    return support, query


def on_a_line(support, query):
    """One episode of one feature."""
    arrays = (np.array(x, float)[None, ..., None] for x in (support, query))
    return tuple(arrays)


def each_episode(support, query):
    """Rows as scikit-learn takes them: (support (NK, d), labels (NK,), query)."""
    labels = np.repeat(np.arange(support.shape[1]), support.shape[2])
    width = support.shape[-1]
    for shots, rows in zip(support, query, strict=True):
        shots, rows = shots.reshape(-1, width), rows.reshape(-1, width)
        yield shots - shots.mean(0), labels, rows - shots.mean(0)


def mean_square(rows):
    return (rows**2).sum(1).mean()


# episodes


tasks = st.fixed_dictionaries(
    {
        "num_ways": st.integers(2, 4),
        "num_shots": st.integers(1, 3),
        "num_queries": st.integers(1, 3),
        "num_episodes": st.integers(1, 5),
        "seed": st.integers(0, 99),
    }
)
SIZES = {3: 6, 5: 7, 8: 12, 9: 6}  # label: rows
LABELS = np.random.default_rng(0).permutation(
    np.repeat(list(SIZES), list(SIZES.values()))
)


@given(tasks)
def test_episodes_have_the_asked_shapes_and_the_right_rows(task):
    drawn = fewshot.episodes(LABELS, **task)
    head = task["num_episodes"], task["num_ways"]
    assert drawn.classes.shape == head
    assert drawn.support.shape == (*head, task["num_shots"])
    assert drawn.query.shape == (*head, task["num_queries"])
    for rows in (drawn.support, drawn.query):
        assert (LABELS[rows] == drawn.classes[..., None]).all()


@given(tasks)
def test_episodes_draw_no_class_and_no_row_twice(task):
    drawn = fewshot.episodes(LABELS, **task)
    rows = np.concatenate([drawn.support, drawn.query], axis=2)
    for classes, taken in zip(drawn.classes, rows, strict=True):
        assert len(set(classes)) == task["num_ways"]
        assert len(set(taken.ravel())) == taken.size


@given(tasks)
def test_episodes_repeat_by_seed_alone(task):
    np.random.default_rng().random()
    one, same = (fewshot.episodes(LABELS, **task) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))


def test_episodes_differ_by_seed():
    one, other = (fewshot.episodes(LABELS, 2, 1, 1, 20, seed) for seed in (0, 1))
    assert not np.array_equal(one.support, other.support)


@pytest.mark.parametrize("part", ["support", "query"])
def test_episodes_draw_every_row_equally_often(part):
    drawn = fewshot.episodes(LABELS, 2, 2, 3, 20000)
    rows = getattr(drawn, part)
    counts = np.bincount(rows.ravel(), minlength=len(LABELS))
    wanted = rows.size / len(SIZES) / np.array([SIZES[label] for label in LABELS])
    assert np.abs(counts / wanted - 1).max() < 0.1  # 5 deviations or more


def test_episodes_draw_every_place_equally_often():
    """The first shot alone must be as random as all of them."""
    drawn = fewshot.episodes(np.repeat([0, 1], 6), 2, 3, 3, 20000)
    first = drawn.support[:, :, 0]
    assert np.abs(np.bincount(first.ravel()) / (40000 / 12) - 1).max() < 0.1
    assert 0.48 < (drawn.classes[:, 0] == 0).mean() < 0.52


def test_episodes_keep_to_the_given_classes():
    drawn = fewshot.episodes(LABELS, 2, 1, 1, 50, classes=[8, 3, 9])
    assert set(drawn.classes.ravel()) == {3, 8, 9}


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((1, 1, 1, 1), "1 ways"),
        ((2, 0, 1, 1), "0 shots"),
        ((2, 1, 0, 1), "0 queries"),
        ((2, 1, 1, 0), "0 episodes"),
        ((5, 1, 1, 1), "num_ways=5 with 4 classes"),
        ((2, 3, 4, 1), "class 3 with 6 rows, expected 7"),
    ],
)
def test_episodes_refuse_what_cannot_be_drawn(numbers, message):
    with pytest.raises(ValueError, match=message):
        fewshot.episodes(LABELS, *numbers)


def test_episodes_refuse_a_class_without_rows():
    with pytest.raises(ValueError, match="class 4 with 0 rows"):
        fewshot.episodes(LABELS, 2, 1, 1, classes=[3, 4])


def test_with_shots_keeps_queries_and_first_shots():
    drawn = fewshot.episodes(LABELS, 2, 3, 2, 5)
    fewer = drawn.with_shots(2)
    assert np.array_equal(fewer.support, drawn.support[..., :2])
    assert np.array_equal(fewer.query, drawn.query)
    with pytest.raises(ValueError, match="expected 1 to 3"):
        drawn.with_shots(4)


@given(st.integers(1, 3), st.integers(0, 99))
def test_split_classes_shares_out_every_class_once(num_held_out, seed):
    training, held_out = fewshot.split_classes(LABELS, num_held_out, seed)
    assert len(held_out) == num_held_out
    assert sorted([*training, *held_out]) == sorted(SIZES)


def test_split_classes_depends_on_the_seed():
    sides = {tuple(fewshot.split_classes(LABELS, 2, seed)[1]) for seed in range(20)}
    assert len(sides) > 3


@pytest.mark.parametrize("num_held_out", [0, 4])
def test_split_classes_refuses_an_empty_side(num_held_out):
    with pytest.raises(ValueError, match="expected 1 to 3 of 4 classes"):
        fewshot.split_classes(LABELS, num_held_out)


# classifiers


def test_prototypes_by_hand():
    # means 1 and 6, hence the border is 3.5
    answers = fewshot.prototypes(*on_a_line([[0, 2], [3, 9]], [[3.4], [3.6]]))
    assert answers.tolist() == [[[0], [1]]]


def test_nearest_neighbour_by_hand():
    # 2 and 3 are the nearest of both classes, hence the border is 2.5
    answers = fewshot.nearest_neighbour(*on_a_line([[0, 2], [3, 9]], [[2.4], [2.6]]))
    assert answers.tolist() == [[[0], [1]]]


def test_ridge_and_logistic_by_hand():
    # centred -2, 0 | 0, 2 + 4 queries around the border, which symmetry puts at 5
    task = on_a_line([[3, 5], [5, 7]], [[4.9, -9], [5.1, 99]])
    for linear in (fewshot.ridge, fewshot.logistic):
        assert linear(*task).tolist() == [[[0, 0], [1, 1]]]


def test_ridge_masks_a_class_in_the_middle():
    # X = -1, 0, 1 gives the classes the slopes -w, 0 and w, and no query the middle
    # one: the known weakness of regression on one-hot classes (masking)
    task = on_a_line([[-1], [0], [1]], [[-0.9, -0.1], [0.1, 0.9]])
    assert fewshot.ridge(*task).tolist() == [[[0, 0], [2, 2]]]
    assert fewshot.prototypes(*task).tolist() == [[[0, 1], [1, 2]]]


def test_prototypes_equal_a_loop():
    support, query = drawn_features()
    answers = fewshot.prototypes(support, query)
    for episode, way, row in np.ndindex(answers.shape):
        offsets = support[episode].mean(1) - query[episode, way, row]
        distances = [np.sum(offset**2) for offset in offsets]
        assert answers[episode, way, row] == np.argmin(distances)


def test_nearest_neighbour_equals_scikit_learn():
    support, query = drawn_features()
    answers = fewshot.nearest_neighbour(support, query).reshape(4, -1)
    for mine, (shots, labels, rows) in zip(
        answers, each_episode(support, query), strict=True
    ):
        theirs = KNeighborsClassifier(1).fit(shots, labels).predict(rows)
        assert np.array_equal(mine, theirs)


@pytest.mark.parametrize("width", [2, 30])  # fewer and more features than rows
@pytest.mark.parametrize("strength", [0.01, 1.0])
def test_ridge_equals_a_loop_and_scikit_learn(width, strength):
    support, query = drawn_features(width=width, queries=40)
    answers = fewshot.ridge(support, query, strength).reshape(4, -1)
    for mine, (shots, labels, rows) in zip(
        answers, each_episode(support, query), strict=True
    ):
        alpha, targets = strength * mean_square(shots), np.eye(3)[labels]
        normal = shots.T @ shots + alpha * np.eye(width)
        scores = rows @ np.linalg.solve(normal, shots.T @ (targets - 1 / 3))
        assert np.array_equal(mine, scores.argmax(1))
        theirs = Ridge(alpha).fit(shots, targets).predict(rows)
        assert np.array_equal(mine, theirs.argmax(1))


@pytest.mark.parametrize("width", [2, 30])
@pytest.mark.parametrize("strength", [0.01, 1.0])
def test_logistic_equals_scikit_learn(width, strength):
    support, query = drawn_features(width=width, queries=40)
    answers = fewshot.logistic(support, query, strength).reshape(4, -1)
    for mine, (shots, labels, rows) in zip(
        answers, each_episode(support, query), strict=True
    ):
        inverse = 1 / (strength * mean_square(shots))
        model = LogisticRegression(
            C=inverse, fit_intercept=False, tol=1e-9, max_iter=9999
        )
        assert np.array_equal(mine, model.fit(shots, labels).predict(rows))


def test_one_shot_prototype_is_the_nearest_neighbour():
    task = drawn_features(shots=1, queries=50)
    answers = fewshot.prototypes(*task)
    assert np.array_equal(answers, fewshot.nearest_neighbour(*task))
    assert not np.array_equal(answers, fewshot.ridge(*task))


def test_one_shot_linear_answers_are_the_nearest_row_at_equal_distances():
    """Where all shots are as far from each other, nothing tells the three apart."""
    support = np.eye(4)[None, :, None]
    query = np.random.default_rng(0).normal(size=(1, 4, 50, 4))
    for linear in (fewshot.ridge, fewshot.logistic):
        assert np.array_equal(linear(support, query)[0], query[0].argmax(-1))


def test_classifier_names_follow_the_order_of_classes(classifier):
    support, query = drawn_features()
    order = np.array([2, 0, 1])
    permuted = classifier(support[:, order], query)
    assert np.array_equal(order[permuted], classifier(support, query))


@settings(max_examples=20)
@given(st.floats(0.001, 1000), st.floats(-1000, 1000), st.sampled_from(list(ALL)))
def test_classifier_is_free_of_unit_and_offset(unit, offset, name):
    support, query = drawn_features()
    answers = ALL[name](unit * support + offset, unit * query + offset)
    assert np.array_equal(answers, ALL[name](support, query))


def test_classifier_keeps_float32_far_from_the_origin(classifier):
    support, query = (x.round() for x in drawn_features(distance=4))
    far = [(x + 100_000).astype("float32") for x in (support, query)]
    assert (classifier(*far) == classifier(support, query)).mean() > 0.98


def test_classifier_treats_every_episode_alone(classifier):
    support, query = drawn_features()
    alone = [classifier(support[[i]], query[[i]])[0] for i in range(4)]
    assert np.array_equal(classifier(support, query), alone)


def test_classifier_survives_equal_rows(classifier):
    answers = classifier(np.ones((1, 2, 3, 4)), np.ones((1, 2, 5, 4)))
    assert answers.shape == (1, 2, 5)
    assert set(answers.ravel()) <= {0, 1}


def test_classifier_refuses_another_shape(classifier):
    support, query = drawn_features()
    with pytest.raises(ValueError, match=r"of shape \(3, 3, 6\) and query"):
        classifier(support[0], query)
    with pytest.raises(ValueError, match="same E and d"):
        classifier(support, query[..., :4])


def test_transductive_prototypes_one_step_by_hand():
    # prototypes 0 and 4; the queries 1, 2.1, 2.2 | 9 have hard weights 1 0 0 | 0:
    # prototypes become 1/2 and (4 + 2.1 + 2.2 + 9) / 4 = 4.325; border 2.41
    task = on_a_line([[0], [4]], [[1, 2.1], [2.2, 9]])
    answer = partial(fewshot.transductive_prototypes, *task, sharpness=1e4)
    assert answer(num_steps=0).tolist() == [[[0, 1], [1, 1]]]
    assert answer(num_steps=1).tolist() == [[[0, 0], [0, 1]]]


def test_transductive_prototypes_of_no_sharpness_weigh_all_alike():
    # every prototype becomes (2 p + 4 q / 2) / 4 with q the mean of the queries
    task = on_a_line([[0, 0], [4, 4]], [[0, 2.9], [3.1, 10]])
    answers = fewshot.transductive_prototypes(*task, num_steps=1, sharpness=0)
    assert answers.tolist() == [[[0, 0], [1, 1]]]  # 2 and 4: the border is 3


def test_transductive_prototypes_without_steps_are_prototypes():
    task = drawn_features()
    answers = fewshot.transductive_prototypes(*task, num_steps=0)
    assert np.array_equal(answers, fewshot.prototypes(*task))
    assert not np.array_equal(answers, fewshot.transductive_prototypes(*task))


def two_classes():
    """30 episodes: one poor shot a class, 40 queries a class around -1 and 1."""
    rng = np.random.default_rng(0)
    centres = np.array([-1, 1])[:, None, None] * np.eye(8)[0]
    support = centres + rng.normal(size=(30, 2, 1, 8))
    return support, centres + rng.normal(size=(30, 2, 40, 8)) * 0.7


def right(answers):
    return (answers == np.arange(answers.shape[1])[:, None]).mean()


def test_transductive_prototypes_help_where_queries_are_balanced():
    task = two_classes()
    gain = right(fewshot.transductive_prototypes(*task)) - right(
        fewshot.prototypes(*task)
    )
    assert gain > 0.05


def test_transductive_prototypes_hurt_where_a_class_has_no_queries():
    # prototypes 0 and 4, all queries of class 0: they become (-6 + 1.9) / 5 = -0.82
    # and (4 + 4.4) / 3 = 2.8, and the border moves from 2 to 0.99
    support, query = on_a_line([[0], [4]], [[-2, -2, -2, 1.9, 2.2, 2.2]])
    answers = fewshot.transductive_prototypes(support, query, sharpness=1e4)
    assert right(fewshot.prototypes(support, query)) == pytest.approx(4 / 6)
    assert right(answers) == pytest.approx(3 / 6)


# features and evaluation


def test_centre_and_normalise_by_hand():
    values = np.array([[4.0, 5.0], [1.0, 1.0]])
    unit = fewshot.centre_and_normalise(values, np.array([1.0, 1.0]))
    assert np.allclose(unit, [[0.6, 0.8], [0, 0]])


def test_evaluate_episodes_by_hand():
    values = np.array([0.0, 1, 9, 10, 11, 2])[:, None]
    drawn = fewshot.Episodes(
        np.array([[0, 1], [0, 1]]),
        np.array([[[0], [3]], [[0], [3]]]),
        np.array([[[1, 5], [2, 4]], [[1, 2], [4, 3]]]),  # the row of 9 as class 0
    )
    result = fewshot.evaluate_episodes(values, drawn, fewshot.prototypes)
    assert result.accuracies.tolist() == [1, 0.75]
    # deviation 0.25 / sqrt(2), t of one degree of freedom 12.706, over sqrt(2)
    assert result.high - result.mean == pytest.approx(12.7062 * 0.125, rel=1e-4)
    assert result.mean - result.low == pytest.approx(12.7062 * 0.125, rel=1e-4)
    assert str(result) == "87.5 ± 158.8 %"


def test_evaluate_episodes_is_the_same_in_chunks(monkeypatch):
    values = np.random.default_rng(0).normal(size=(len(LABELS), 5))
    values += LABELS[:, None] / 4
    drawn = fewshot.episodes(LABELS, 3, 2, 2, 11)
    whole = fewshot.evaluate_episodes(values, drawn, fewshot.ridge)
    sizes = []

    def noted(support, query):
        sizes.append(len(support))
        return fewshot.ridge(support, query)

    monkeypatch.setattr(fewshot, "MAX_VALUES", 4 * 3 * 4 * 5)
    chunks = fewshot.evaluate_episodes(values, drawn, noted)
    assert sizes == [4, 4, 3]
    assert np.array_equal(chunks.accuracies, whole.accuracies)


@pytest.mark.parametrize("values", [np.full((31, 2), np.nan), np.ones((31, 4, 4, 3))])
def test_evaluate_episodes_refuses_what_are_no_features(values):
    drawn = fewshot.episodes(LABELS, 2, 1, 1, 1)
    with pytest.raises(ValueError, match="expected finite features"):
        fewshot.evaluate_episodes(values, drawn, fewshot.prototypes)


def test_classifiers_tell_apart_what_is_far_apart(classifier):
    values = np.eye(10)[LABELS] + np.random.default_rng(0).normal(size=(31, 10)) / 50
    drawn = fewshot.episodes(LABELS, 4, 2, 3, 9)
    assert fewshot.evaluate_episodes(values, drawn, classifier).mean == 1


# prototypical training


def toy(num_rows=60):
    """Three classes in one of four features; the others are louder noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(num_rows) % 3
    values = rng.normal(size=(num_rows, 4)) * [0.3, 3, 3, 3]
    return values.astype("float32") + np.eye(4)[0] * labels[:, None], labels


def prototypical(num_ways=3, num_shots=2, **settings):
    keras.utils.set_random_seed(0)
    encoder = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, name="embedding", **settings)]
    )
    model = fewshot.PrototypicalNetwork(encoder, num_ways, num_shots)
    model.compile(keras.optimizers.Adam(0.03))
    return model


@pytest.fixture(scope="module")
def trained():
    """A model, its weights before 90 episodes in three epochs, and its history."""
    values, labels = toy()
    batches = fewshot.episode_batches(values, fewshot.episodes(labels, 3, 2, 5, 90))
    model = prototypical()
    before = values_of(model)
    history = model.fit(batches, epochs=3, steps_per_epoch=30, verbose=0).history
    return model, before, history


def test_episode_batches_put_support_before_queries():
    drawn = fewshot.episodes(LABELS, 2, 2, 3, 4)
    rows = np.arange(len(LABELS))[:, None]
    batches = list(fewshot.episode_batches(rows, drawn).as_numpy_iterator())
    assert len(batches) == 4
    for i, (values, labels) in enumerate(batches):
        wanted = [*drawn.support[i].ravel(), *drawn.query[i].ravel()]
        assert values.dtype == np.float32
        assert values[:, 0].tolist() == wanted
        assert labels.tolist() == [0, 0, 1, 1, 0, 0, 0, 1, 1, 1]


def test_episode_batches_read_images():
    images = tiny_images(12)
    drawn = fewshot.episodes(images.labels, 2, 1, 2, 3)
    batches = fewshot.episode_batches(images.images, drawn)
    pixels, labels = next(batches.as_numpy_iterator())
    rows = [*drawn.support[0].ravel(), *drawn.query[0].ravel()]
    assert np.array_equal(pixels, images.pixels(rows))
    assert np.array_equal(drawn.classes[0][labels], images.labels[rows])


def test_prototypical_network_logs_the_loss_worked_out_by_hand():
    values, labels = toy()
    batches = fewshot.episode_batches(values, fewshot.episodes(labels, 3, 2, 5, 1))
    rows, ways = next(batches.as_numpy_iterator())
    model = prototypical()
    embedded = model.predict(rows, verbose=0)
    means = np.stack([embedded[[2 * way, 2 * way + 1]].mean(0) for way in range(3)])
    logits = -((embedded[6:, None] - means) ** 2).sum(-1)
    wanted = -log_softmax(logits, axis=1)[np.arange(15), ways[6:]].mean()
    logs = model.evaluate(batches, return_dict=True, verbose=0)
    assert logs["loss"] == pytest.approx(wanted, rel=1e-5)
    assert logs["accuracy"] == pytest.approx((logits.argmax(1) == ways[6:]).mean())
    logs = model.train_on_batch(rows, ways, return_dict=True)
    assert logs["loss"] == pytest.approx(wanted, rel=1e-5)


def test_prototypical_network_moves_the_encoder(trained):
    model, before, _ = trained
    assert len(before) == 2
    # a bias shifts queries and prototypes alike, hence has no gradient but rounding
    assert any("kernel" in path for path in moved(before, model))


def test_prototypical_network_learns(trained):
    *_, history = trained
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert history["accuracy"][-1] > history["accuracy"][0] + 0.1


def test_prototypical_network_helps_new_rows(trained):
    model, *_ = trained
    values, labels = toy(600)
    values, labels = values[60:], labels[60:]
    drawn = fewshot.episodes(labels, 3, 2, 5, 100)
    embedded = model.predict(values, verbose=0)
    before = fewshot.evaluate_episodes(values, drawn, fewshot.prototypes)
    after = fewshot.evaluate_episodes(embedded, drawn, fewshot.prototypes)
    assert after.low > before.high


def test_prototypical_network_reloads_with_equal_embeddings(trained, tmp_path):
    model, *_ = trained
    values, _ = toy()
    again = load_model(save_model(model, tmp_path / "network.keras"))
    assert (again.num_ways, again.num_shots) == (3, 2)
    assert np.array_equal(
        again.predict(values, verbose=0), model.predict(values, verbose=0)
    )


def test_prototypical_network_embeds_in_float32():
    model = prototypical(dtype="mixed_float16")
    assert model.predict(toy()[0], verbose=0).dtype == np.float32


def test_prototypical_network_refuses_unbuilt_and_spatial_encoders():
    for encoder in (
        keras.Sequential([layers.Dense(2)], name="odd"),
        keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3)], name="odd"),
    ):
        with pytest.raises(ValueError, match="encoder 'odd' that is not built or"):
            fewshot.PrototypicalNetwork(encoder, 2, 1)
