"""`ImageSet`: checked on construction, split by index, batched without loss."""

from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import assume, given, settings
from PIL import Image

from tl_helpers.datasets import (
    ImageSet,
    Provenance,
    check_groups_apart,
    few_per_class,
    split,
)
from tl_helpers.datasets.files import ImageFiles

PROVENANCE = Provenance("tiny", "made here", "none", "none")


def make_set(labels, num_classes=None, extras=None):
    """An ImageSet whose image i is filled with i, so that rows can be followed."""
    labels = np.asarray(labels)
    num_classes = num_classes or int(labels.max()) + 1
    images = np.zeros((len(labels), 2, 2, 3), np.uint8)
    images[..., 0] = np.arange(len(labels))[:, None, None] // 256
    images[..., 1] = np.arange(len(labels))[:, None, None] % 256
    names = tuple(f"class{i}" for i in range(num_classes))
    return ImageSet(images, labels, names, PROVENANCE, extras or {})


def rows_of(image_set):
    """Return the original row of every image."""
    pixels = image_set.pixels().astype(int)
    return pixels[:, 0, 0, 0] * 256 + pixels[:, 0, 0, 1]


def batched_rows(data):
    """Return the original rows in the order in which a tf.data pipeline gives them."""
    pixels = np.concatenate([images.numpy() for images, _ in data])
    return (pixels[:, 0, 0, 0] * 256 + pixels[:, 0, 0, 1]).astype(int).tolist()


@pytest.fixture
def hundred():
    return make_set(np.arange(100) % 4)


def test_image_set_names_labels_out_of_range():
    with pytest.raises(ValueError, match="labels from 0 to 3, expected 0 to 2"):
        make_set([0, 1, 3], num_classes=3)
    with pytest.raises(
        ValueError, match=r"labels of type int64, such as -1, 1, expected"
    ):
        make_set([-1, 1], num_classes=2)


@pytest.mark.parametrize(
    "images, sentence",
    [
        (np.zeros((3, 4, 4, 3), np.float32), "Got float32 images, expected uint8"),
        (np.zeros((3, 4, 4), np.uint8), r"shape \(3, 4, 4\)"),
        (np.full((3, 4, 4, 3), "a"), "Got images of .*expected numbers"),
        ([[1, 2]], r"Got images of type list and shape \(\), expected numbers"),
        (np.zeros((3, 4, 4, 1), np.uint8), r"shape \(3, 4, 4, 1\)"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"labels of shape \(3,\) for 2 rows"),
    ],
)
def test_image_set_names_images_of_another_kind(images, sentence):
    with pytest.raises(ValueError, match=sentence):
        ImageSet(images, np.zeros(3, int), ("a",), PROVENANCE)


def test_image_set_names_extras_of_another_length():
    with pytest.raises(ValueError, match=r"'pose' of shape \(2,\) for 3 images"):
        make_set([0, 1, 1], extras={"pose": np.zeros(2)})


def test_image_set_cannot_be_written_to(hundred):
    with pytest.raises(ValueError, match="read-only"):
        hundred.images[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        hundred.labels[0] = 1


def test_image_set_leaves_the_callers_array_writeable():
    images, labels = np.zeros((2, 4, 4, 3), np.uint8), np.array([0, 1])
    ImageSet(images, labels, ("a", "b"), PROVENANCE)
    images[0], labels[0] = 1, 1


def test_image_set_keeps_its_own_extras():
    extras = {"pose": [1, 2, 3]}
    images = make_set([0, 1, 1], extras=extras)
    extras["pose"] = [0]
    assert images[[2, 0]].extras["pose"].tolist() == [3, 1]
    with pytest.raises(ValueError, match="Got extras of type list, expected a dict"):
        make_set([0, 1, 1], extras=[1, 2, 3])


def test_image_set_names_a_provenance_that_is_none():
    with pytest.raises(ValueError, match="provenance of type str, expected Provenance"):
        replace(make_set([0, 1]), provenance="my camera")


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"shuffle": "no"}, {"seed": "a"}, {"seed": 0.5}]
)
def test_batches_refuse_wrong_arguments(hundred, wrong):
    with pytest.raises(ValueError, match=f"Got {next(iter(wrong))}=.*, expected"):
        hundred.batches(**{"batch_size": 10, **wrong})


