"""Classifiers of episodes, against hand-worked cases, loops and scikit-learn."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier

from tl_helpers import fewshot

ALL = fewshot.CLASSIFIERS | {"transductive": fewshot.transductive_prototypes}


LINEAR = (fewshot.ridge, fewshot.logistic, fewshot.fine_tuned_head)


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


def beside(answers, support, query):
    """Answers of every episode, flat, and what `each_episode` gives."""
    episodes = each_episode(support, query)
    for mine, episode in zip(answers, episodes, strict=True):
        yield mine.ravel(), *episode


def mean_square(rows):
    return (rows**2).sum(1).mean()


def shapes_and_strengths(test):
    """Fewer and more features than rows, a weak and a strong penalty."""
    for name, values in {"width": [2, 30], "strength": [0.01, 1.0]}.items():
        test = pytest.mark.parametrize(name, values)(test)
    return test


def test_prototypes_by_hand():
    # means 1 and 6, hence the border is 3.5
    answers = fewshot.prototypes(*on_a_line([[0, 2], [3, 9]], [[3.4], [3.6]]))
    assert answers.tolist() == [[[0], [1]]]


def test_nearest_neighbour_by_hand():
    # 2 and 3 are the nearest of both classes, hence the border is 2.5
    answers = fewshot.nearest_neighbour(*on_a_line([[0, 2], [3, 9]], [[2.4], [2.6]]))
    assert answers.tolist() == [[[0], [1]]]


def test_linear_classifiers_by_hand():
    # centred -2, 0 | 0, 2 + 4 queries around the border, which symmetry puts at 5
    task = on_a_line([[3, 5], [5, 7]], [[4.9, -9], [5.1, 99]])
    for linear in LINEAR:
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
    answers = fewshot.nearest_neighbour(support, query)
    for mine, shots, labels, rows in beside(answers, support, query):
        theirs = KNeighborsClassifier(1).fit(shots, labels).predict(rows)
        assert np.array_equal(mine, theirs)


@shapes_and_strengths
def test_ridge_equals_a_loop_and_scikit_learn(width, strength):
    support, query = drawn_features(width=width, queries=40)
    answers = fewshot.ridge(support, query, strength)
    for mine, shots, labels, rows in beside(answers, support, query):
        alpha, targets = strength * mean_square(shots), np.eye(3)[labels]
        normal = shots.T @ shots + alpha * np.eye(width)
        scores = rows @ np.linalg.solve(normal, shots.T @ (targets - 1 / 3))
        assert np.array_equal(mine, scores.argmax(1))
        theirs = Ridge(alpha).fit(shots, targets).predict(rows)
        assert np.array_equal(mine, theirs.argmax(1))


@shapes_and_strengths
def test_logistic_equals_scikit_learn(width, strength):
    support, query = drawn_features(width=width, queries=40)
    answers = fewshot.logistic(support, query, strength)
    for mine, shots, labels, rows in beside(answers, support, query):
        inverse = 1 / (strength * mean_square(shots))
        model = LogisticRegression(
            C=inverse, fit_intercept=False, tol=1e-9, max_iter=9999
        )
        assert np.array_equal(mine, model.fit(shots, labels).predict(rows))


def straight(shots, labels, num_steps, rate=2.0):
    """Weights (d, N), biases (N,) and losses of the head, as a textbook has it."""
    members = np.eye(3)[labels]
    means = members.T @ shots / members.sum(0)[:, None]
    weights, biases, losses = 2 * means.T, -(means**2).sum(1), []
    for _ in range(num_steps):
        shares = softmax(shots @ weights + biases, axis=1)
        losses.append(-np.log((shares * members).sum(1)).mean())
        wrong = (shares - members) / len(shots)
        weights = weights - rate * shots.T @ wrong
        biases = biases - rate * wrong.sum(0)
    return weights, biases, losses


@pytest.mark.parametrize("num_steps", [1, 2, 30])
def test_fine_tuned_head_equals_a_loop_over_weights(num_steps):
    support, query = drawn_features(shots=6, queries=200)
    answers = fewshot.fine_tuned_head(support, query, num_steps)
    before = fewshot.prototypes(support, query).reshape(4, -1)
    assert not np.array_equal(answers, before)
    for mine, shots, labels, rows in beside(answers, support, query):
        unit = np.sqrt(mean_square(shots))
        weights, biases, _ = straight(shots / unit, labels, num_steps)
        theirs = rows / unit @ weights + biases
        assert np.array_equal(mine, theirs.argmax(1))


@given(st.integers(0, 99), st.floats(0, 5), st.integers(1, 4))
def test_fine_tuned_head_never_climbs_at_its_rate(seed, distance, width):
    task = drawn_features(3, 1, width, distance, seed)
    shots, labels, _ = next(each_episode(*task))
    _, _, losses = straight(shots / np.sqrt(mean_square(shots)), labels, 20)
    assert (np.diff(losses) < 1e-12).all()


def test_fine_tuned_head_ends_as_logistic_regression_without_penalty():
    support, query = drawn_features(shots=40, queries=100, width=2)
    answers = fewshot.fine_tuned_head(support, query, num_steps=3000)
    for mine, shots, labels, rows in beside(answers, support, query):
        model = LogisticRegression(C=np.inf, tol=1e-9, max_iter=9999)
        assert np.array_equal(mine, model.fit(shots, labels).predict(rows))


def test_fine_tuned_head_without_steps_is_prototypes():
    task = drawn_features(queries=50)
    answers = fewshot.fine_tuned_head(*task, num_steps=0)
    assert np.array_equal(answers, fewshot.prototypes(*task))


def test_one_shot_prototype_is_the_nearest_neighbour():
    task = drawn_features(shots=1, queries=50)
    answers = fewshot.prototypes(*task)
    assert np.array_equal(answers, fewshot.nearest_neighbour(*task))
    assert not np.array_equal(answers, fewshot.ridge(*task))


def test_one_shot_linear_answers_are_the_nearest_row_at_equal_distances():
    """Where all shots are as far from each other, nothing tells the three apart."""
    support = np.eye(4)[None, :, None]
    query = np.random.default_rng(0).normal(size=(1, 4, 50, 4))
    for linear in LINEAR:
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
    with pytest.raises(ValueError, match=r"support .* shape \(3, 3, 6\), expected"):
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


def test_classifiers_tell_apart_what_is_far_apart(classifier):
    labels = np.arange(30) % 5
    values = np.eye(5)[labels] + np.random.default_rng(0).normal(size=(30, 5)) / 50
    drawn = fewshot.episodes(labels, 4, 2, 3, 9)
    assert fewshot.evaluate_episodes(values, drawn, classifier).mean == 1


def test_classifier_refuses_nan_and_no_shots(classifier):
    support, query = drawn_features()
    broken = support.copy()
    broken[0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="Got support that are not finite"):
        classifier(broken, query)
    with pytest.raises(
        ValueError, match=r"support .* shape \(4, 3, 0, 6\), .* of each"
    ):
        classifier(support[:, :, :0], query)


@pytest.mark.parametrize(
    "name, number, sentence",
    [
        ("ridge", {"strength": -1.0}, "strength=-1.0, expected .* above 0"),
        ("logistic", {"strength": 0}, "strength=0, expected .* above 0"),
        ("fine_tuned_head", {"rate": np.nan}, "rate=nan, expected .* above 0"),
        ("fine_tuned_head", {"num_steps": -1}, "num_steps=-1, expected a whole number"),
        ("transductive_prototypes", {"sharpness": -1}, "sharpness=-1, expected .* 0"),
    ],
)
def test_numbers_out_of_range_are_refused(name, number, sentence):
    with pytest.raises(ValueError, match=sentence):
        getattr(fewshot, name)(*drawn_features(), **number)
