"""What is refused before anything is computed, and how rows are drawn and scaled."""

from types import SimpleNamespace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from tl_helpers.inputs import (
    check_class_names,
    check_colours,
    check_features,
    check_flag,
    check_kind,
    check_labelled,
    check_labels,
    check_not_negative,
    check_numbers,
    check_pixels,
    check_positive,
    check_rows,
    check_same_classes,
    check_share,
    check_whole,
    draw_rows,
    in_one_unit,
)


def test_in_one_unit_by_hand():
    """Means (1, 0); variances 1 and 7, of which the mean is 4: all is halved."""
    reference = np.array([[0, -(7**0.5)], [2, 7**0.5]])
    scaled = in_one_unit([[5.0, 3.0]], reference)
    assert scaled == pytest.approx(np.array([[2, 1.5]]))


def test_in_one_unit_takes_constant_features():
    assert np.array_equal(
        in_one_unit(np.ones((3, 2)), np.ones((3, 2))), np.zeros((3, 2))
    )


def test_draw_rows_keeps_order_and_repeats_none():
    rows = draw_rows(np.arange(100), 40, np.random.default_rng(0))
    assert (np.diff(rows) > 0).all()
    assert len(rows) == 40
    assert rows[-1] > 60  # from everywhere, not the first ones


def test_draw_rows_gives_images_and_labels_the_same_rows():
    images, labels = np.arange(50) + 0.5, np.arange(50)
    drawn = [draw_rows(x, 7, np.random.default_rng(3)) for x in (images, labels)]
    assert np.array_equal(drawn[0], drawn[1] + 0.5)


def test_draw_rows_leaves_few_rows_alone():
    rows = np.arange(5)
    assert draw_rows(rows, 5, None) is rows


def test_check_features_names_what_it_refuses():
    with pytest.raises(ValueError, match=r"Got target logits of shape \(3,\)"):
        check_features("target logits", np.ones(3))