def test_image_set_names_class_names_that_are_none():
    images = make_set([0, 1])
    assert replace(images, class_names=["a", "b"]).class_names == ("a", "b")
    with pytest.raises(ValueError, match="Got class name 'a' twice"):
        replace(images, class_names=("a", "a"))
    with pytest.raises(ValueError, match="Got class_names='ab', expected a name"):
        replace(images, class_names="ab")


@pytest.mark.parametrize("rows", [[4], [-1], [0.0], [True], 2, [[0]], "1", None])
def test_image_set_refuses_rows_that_it_lacks(rows):
    images = make_set([0, 1, 2, 0])
    for choose in (images.__getitem__, images.pixels):
        with pytest.raises(ValueError, match="^Got (rows|a mask) .*expected"):
            choose(rows)


@pytest.mark.parametrize("rows", [[2, 0], slice(1, 3), np.arange(4) > 1])
def test_image_set_selects_images_labels_and_extras_together(rows):
    images = make_set([0, 1, 2, 0], extras={"row": np.arange(4)})[rows]
    expected = np.arange(4)[rows]
    assert np.array_equal(rows_of(images), expected)
    assert np.array_equal(images.extras["row"], expected)
    assert np.array_equal(images.labels, np.array([0, 1, 2, 0])[expected])


def test_image_set_of_no_rows_is_empty():
    assert len(make_set([0, 1, 2])[[]]) == 0


def test_image_set_counts_classes_and_describes_itself():
    images = make_set([0, 2, 2])
    assert images.class_counts() == {"class0": 1, "class1": 0, "class2": 2}
    assert repr(images) == "ImageSet(tiny: 3 images of 2x2 px, 3 classes)"
    assert "made here" in str(images.provenance)


def test_fingerprint_follows_pixels_and_labels(hundred):
    assert hundred.fingerprint == make_set(np.arange(100) % 4).fingerprint
    others = [hundred[:99], hundred[::-1], make_set(np.arange(100) % 3)]
    assert len({hundred.fingerprint, *(other.fingerprint for other in others)}) == 4


def test_split_lifts_a_small_class_to_one_on_every_side():
    images = make_set([0, 0, 0, 1, 1, 1, 1])
    for part in split(images, 0.8, 0.2):
        assert min(part.class_counts().values()) >= 1


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(3, 40), min_size=1, max_size=5),
    shares=st.lists(st.integers(1, 20), min_size=2, max_size=3),
    seed=st.integers(0, 99),
)
def test_split_is_disjoint_whole_and_stratified(counts, shares, seed):
    images = make_set(np.repeat(np.arange(len(counts)), counts))
    shares = np.array(shares) / sum(shares)
    assume(np.diff(np.rint(np.cumsum((0, *shares)) * len(images))).min() >= 1)
    parts = split(images, *shares, seed=seed)
    rows = np.concatenate([rows_of(part) for part in parts])
    assert sorted(rows.tolist()) == list(range(len(images)))
    # One image, and a class's part of the one by which the whole is rounded; where
    # a side's share is below one image, it is lifted to one at the others' cost.
    counts = np.array(counts)
    tolerance = 1 + counts / len(images) + (shares.min() * counts < 1)
    for part, share in zip(parts, shares, strict=True):
        got = np.array(list(part.class_counts().values()))
        assert (got >= 1).all()
        assert (np.abs(got - share * counts) <= tolerance).all()


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=4, max_size=20),
    seed=st.integers(0, 99),
)
def test_split_never_puts_a_group_on_two_sides(sizes, seed):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    images = make_set(groups * 0, extras={"group": groups})
    assume(len(images) >= 8)
    try:
        parts = split(images, 0.5, 0.3, 0.2, groups=groups, seed=seed)
    except ValueError as error:
        assert "too uneven" in str(error)
        return
    sides = [set(part.extras["group"]) for part in parts]
    assert sum(len(side) for side in sides) == len(sizes) == len(set().union(*sides))
    assert sum(len(part) for part in parts) == len(images)


def test_split_by_counts_takes_that_many(hundred):
    train, test = split(hundred, 40, 20)
    assert (len(train), len(test)) == (40, 20)
    assert not set(rows_of(train)) & set(rows_of(test))
    assert set(train.class_counts().values()) == {10}


