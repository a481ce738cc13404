"""Distances between domains: by hand, by the naive loop, and as a test of level."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tl_helpers.domains import class_shift, distance, mmd_test, proxy_a_distance
from tl_helpers.features import Features

WIDTHS = (0.25, 0.5, 1, 2, 4)
seeds = st.integers(0, 10_000)


def cloud(num_rows, num_features=3, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    return shift + rng.normal(size=(num_rows, num_features))


@pytest.mark.parametrize("seed", range(3))
def test_proxy_a_distance_of_one_distribution_is_near_zero(seed):
    distance = proxy_a_distance(cloud(300, seed=seed), cloud(300, seed=seed + 50))
    assert 0 <= distance <= 2 * np.sqrt(2 / 300)


def test_proxy_a_distance_of_separate_domains_is_two():
    assert proxy_a_distance(cloud(40), cloud(40, seed=1, shift=20)) == 2


def test_proxy_a_distance_of_known_overlap():
    """Two unit normals 2 apart: the best error is P(z > 1) = 0.1587."""
    value = proxy_a_distance(cloud(2000, 1), cloud(2000, 1, seed=1, shift=2))
    assert value == pytest.approx(2 * (1 - 2 * 0.1587), abs=0.08)


def test_proxy_a_distance_of_a_copy_is_zero():
    assert proxy_a_distance(cloud(50), cloud(50)) == 0


def test_proxy_a_distance_does_not_recognise_repeated_rows():
    """Repeats on both sides of a split would look like a distance near 2."""
    few = cloud(12, 40, seed=1)
    repeated = np.repeat(few, 50, axis=0)
    assert proxy_a_distance(cloud(600, 40), repeated) == (
        proxy_a_distance(cloud(600, 40), few)
    )


def test_proxy_a_distance_is_balanced():
    """Unbalanced, the answer "source" for all has an error of 1/31 only."""
    value = proxy_a_distance(cloud(3000, seed=1), cloud(100, seed=2))
    assert value <= 2 * np.sqrt(2 / 100)


def test_proxy_a_distance_is_blind_to_a_nearly_dead_feature():
    """A feature at rest at 0 and at 1e-6 would separate the domains, blown up."""
    source, target = cloud(200, seed=1), cloud(200, seed=2)
    source[:, 0], target[:, 0] = 0, 1e-6
    assert proxy_a_distance(source, target) < 2 * np.sqrt(2 / 200)


@settings(max_examples=10, deadline=None)
@given(seed=seeds, unit=st.sampled_from([1e-3, 1e3]))
def test_proxy_a_distance_ignores_unit_and_row_order(seed, unit):
    source, target = cloud(30, seed=seed), cloud(25, seed=seed + 1, shift=1)
    order = np.random.default_rng(seed).permutation(30)
    same = proxy_a_distance(unit * source[order], unit * target)
    assert same == pytest.approx(proxy_a_distance(source, target), abs=0.1)


def test_proxy_a_distance_refuses_a_constant_domain():
    with pytest.raises(ValueError, match="rows are all the same"):
        proxy_a_distance(cloud(5), np.ones((5, 3)))


def naive_mmd(source, target):
    rows = np.concatenate([source, target])
    squared = np.square(rows[:, None] - rows[None]).sum(axis=2)
    mean = squared.sum() / (len(rows) * (len(rows) - 1))

    def mean_kernel(ones, others, leave_out):
        kernels = [
            np.mean([np.exp(-np.square(x - y).sum() / (w * mean)) for w in WIDTHS])
            for i, x in enumerate(ones)
            for j, y in enumerate(others)
            if not (leave_out and i == j)
        ]
        return np.mean(kernels)

    within = mean_kernel(source, source, True) + mean_kernel(target, target, True)
    return within - 2 * mean_kernel(source, target, False)


@settings(max_examples=10, deadline=None)
@given(seed=seeds, num_source=st.integers(2, 6), num_target=st.integers(2, 6))
def test_mmd_statistic_equals_the_double_loop(seed, num_source, num_target):
    source, target = cloud(num_source, seed=seed), cloud(num_target, seed=seed + 1)
    test = mmd_test(source, target, num_permutations=1)
    assert test.statistic == pytest.approx(naive_mmd(source, target), abs=1e-12)


def test_mmd_statistic_is_that_of_the_loss():
    from tl_helpers.adaptation.losses import mmd_loss

    source, target = cloud(9).astype("float32"), cloud(7, shift=1).astype("float32")
    loss = float(mmd_loss(source, target, unbiased=True))
    assert mmd_test(source, target).statistic == pytest.approx(loss, abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_mmd_p_value_counts_ties(seed):
    """Of the 20 splits of 3 + 3 far rows, this one and its mirror image are as far.

    The mirror image sums the same numbers in another order.
    """
    source, target = cloud(3, seed=seed), cloud(3, seed=seed + 10, shift=6)
    test = mmd_test(source, target, num_permutations=1000)
    assert test.p_value == pytest.approx(2 / 20, abs=0.03)


def test_mmd_p_value_of_far_domains_is_the_smallest():
    test = mmd_test(cloud(30), cloud(30, seed=1, shift=5), num_permutations=99)
    assert test.p_value == 1 / 100
    assert test.statistic > 0.3


def test_mmd_p_value_keeps_its_level():
    """One distribution, unequal sizes: a share a of the p-values is at most a."""
    p_values = np.array(
        [
            mmd_test(cloud(10, seed=2 * i), cloud(20, seed=2 * i + 1), 39).p_value
            for i in range(300)
        ]
    )
    for level in (0.1, 0.25, 0.5, 0.75):
        spread = np.sqrt(level * (1 - level) / 300)
        assert abs((p_values <= level).mean() - level) < 4 * spread


@pytest.mark.parametrize(
    ("measure", "kept"), [(mmd_test, (20, 10)), (proxy_a_distance, (10, 10))]
)
def test_distances_cut_large_domains(monkeypatch, measure, kept):
    sizes, plain = [], distance.draw_rows

    def watch(*arguments):
        rows = plain(*arguments)
        sizes.append(len(rows))
        return rows

    monkeypatch.setattr(distance, "MAX_ROWS", 20)
    monkeypatch.setattr(distance, "draw_rows", watch)
    measure(cloud(30), cloud(10))
    measure(cloud(30), cloud(50))
    assert sizes == [*kept, 20, 20]


def test_mmd_of_equal_rows_is_zero():
    test = mmd_test(np.ones((4, 2)), np.ones((3, 2)))
    assert test.statistic == pytest.approx(0, abs=1e-12)
    assert test.p_value == 1


def test_mmd_refuses_no_permutation():
    with pytest.raises(ValueError, match="Got num_permutations=0, expected"):
        mmd_test(cloud(4), cloud(4), num_permutations=0)


SOURCE = [[-1.0, 0], [1, 0], [4, 5], [6, 5]]  # class means (0, 0) and (5, 5)
LABELS = [0, 0, 1, 1]


def labelled(values, labels=LABELS):
    return Features(np.asarray(values), np.asarray(labels))


def test_class_shift_by_hand():
    """Moves (0, 4) and (3, 4); 8 squared deviations of 1 over 8 - 4 degrees."""
    target = labelled([[-1.0, 4], [1, 4], [7, 9], [9, 9]])
    shift = class_shift(labelled(SOURCE), target)
    assert shift.per_class == pytest.approx({0: 4 / 2**0.5, 1: 5 / 2**0.5})
    assert shift.overall == pytest.approx(np.hypot(1.5, 4) / 2**0.5)


def test_class_shift_overall_cancels_where_classes_part():
    target = labelled([[-1.0, 4], [1, 4], [4, 1], [6, 1]])
    shift = class_shift(labelled(SOURCE), target)
    assert shift.per_class == pytest.approx({0: 4 / 2**0.5, 1: 4 / 2**0.5})
    assert shift.overall == pytest.approx(0)


def test_class_shift_leaves_out_classes_that_only_the_source_has():
    more = labelled([*SOURCE, [100.0, 100], [300, 100]], [*LABELS, 7, 7])
    shift = class_shift(more, labelled(SOURCE))
    assert shift == class_shift(labelled(SOURCE), labelled(SOURCE))
    assert shift.per_class == {0: 0, 1: 0}


@settings(max_examples=20, deadline=None)
@given(seed=seeds, unit=st.floats(0.01, 100))
def test_class_shift_ignores_unit_origin_and_rotation(seed, unit):
    source, target = cloud(20, 4, seed), cloud(16, 4, seed + 1, shift=1)
    labels = np.arange(20) % 3
    turn, _ = np.linalg.qr(cloud(4, 4, seed + 2))
    moved = class_shift(
        labelled(unit * source @ turn + 5, labels),
        labelled(unit * target @ turn + 5, labels[:16]),
    )
    shift = class_shift(labelled(source, labels), labelled(target, labels[:16]))
    assert moved.overall == pytest.approx(shift.overall)
    assert moved.per_class == pytest.approx(shift.per_class)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([0, 0, 1, 2], r"target classes \[2\], which the source lacks"),
        ([1, 1, 1, 1], "target labels of one class"),
        ([0, 1], r"labels of shape \(2,\) for 4 rows"),
        ([0.5, 0, 1, 1], "type float64, such as 0.5, 0.0, 1.0, expected class"),
        ([-1, 0, 1, 1], "from 0 on"),
    ],
)
def test_class_shift_refuses_labels(labels, sentence):
    with pytest.raises(ValueError, match=sentence):
        class_shift(labelled(SOURCE), labelled(SOURCE, labels))


def test_class_shift_compares_the_names_of_the_classes():
    source = Features(np.array(SOURCE), LABELS, ("ant", "bee"))
    for names in (("ant", "bee"), None):
        class_shift(source, Features(np.array(SOURCE), LABELS, names))
    with pytest.raises(ValueError, match="Got 'bee' for class 0 in the target, expec"):
        class_shift(source, Features(np.array(SOURCE), LABELS, ("bee", "ant")))


def test_class_shift_refuses_classes_without_spread():
    with pytest.raises(ValueError, match="rows are all the same"):
        class_shift(labelled([[0.0], [1]], [0, 1]), labelled([[2.0], [3]], [0, 1]))


@pytest.mark.parametrize("measure", [proxy_a_distance, mmd_test])
@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (cloud(5, 4), "3 source features and 4 target features"),
        (np.empty((0, 3)), "Got 0 rows of target features"),
        (cloud(1), "Got 1 rows of target features"),
        (np.full((5, 3), np.nan), "target features that are not finite"),
        (np.ones((5, 2, 2, 3)), "target features of shape"),
    ],
)
def test_distances_refuse_features(measure, target, sentence):
    with pytest.raises(ValueError, match=sentence):
        measure(cloud(5), target)
