"""Signs of collapse, by hand and on streams that look like one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tl_helpers.streams import warning_signs

LOG_10 = np.log(10)


def answers(labels, sure=0.91, num_classes=10):
    """Probabilities of a model that gives these labels, each as certain."""
    rest = (1 - sure) / (num_classes - 1)
    rows = np.full((len(labels), num_classes), rest)
    rows[np.arange(len(labels)), labels] = sure
    return rows


def honest(order):
    """Right answers to ten batches of twenty images."""
    labels = np.arange(200) % 10
    return np.split(answers(np.sort(labels) if order == "sorted" else labels), 10)


def test_a_constant_answer_raises_the_alarm():
    signs = warning_signs([answers(np.full(20, 3), sure=1.0)])
    assert signs.commonest[0] == 1 and signs.is_alarm[0]
    np.testing.assert_allclose([signs.variety[0], signs.doubt[0]], 0, atol=1e-12)
    np.testing.assert_allclose(signs.distance[0], 0.9)


def test_uniform_answers_are_doubt_and_no_collapse():
    signs = warning_signs([np.full((20, 10), 0.1)])
    np.testing.assert_allclose([signs.variety[0], signs.doubt[0]], LOG_10)
    assert signs.distance[0] == pytest.approx(0) and not signs.is_alarm.any()


def test_honest_answers_raise_no_alarm():
    signs = warning_signs(honest("mixed"))
    assert not signs.is_alarm.any()
    np.testing.assert_allclose(signs.commonest, 0.1)
    np.testing.assert_allclose(signs.variety, LOG_10)
    np.testing.assert_allclose(signs.distance, 0, atol=1e-12)


def test_honest_answers_to_a_sorted_stream_look_like_collapse():
    signs = warning_signs(honest("sorted"))
    assert signs.is_alarm.all()
    np.testing.assert_allclose(signs.commonest, 1)
    wide = warning_signs(honest("sorted"), over=10)
    assert wide.is_alarm[0] and not wide.is_alarm[-1]


def test_signs_by_hand():
    rows = np.array([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9]])
    signs = warning_signs([rows], source_probabilities=[[0.3, 0.7]])
    h = lambda p: -(p * np.log(p) + (1 - p) * np.log(1 - p))  # noqa: E731
    assert signs.commonest[0] == pytest.approx(2 / 3)
    assert signs.variety[0] == pytest.approx(h(0.5))
    assert signs.doubt[0] == pytest.approx(np.mean([h(0.8), h(0.6), h(0.1)]))
    assert signs.distance[0] == pytest.approx(0.2)


def test_a_source_with_a_rare_class_expects_it_to_be_rare():
    rows = [answers(np.repeat([0, 1], [19, 1]), 1.0, 2)]
    assert warning_signs(rows).is_alarm[0]
    assert not warning_signs(rows, source_probabilities=rows[0]).is_alarm[0]


@settings(max_examples=30)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=8),
    over=st.integers(1, 9),
    seed=st.integers(0, 10_000),
)
def test_signs_of_several_batches_are_those_of_one_large_one(sizes, over, seed):
    rng = np.random.default_rng(seed)
    batches = [rng.dirichlet(np.ones(4), size) for size in sizes]
    signs = warning_signs(batches, over=over)
    joint = warning_signs([np.concatenate(batches[-over:])])
    for several, one in zip(signs, joint, strict=True):
        assert len(several) == len(sizes)
        assert several[-1] == pytest.approx(one[0])
    assert (signs.doubt <= signs.variety + 1e-9).all()  # concavity


def test_signs_say_it_in_a_sentence():
    batches = [*honest("mixed")[:2], answers(np.full(20, 3), sure=1.0)]
    assert str(warning_signs(batches)) == (
        "The commonest answer has 100% of the latest images, the answers are as "
        "varied as 1.0 classes and each as unsure as 1.0, 90% went elsewhere than the "
        "source's; first alarm at batch 3 of 3."
    )
    assert str(warning_signs(honest("mixed"))).endswith("; no alarm.")


def test_a_few_images_of_an_honest_model_raise_no_alarm():
    rng = np.random.default_rng(0)
    streams = [answers(rng.integers(10, size=800), 1.0) for _ in range(10)]
    for num_images in (1, 4, 20, 40):
        batches = [np.split(x, len(x) // num_images) for x in streams]
        alarms = np.concatenate([warning_signs(x).is_alarm for x in batches])
        assert alarms.mean() < 0.005, num_images


def test_a_model_that_gives_seven_of_ten_classes_raises_the_alarm():
    """It is far from collapse; half of the variety, log(10) / 2, would let it pass."""
    rng = np.random.default_rng(0)
    batches = [answers(rng.integers(7, size=64), 1.0) for _ in range(20)]
    assert warning_signs(batches).is_alarm.mean() > 0.9
    assert not warning_signs(batches, limit=0.5).is_alarm.any()


def test_in_many_images_a_slightly_other_mix_raises_no_alarm():
    shares = np.array([0.14, 0.06] * 5)
    batch = answers(np.repeat(np.arange(10), (1000 * shares).round().astype(int)), 1.0)
    signs = warning_signs([batch])
    assert signs.variety[0] < 0.97 * LOG_10  # chance would not give that
    assert not signs.is_alarm[0]


def test_what_is_no_probability_is_refused():
    with pytest.raises(ValueError, match="expected probabilities"):
        warning_signs([np.array([[2.0, -1.0]])])
    with pytest.raises(ValueError, match=r"Got answers of \[2, 3\] classes"):
        warning_signs([np.full((1, 2), 1 / 2), np.full((1, 3), 1 / 3)])
    with pytest.raises(ValueError, match="expected list or tuple"):
        warning_signs(np.full((2, 2), 1 / 2))