def test_split_repeats_with_its_seed(hundred):
    first, again, other = (split(hundred, 0.5, 0.5, seed=s)[0] for s in (0, 0, 1))
    assert np.array_equal(rows_of(first), rows_of(again))
    assert not np.array_equal(rows_of(first), rows_of(other))


def test_split_without_stratifying_is_whole(hundred):
    parts = split(hundred, 0.9, 0.1, stratify=False)
    rows = np.concatenate([rows_of(part) for part in parts])
    assert sorted(rows) == list(range(100)) and len(parts[1]) == 10


@pytest.mark.parametrize(
    "shares", [(0.5, 0.4), (1.2, -0.2), (200, 1), (0, 5), (), (np.nan, 1), ("a", 1)]
)
def test_split_refuses_shares_that_do_not_add_up(hundred, shares):
    with pytest.raises(ValueError, match="Got (shares?|parts)"):
        split(hundred, *shares)


def test_split_names_a_class_that_is_too_small():
    images = make_set([0] * 20 + [1])
    with pytest.raises(ValueError, match="'class1' has 1 images, expected at least 2"):
        split(images, 0.5, 0.5)


@given(
    patients=st.lists(st.integers(0, 40), min_size=12, max_size=40),
    seed=st.integers(0, 99),
)
def test_check_groups_apart_takes_a_split_by_group_alone(patients, seed):
    assume(len(set(patients)) >= 2 and len(patients) > len(set(patients)))
    images = make_set(np.zeros(len(patients), int), extras={"patient": patients})
    parts = split(images, 0.5, 0.5, groups=patients, seed=seed)
    check_groups_apart(*(part.extras["patient"] for part in parts))
    twice = next(one for one in patients if patients.count(one) > 1)
    row = patients.index(twice)
    sides = patients[: row + 1], patients[row + 1 :]  # the next one is on the far side
    with pytest.raises(
        ValueError, match="Got [0-9]+ groups both in part 0 and in part"
    ):
        check_groups_apart(*sides)


def test_check_groups_apart_names_whom_two_sides_share():
    with pytest.raises(
        ValueError, match="2 groups both in part 0 and in part 2, .*4, 7"
    ):
        check_groups_apart([4, 4, 7], [1], np.array([9, 7, 4]))
    check_groups_apart(["anna", "bo"], ["cy"])


@pytest.mark.parametrize(
    "sides", [([1],), ([1], ["1"]), ([1], []), ([1], 2), ([1], [None])]
)
def test_check_groups_apart_refuses_what_cannot_be_compared(sides):
    with pytest.raises(ValueError, match="Got groups of .*expected"):
        check_groups_apart(*sides)


def test_split_names_too_few_groups(hundred):
    with pytest.raises(ValueError, match="Got 1 groups, expected at least 2"):
        split(hundred, 0.5, 0.5, groups=np.zeros(100, int))


@pytest.mark.parametrize(
    "groups",
    [
        np.arange(99),
        np.ones((100, 1)),
        "patient",
        [np.nan] * 100,
        ["a", np.nan] * 50,
        [None, "a"] * 50,
        3,
    ],
)
def test_split_refuses_groups_of_other_rows(hundred, groups):
    """With groups of the first 99 images the last one was on neither side."""
    with pytest.raises(ValueError, match="Got groups of shape .* for 100 rows"):
        split(hundred, 0.5, 0.5, groups=groups)


@pytest.mark.parametrize("labelled", [np.ones((9, 2)), "digits", None])
def test_split_and_few_per_class_refuse_what_has_no_labels(labelled):
    for draw in (split, few_per_class):
        with pytest.raises(ValueError, match="Got a set of type .*, expected an Image"):
            draw(labelled, 1)


def test_split_keeps_patients_with_their_near_duplicates():
    """Trap 14: split by image, a patient's near-duplicates land on both sides."""
    patients = np.repeat([f"p{i}" for i in range(30)], 4)
    images = make_set(np.arange(120) % 2, extras={"patient": patients})

    def shared(parts):
        return set(parts[0].extras["patient"]) & set(parts[1].extras["patient"])

    assert shared(split(images, 0.8, 0.2))
    assert not shared(split(images, 0.8, 0.2, groups=patients))