@pytest.mark.parametrize("labels", [[0, 2, 1], [0.0, 2.0, 1.0], np.uint8([0, 2, 1])])
def test_check_labels_gives_whole_numbers(labels):
    checked = check_labels("source", np.ones((3, 2)), labels)
    assert checked.dtype == np.int64 and checked.tolist() == [0, 2, 1]


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([[0], [1], [1]], r"Got source labels of shape \(3, 1\) for 3 rows.*ravel"),
        (np.eye(3), r"of shape \(3, 3\) for 3 rows, expected one label .*argmax"),
        ([0, 1], r"of shape \(2,\) for 3 rows, expected one label for each row"),
        (0, r"of shape \(\) for 3 rows"),
        ([0.5, 1, 1], "of type float64, such as 0.5, 1.0, 1.0, expected class numbers"),
        ([np.nan, 1, 1], "such as nan, 1.0, 1.0, expected class numbers from 0 on"),
        ([0, -1, 1], "of type int64, such as 0, -1, 1, expected class numbers from 0"),
        (["cat", "dog", "dog"], "such as cat, dog, dog, expected class numbers"),
        ([None, 1, 2], "of type object, such as None, 1, 2, expected class numbers"),
        ([True, False, True], "of type bool"),
        ([[0], [1, 2], [1]], r"of type object, such as \[0\], \[1, 2\], \[1\]"),
        (range(2), r"of shape \(2,\) for 3 rows"),
        ((x for x in [0, 1, 1]), r"of shape \(\) for 3 rows"),
        ([np.inf, 0, 1], "such as inf, 0.0, 1.0"),
    ],
)
def test_check_labels_says_what_is_wrong_and_how_to_mend_it(labels, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_labels("source", np.ones((3, 2)), labels)


def named(*class_names):
    return SimpleNamespace(class_names=class_names)


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        (named("bee", "cow"), "Got 'bee' for class 0 in the second, expected 'ant'"),
        (named("ant", "bee"), "Got no more classes for class 2 .*, expected 'cow'"),
        (named("ant", "bee", "cow", "dog"), "Got 'dog' for .*, expected no more"),
        (named("ant", "cow", "bee"), r"class 1 .*load_folder\(..., class_names="),
    ],
)
def test_check_same_classes_names_the_first_that_differs(second, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_same_classes(named("ant", "bee", "cow"), second)


def test_check_same_classes_compares_only_what_both_know():
    known = named("ant", "bee")
    check_same_classes(known, SimpleNamespace(class_names=["ant", "bee"]))
    for other in (SimpleNamespace(class_names=None), np.ones(3)):
        check_same_classes(known, other)
        check_same_classes(other, known)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ("ab", "Got class_names='ab', expected a name for each"),
        (3, "Got class_names=3"),
        ((), r"Got class_names=\(\), expected a name"),
        (
            {"ant", "bee"},
            "Got class_names=.*, expected .* in the order of their numb",
        ),
        ({"ant": 1, "bee": 0}, "Got class_names=.*ant.*, expected"),
        ((0, 1), r"Got class_names=\(0, 1\), expected a name for each class"),
        (("ant", "bee", "ant"), "Got class name 'ant' twice"),
        (("ant", " "), "expected a name for each class"),
    ],
)
def test_check_class_names_refuses(names, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_class_names(names)


def test_check_class_names_spells_accents_in_one_way():
    composed, apart = "caf\u00e9", "cafe\u0301"  # as Linux and as macOS write it
    assert check_class_names((apart, "bar")) == (composed, "bar")
    with pytest.raises(ValueError, match="twice"):
        check_class_names((apart, composed))


def test_check_class_names_gives_plain_names():
    names = check_class_names(np.array(["ant", "bee"]))
    assert names == ("ant", "bee") and {type(name) for name in names} == {str}


def test_check_labels_alone_and_below_the_number_of_classes():
    assert check_labels("", None, [2, 0]).tolist() == [2, 0]
    assert check_labels("", [], []).dtype == np.int64
    with pytest.raises(ValueError, match=r"of shape \(2, 1\), expected one .*\(n,\)"):
        check_labels("", None, [[2], [0]])
    assert check_labels("", None, [2, 0], num_classes=3).tolist() == [2, 0]
    with pytest.raises(ValueError, match="from 0 to 3, expected 0 to 2 for 3 classes"):
        check_labels("", None, [3, 0], num_classes=3)


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        (slice(1, None), [1, 2]),
        ([2, 0, 2], [2, 0, 2]),
        (np.uint8([1]), [1]),
        ([False, True, True], [1, 2]),
        ([], []),
        (np.array([], bool), []),
    ],
)
def test_check_rows_gives_row_numbers(rows, wanted):
    assert check_rows(rows, 3).tolist() == wanted


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_check_rows_chooses_as_numpy_does(data):
    num_rows = data.draw(st.integers(1, 9))
    numbers = st.lists(st.integers(0, num_rows - 1), max_size=12)
    masks = st.lists(st.booleans(), min_size=num_rows, max_size=num_rows)
    rows = data.draw(numbers | masks | st.slices(num_rows))
    wanted = np.arange(num_rows)[slice(0) if rows == [] else rows]
    assert check_rows(rows, num_rows).tolist() == wanted.tolist()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-3, 9), min_size=1, max_size=9), st.sampled_from("if"))
def test_check_labels_takes_class_numbers_and_nothing_else(numbers, kind):
    labels = np.array(numbers, kind)
    if min(numbers) < 0:
        with pytest.raises(ValueError, match="expected class numbers from 0 on"):
            check_labels("", None, labels)
    else:
        assert check_labels("", None, labels).tolist() == numbers


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([3], r"Got rows from 3 to 3, expected 0 to 2 of 3 rows.*\[-3:\]"),
        ([0, -1], "Got rows from -1 to 0, expected 0 to 2"),
        ([0.0, 1.0], r"Got rows of type float64 and shape \(2,\), expected a slice"),
        ([True, False], "Got a mask of 2 rows for 3"),
        (np.ones((3, 1), bool), r"of type bool and shape \(3, 1\)"),
        (1, r"of type int64 and shape \(\).*\[\[3\]\]"),
        (None, "of type object"),
        (["a"], "of type <U1"),
        ((1, 2), r"expected a slice, a mask or whole numbers \(k,\)"),
    ],
)
def test_check_rows_names_what_is_no_row(rows, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_rows(rows, 3)


def test_check_labelled_takes_features_and_pairs_apart():
    rows = SimpleNamespace(values=np.ones((2, 1)), labels=[1.0, 0.0])
    for pair in (rows, (rows.values, rows.labels)):
        values, labels = check_labelled("training set", pair)
        assert values is rows.values and labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    "rows", [np.ones((2, 3)), "ab", None, (np.ones(2),), (3, 4), named("ant"), [1, 2]]
)
def test_check_labelled_refuses_the_rest(rows):
    with pytest.raises(ValueError, match="Got a test set of type .*, expected Feature"):
        check_labelled("test set", rows)


