"""Plots show the numbers they are given, on labelled axes."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest

from tl_helpers import evaluation, plots
from tl_helpers.datasets import ImageSet, Provenance

CURVES = {
    "transfer": {5: [0.5, 0.7], 20: [0.8, 0.9]},
    "from scratch": {5: [0.1, 0.2], 20: [0.3, 0.3]},
}
pytestmark = pytest.mark.usefixtures("close_figures")


def drawn_lines(axis):
    return {line.get_label(): list(line.get_ydata()) for line in axis.get_lines()}


def test_label_efficiency_draws_means_in_percent():
    axis = plots.label_efficiency(CURVES, chance=0.1)
    assert drawn_lines(axis)["transfer"] == pytest.approx([60, 85])
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["5", "20"]
    assert axis.get_xlabel() and "%" in axis.get_ylabel()


def test_label_efficiency_shades_one_standard_deviation():
    axis = plots.label_efficiency({"one": {5: [0.5, 0.7]}}, chance=0.1)
    corners = axis.collections[0].get_paths()[0].vertices[:, 1]
    deviation = 100 * np.std([0.5, 0.7], ddof=1)
    assert corners.min() == pytest.approx(60 - deviation)
    assert corners.max() == pytest.approx(60 + deviation)


def test_layer_choice_keeps_the_order_of_blocks():
    axis = plots.layer_choice({"net": {"stem": [0.2], "block1": [0.6]}}, chance=0.1)
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["stem", "block1"]
    assert drawn_lines(axis)["net"] == pytest.approx([20, 60])


def rows_of(axis):
    """(mean, low, high) of every row of `plots.scores`, in percent."""
    found = []
    for dots, _, (bar,) in axis.containers:
        (low, _), (high, _) = bar.get_segments()[0]
        found.append((dots.get_xdata()[0], low, high))
    return found


def test_scores_are_means_with_intervals_and_a_dot_a_seed():
    table = {"a": [0.2, 0.4], "b": [0.9, 0.8], "c": [0.5, 0.6]}
    axis = plots.scores(table, baseline="a", oracle="b", kinds={"c": "probe"})
    for row, values in zip(rows_of(axis), table.values(), strict=True):
        spread = evaluation.summarise(values)
        wanted = spread.mean, spread.low, spread.high
        assert row == pytest.approx(100 * np.array(wanted))
    dots = [line.get_xdata() for line in axis.get_lines() if line.get_marker() == "."]
    assert np.concatenate(dots).tolist() == pytest.approx([20, 40, 90, 80, 50, 60])
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["a", "b", "c"]
    assert [text.get_text() for text in axis.texts] == ["30.0", "85.0", "55.0"]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["probe"]
    dashed = [line.get_xdata()[0] for line in axis.get_lines() if line.is_dashed()]
    assert dashed == pytest.approx([30])  # through the baseline


def test_scores_look_where_the_numbers_are():
    axis = plots.scores({"a": [0.80, 0.82], "b": [0.81, 0.83]}, chance=0.1)
    low, high = axis.get_xlim()
    assert 60 < low < 80 and 83 < high < 100
    assert [text.get_text() for text in axis.texts] == ["81.0", "82.0"]
    low, high = plots.scores({"a": [0.5], "b": [0.501]}).get_xlim()
    assert high - low >= 5  # a tenth of a point does not fill the picture
    near = plots.scores({"a": [0.12, 0.3]}, chance=0.1)
    assert near.get_xlim()[0] < 10 and near.texts[-1].get_text() == " chance"


def test_scores_correct_the_interval_of_overlapping_splits():
    rows = {"a": [0.5, 0.6, 0.7]}
    ((_, low, high),) = rows_of(plots.scores(evaluation.ScoreTable(3, rows)))
    overlapping = evaluation.ScoreTable(3, rows, test_share=0.5)
    ((_, lower, higher),) = rows_of(plots.scores(overlapping))
    assert (higher - lower) / (high - low) == pytest.approx(2)  # 1/3 + 1 for 1/3


def test_scores_refuse_a_baseline_that_is_no_row():
    with pytest.raises(ValueError, match="Got 'c', expected one of the rows a, b"):
        plots.scores({"a": [0.5], "b": [0.6]}, baseline="c")


def test_losses_draw_training_and_validation():
    histories = {"probe": {"loss": [2, 1], "val_loss": [3, 2]}, "other": [4, 3, 2]}
    axis = plots.losses(histories, x_label="step")
    drawn = drawn_lines(axis)
    assert drawn == {"probe": [2, 1], "probe, validation": [3, 2], "other": [4, 3, 2]}
    first, validation, _ = axis.get_lines()
    assert validation.is_dashed() and first.get_color() == validation.get_color()
    assert axis.get_xlabel() == "step"


PROBABILITIES = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
THREE = np.zeros((3, 4, 4, 3), np.uint8)


def titles_of(figure):
    return [axis.get_title() for axis in figure.axes if axis.get_title()]


def test_answers_say_how_sure_and_what_it_is():
    figure = plots.answers(THREE, [0, 1, 1], PROBABILITIES, ["red fox", "dog"])
    assert titles_of(figure) == ["red fox 90%", "red fox 80%\nis dog", "dog 70%"]
    colours = [axis.title.get_color() for axis in figure.axes]
    assert colours[0] == colours[2] != colours[1]
    some = plots.answers(THREE, [0, 1, 1], PROBABILITIES, ["red fox", "dog"], [2, 0])
    assert titles_of(some) == ["dog 70%", "red fox 90%"]


def test_worst_begins_where_the_truth_got_least():
    figure = plots.worst(THREE, [0, 1, 1], PROBABILITIES, ["cat", "dog"], number=2)
    assert titles_of(figure) == ["cat 80%\nis dog", "dog 70%"]


def test_answers_refuse_logits():
    with pytest.raises(ValueError, match="from -3 to 4, expected .0, 1.; give softmax"):
        plots.answers(THREE, [0, 1, 1], [[4, -3]] * 3, ["cat", "dog"])


def test_gains_draw_intervals_beside_zero():
    spreads = {"a": {5: evaluation.compare_paired([0.5, 0.7], [0.4, 0.4])}}
    axis = plots.gains(spreads)
    wanted = spreads["a"][5]
    (dots, _, (bars,)) = axis.containers[0]
    assert dots.get_ydata() == pytest.approx([20])
    ends = bars.get_segments()[0][:, 1]
    assert ends == pytest.approx([100 * wanted.low, 100 * wanted.high])
    assert axis.get_lines()[-1].get_ydata()[0] == 0
    assert axis.get_legend() and not plots.gains(spreads, legend=False).get_legend()


def test_one_of_each_draws_a_column_a_class():
    pixels = np.zeros((6, 4, 4, 3), np.uint8)
    names = ("cat", "dog", "red fox")
    images = ImageSet(pixels, np.arange(6) % 3, names, Provenance("", "", "", ""))
    figure = plots.one_of_each(images, per_class=2)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["cat", "dog", "red\nfox", "", "", ""]


def test_confusion_matrix_writes_percent_of_the_true_class():
    axis = plots.confusion_matrix(np.array([[3, 1], [0, 2]]), ("a", "b"))
    assert sorted(text.get_text() for text in axis.texts) == ["100", "25", "75"]


def test_filters_keep_zero_grey():
    kernels = np.zeros((3, 3, 3, 2))
    kernels[0, 0, 0, 1] = -2
    image = plots.filters(kernels).axes[1].images[0].get_array()
    assert image[0, 0].tolist() == [0, 127, 127]


def test_activation_maps_draw_the_channels_that_vary_most():
    maps = np.zeros((2, 2, 3))
    maps[0, 0, 2] = 5
    figure = plots.activation_maps(np.zeros((4, 4, 3), np.uint8), {"stem": maps}, 1)
    assert figure.axes[1].images[0].get_array().max() == 5


def test_feature_map_draws_every_point_once():
    points, labels = np.random.default_rng(0).normal(size=(9, 2)), np.arange(9) % 3
    axis = plots.feature_map(points, labels, ("a", "b", "c"))
    assert sum(len(line.get_xdata()) for line in axis.get_lines()) == 9


def test_feature_map_can_colour_a_few_classes():
    points, labels = np.random.default_rng(0).normal(size=(9, 2)), np.arange(9) % 3
    axis = plots.feature_map(points, labels, ("a", "b", "c"), only=["c"])
    others, c = axis.get_lines()
    assert (others.get_label(), c.get_label()) == ("other classes", "c")
    np.testing.assert_array_equal(c.get_xydata(), points[2::3])
    assert len(others.get_xdata()) == 6


def test_domains_differ_in_marker_and_keep_their_points():
    source, target = np.eye(2), np.arange(6).reshape(3, 2)
    axis = plots.domains(source, target, ("studio", "photo"))
    studio, photo = axis.get_lines()
    assert (studio.get_label(), photo.get_label()) == ("studio", "photo")
    np.testing.assert_array_equal(studio.get_xydata(), source)
    np.testing.assert_array_equal(photo.get_xydata(), target)
    assert studio.get_marker() != photo.get_marker()


def test_cosines_write_every_number_at_its_place():
    tables = {"before": np.array([[1, -0.25], [0.5, np.nan]]), "after": np.eye(2)}
    left, right, bar = plots.cosines(tables, ("class", "box")).axes
    written = {text.get_position(): text.get_text() for text in left.texts}
    assert written == {(0, 0): "1.00", (1, 0): "-0.25", (0, 1): "0.50", (1, 1): ""}
    assert [tick.get_text() for tick in left.get_yticklabels()] == ["class", "box"]
    assert (left.get_title(), right.get_title()) == ("before", "after")
    assert left.images[0].get_clim() == right.images[0].get_clim() == (-1, 1)
    assert bar.get_ylabel() == "cosine"


def test_reliability_draws_bins_their_share_and_the_error():
    """Of four images, three are answered with 0.9 and two of these are right."""
    probabilities = [[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.4, 0.6]]
    curve = evaluation.calibration_curve(probabilities, [0, 0, 1, 1], num_bins=5)
    axis = plots.reliability(curve)
    *bars, outline = axis.patches
    assert [bar.get_height() for bar in bars] == pytest.approx([0, 0, 100, 0, 200 / 3])
    assert [bar.get_x() for bar in bars] == pytest.approx([0, 20, 40, 60, 80])
    assert outline.get_data().values == pytest.approx([0, 0, 25, 0, 75])
    assert axis.get_lines()[0].get_xydata().tolist() == [[0, 0], [100, 100]]
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert "accuracy (calibration error 27.5 points)" in labels
    assert "confidence (%)" == axis.get_xlabel() and "%" in axis.get_ylabel()


def test_pareto_joins_the_candidates_that_none_beats():
    """b costs as much as a and is worse, d costs more than c and is worse."""
    accuracies = {"a": [0.4, 0.6], "b": [0.3], "d": [0.7], "c": [0.8]}
    costs = {"a": 1, "b": 1, "c": 2, "d": 3}
    kinds = {"a": "old", "b": "old", "c": "new", "d": "new"}
    axis = plots.pareto(accuracies, costs, "size (MB)", kinds=kinds, baseline="a")
    front = axis.get_lines()[-1]
    assert list(front.get_xdata()) == [1, 2]
    assert list(front.get_ydata()) == pytest.approx([50, 80])
    assert axis.get_legend_handles_labels()[1] == ["old", "new"]
    assert [text.get_text() for text in axis.texts] == ["a", "b", "d", "c"]
    assert axis.get_xlabel() == "size (MB)"


PERCENT = {"a": {5: [50.0, 70.0]}}


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.scores({"a": [0.5]}, chance=10),
        lambda: plots.scores({"a": [50.0, 70.0]}),
        lambda: plots.label_efficiency(PERCENT, 0.1),
        lambda: plots.layer_choice(PERCENT, 0.1),
        lambda: plots.pareto({"a": [50.0]}, {"a": 1}, "s"),
    ],
)
def test_percent_where_shares_are_due_is_refused(draw):
    """Drawn as 5,000%, all bars would end at the edge of the picture."""
    with pytest.raises(ValueError, match="expected a share in .0, 1.; divide percent"):
        draw()


def test_layer_choice_refuses_series_with_other_blocks():
    """They would stand under the names of the last one's."""
    blocks = {"a": {"stem": [0.5]}, "b": {"block1": [0.6]}}
    with pytest.raises(ValueError, match="'block1'.* beside .*'stem'.*, expected the"):
        plots.layer_choice(blocks, 0.1)


def test_cosines_refuse_what_is_none():
    with pytest.raises(ValueError, match="Got numbers up to 4 in a, expected cosines"):
        plots.cosines({"a": [[1, -4], [-4, 1]]}, ["x", "y"])


def test_show_images_refuses_floats_that_would_be_clipped():
    with pytest.raises(ValueError, match="of type float64 .* 200, expected uint8"):
        plots.show_images(np.full((1, 4, 4, 3), 200.0))


def test_more_than_ten_curves_are_drawn():
    plots.label_efficiency({str(i): {5: [0.5]} for i in range(11)}, 0.1)