def test_few_per_class_nests_small_budgets_in_large_ones(hundred):
    five, twenty = few_per_class(hundred, 5), few_per_class(hundred, 20)
    assert set(five.class_counts().values()) == {5}
    assert set(rows_of(five)) < set(rows_of(twenty))


def test_few_per_class_names_a_class_with_too_few(hundred):
    with pytest.raises(ValueError, match="=26, expected 1 to 25, .* class 'class0'"):
        few_per_class(hundred, 26)


@settings(max_examples=15, deadline=None)
@given(n=st.integers(1, 60), batch_size=st.integers(1, 70), shuffle=st.booleans())
def test_batches_drop_nothing_and_repeat_nothing(n, batch_size, shuffle):
    """Trap 15: labels dropped by the loader, files skipped without a word."""
    images = make_set(np.arange(n) % 3, num_classes=3)
    data = images.batches(batch_size, shuffle=shuffle)
    rows = batched_rows(data)
    assert sorted(rows) == list(range(n))
    if not shuffle:
        labels = np.concatenate([labels.numpy() for _, labels in data])
        assert rows == list(range(n)) and np.array_equal(labels, images.labels)


def test_batches_are_floats_of_full_range_with_their_labels():
    images = make_set([0, 1, 2])
    pixels, labels = next(iter(images.batches(3)))
    assert pixels.dtype == "float32" and labels.dtype == "int64"
    assert np.array_equal(pixels.numpy(), images.images)


def test_batches_keep_labels_beside_their_images_when_shuffled(hundred):
    for pixels, labels in hundred.batches(16, shuffle=True):
        rows = pixels.numpy()[:, 0, 0, 1].astype(int)
        assert np.array_equal(hundred.labels[rows], labels.numpy())