@pytest.mark.parametrize("values", [[["a", "b"]] * 2, [[None, 1]] * 2, [[1], [1, 2]]])
def test_check_features_refuses_what_are_no_numbers(values):
    with pytest.raises(ValueError, match="Got features"):
        check_features("features", values)


@pytest.mark.parametrize("value", [81.3, -0.1, np.nan, "0.5", None, True, [0.5]])
def test_check_share_names_what_is_none(value):
    with pytest.raises(ValueError, match=r"Got chance.*, expected a share in \[0, 1\]"):
        check_share(chance=value)


def test_numbers_of_any_type_are_taken():
    for number in (0.5, np.float32(0.5), np.array(0.5)):
        check_share(share=number)
        check_positive(rate=number)
        check_not_negative(strength=number)
    check_whole(2, num_classes=np.int64(2), size=np.array(3))
    check_flag(flag=np.bool_(False))


@pytest.mark.parametrize("value", [1, 2.0, np.nan, True, "2", None])
def test_check_whole_names_what_is_none(value):
    with pytest.raises(ValueError, match="Got num_ways.*, expected a whole number"):
        check_whole(2, num_ways=value)


def test_check_flag_refuses_a_word():
    with pytest.raises(ValueError, match="Got pool='no', expected True or False"):
        check_flag(pool="no")


@pytest.mark.parametrize(
    ("values", "shape", "sentence"),
    [
        (
            np.ones(3),
            "(n, d)",
            r"of type ndarray and shape \(3,\), expected",
        ),
        (np.ones((2, 3)), "(n, 2)", r"shape \(2, 3\), expected numbers \(n, 2\)"),
        (np.ones((0, 2)), "(n, ...)", "at least 1 of each"),
        (np.ones((2, 0)), "(n, d)", r"shape \(2, 0\), expected"),
        (iter([1]), "(n,)", "type list_iterator"),
        ([np.nan], "(n,)", "Got scores that are not finite"),
        (["1"], "(n,)", "expected numbers"),
    ],
)
def test_check_numbers_says_what_is_wrong(values, shape, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_numbers("scores", values, shape)


def test_check_numbers_lets_absent_ones_be_nan():
    assert check_numbers("boxes", [[np.nan] * 4], "(n, 4)", finite=False).shape == (
        1,
        4,
    )


def test_check_kind_says_the_way():
    with pytest.raises(ValueError, match="x of type list, expected dict; give {name"):
        check_kind(dict, x=[1])


def test_check_pixels_makes_float32_of_any_numbers():
    images = np.arange(24).reshape(1, 2, 4, 3)
    for same in (images, images.astype("uint8"), images * 1.0):
        found = check_pixels(same)
        assert found.dtype == np.float32 and np.array_equal(found, images)
    assert not check_pixels(0.0 * images).any()  # black, and no share of 1


@pytest.mark.parametrize("worth", [1 / 255, 1.01, -1])
def test_check_pixels_refuses_another_range(worth):
    with pytest.raises(ValueError, match=r"expected RGB in \[0, 255\]; multiply"):
        check_pixels(np.full((1, 2, 2, 3), 255.0 * worth))


def test_check_colours_repeats_what_is_given():
    images = np.arange(24, dtype="float32").reshape(2, 2, 2, 3)
    assert (check_colours("fill", 7, images) == 7).all()
    assert (check_colours("fill", (1, 2, 3), images) == [1, 2, 3]).all()
    assert np.array_equal(check_colours("fill", images[0], images)[1], images[0])
    mean = check_colours("fill", None, images)
    assert mean[1, 0, 1].tolist() == images[1].mean(axis=(0, 1)).tolist()


@pytest.mark.parametrize("fill", [256, -1, np.nan, "grey", (1, 2), True, [[300] * 3]])
def test_check_colours_refuses_what_is_none(fill):
    with pytest.raises(ValueError, match="Got fill.*expected"):
        check_colours("fill", fill, np.zeros((2, 4, 4, 3), "float32"))