def test_batches_repeat_with_their_seed_and_differ_every_epoch(hundred):
    data, again = (hundred.batches(10, shuffle=True, seed=3) for _ in range(2))
    epochs = [batched_rows(data) for _ in range(3)]
    assert epochs == [batched_rows(again) for _ in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    assert batched_rows(hundred.batches(10, shuffle=True, seed=4)) != epochs[0]


def test_batches_augment_anew_every_epoch(hundred):
    """Trap 12, and with a fixed seed, as in every notebook of the course."""
    import keras

    keras.utils.set_random_seed(0)
    brightness = keras.layers.RandomBrightness(0.5, seed=1)

    def augment(images, labels):
        return brightness(images, training=True), labels

    data = hundred.batches(50, augment=augment)
    first, second = (np.concatenate([x.numpy() for x, _ in data]) for _ in range(2))
    assert not np.array_equal(first, second)
    plain = np.concatenate([x.numpy() for x, _ in hundred.batches(50)])
    assert plain.shape == first.shape
    assert not np.array_equal(plain, first)


def test_batches_augment_one_batch_at_a_time(hundred):
    """In parallel they race for the layer's random state: no two runs are alike."""
    import keras

    def three_epochs():
        brightness = keras.layers.RandomBrightness(0.5, seed=1)
        data = hundred.batches(1, augment=lambda x, y: (brightness(x + 128), y))
        return [images.numpy().max() for _ in range(3) for images, _ in data]

    assert three_epochs() == three_epochs()


def test_batches_wait_for_no_tuner(hundred):
    """Its thread sleeps up to as long as the epoch took, and the epoch's end waits."""
    assert hundred.batches(10).options().autotune.enabled is False


@pytest.mark.parametrize("order", [[0, 1, 2, -1], [0, 1, 2, 4], [0.0, 1, 2, 3]])
def test_batches_refuse_an_order_of_other_rows(order):
    data = make_set([0, 1, 2, 0]).batches(2, shuffle=lambda: np.array(order))
    with pytest.raises(Exception, match="Got rows .*expected"):
        batched_rows(data)


def test_split_then_shuffle_keeps_the_sides_apart_at_every_epoch(hundred):
    """Trap 11: shuffle, then take and skip, mixes the sides at every pass."""
    train, test = split(hundred, 0.8, 0.2)
    data = [part.batches(8, shuffle=True) for part in (train, test)]
    for _ in range(3):
        seen = [set(batched_rows(part)) for part in data]
        assert not seen[0] & seen[1] and len(seen[0] | seen[1]) == 100


def test_the_usual_shuffle_take_skip_does_mix_the_sides(hundred):
    """Shows that the test above can see trap 11."""
    import tensorflow as tf

    rows = tf.data.Dataset.range(100).shuffle(100, seed=0)
    train = set(rows.take(80).as_numpy_iterator())
    test = set(rows.skip(80).as_numpy_iterator())
    assert train & test


@pytest.fixture
def in_files(tmp_path):
    """Ten files, image i filled with i."""
    for i in range(10):
        Image.new("RGB", (2, 2), (0, i, 0)).save(tmp_path / f"{i}.png")
    files = ImageFiles(sorted(tmp_path.glob("*.png")), 2)
    return ImageSet(files, np.arange(10) % 2, ("a", "b"), PROVENANCE)


def test_batches_take_the_order_of_every_epoch_from_a_callable(hundred):
    orders = [np.arange(100)[::-1], np.roll(np.arange(100), 7)]
    asked = []

    def next_order():
        asked.append(len(asked))
        return orders[asked[-1]]

    batches = hundred.batches(32, shuffle=next_order)
    assert len(batches) == 4 and asked == []
    assert [batched_rows(batches) for _ in orders] == [x.tolist() for x in orders]
    assert asked == [0, 1]


def test_files_behave_like_an_array(in_files):
    part = in_files[[3, 1]]
    assert rows_of(part).tolist() == [3, 1] and part.labels.tolist() == [1, 1]
    assert in_files.fingerprint != part.fingerprint == in_files[[3, 1]].fingerprint


@pytest.mark.parametrize("max_cached_bytes", [2**30, 0])
def test_files_batch_alike_with_and_without_the_cache(
    in_files, monkeypatch, max_cached_bytes
):
    monkeypatch.setattr(
        "tl_helpers.datasets.batches.MAX_CACHED_BYTES", max_cached_bytes
    )
    assert batched_rows(in_files.batches(3)) == list(range(10))
    shuffled = in_files.batches(3, shuffle=True, seed=1)
    assert sorted(batched_rows(shuffled)) == list(range(10))
    for pixels, labels in shuffled:
        assert np.array_equal(pixels.numpy()[:, 0, 0, 1] % 2, labels.numpy())


def test_files_too_many_for_memory_are_decoded_batch_by_batch(in_files, monkeypatch):
    monkeypatch.setattr("tl_helpers.datasets.batches.MAX_CACHED_BYTES", 0)
    asked = []
    real = ImageFiles.__getitem__
    monkeypatch.setattr(
        ImageFiles, "__getitem__", lambda f, r: asked.append(len(r)) or real(f, r)
    )
    batched_rows(in_files.batches(4))
    assert sorted(asked) == [2, 4, 4]


def with_extras(pixels, **extras):
    return ImageSet(pixels, np.zeros(len(pixels), int), ("a",), PROVENANCE, extras)


def test_resized_moves_masks_and_boxes_with_the_pixels():
    mask = np.zeros((1, 8, 8), bool)
    mask[0, 2:6, 4:8] = True
    pixels = np.repeat(np.uint8(255 * mask)[..., None], 3, axis=-1)
    box, group = np.array([[4, 2, 8, 6]], "int16"), np.array(["tile"])
    small = with_extras(pixels, mask=mask, box=box, group=group).resized(4)
    assert small.extras["box"].tolist() == [[2, 1, 4, 3]]
    assert small.extras["mask"].sum() == 4 and small.extras["mask"][0, 1:3, 2:].all()
    inside = small.extras["mask"]
    assert small.pixels()[inside].mean() > 200 > 50 > small.pixels()[~inside].mean()
    assert small.extras["group"].tolist() == ["tile"]


def test_resized_to_its_own_size_is_the_same_set():
    images = with_extras(np.zeros((1, 8, 8, 3), np.uint8))
    assert images.resized(8) is images


def test_resized_files_are_decoded_at_the_new_size(in_files):
    smaller = in_files.resized(4)
    assert smaller.images.shape[1:] == (4, 4, 3)
    assert smaller.pixels(slice(2)).shape == (2, 4, 4, 3)
    assert smaller.fingerprint != in_files.fingerprint
