"""The report's plots: what is plotted, found in the SVG."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from synthmed_tf.evaluation import plots

FPR, TPR = np.array([0, 0, 0.5, 1.0]), np.array([0, 0.4, 0.6, 1.0])


def part(svg: str, name: str) -> ElementTree.Element:
    """The one part of a plot that has this name."""
    (found,) = [element for element in ElementTree.fromstring(svg).iter() if element.get("data-part") == name]
    return found


def points(svg: str, name: str) -> np.ndarray:
    """`(n, 2)`: the points of a part's line, in the image's units (down)."""
    numbers = re.findall(r"-?[\d.]+", part(svg, name).find("path").get("d"))
    return np.array(numbers, float).reshape(-1, 2)


def test_a_roc_curve_goes_through_its_points():
    curve = points(plots.roc(FPR, TPR, 5, "nearest mask"), "curve")
    left, right, bottom, top = curve[0, 0], curve[-1, 0], curve[0, 1], curve[-1, 1]
    x, y = (curve[:, 0] - left) / (right - left), (bottom - curve[:, 1]) / (bottom - top)
    expected = [(0, 0), (0, 0), (0, 0.4), (0.5, 0.4), (0.5, 0.6), (1, 0.6), (1, 1)]
    np.testing.assert_allclose(np.column_stack([x, y]), expected, atol=1e-3)


def test_the_interval_of_a_roc_curve_is_that_of_clopper_and_pearson():
    svg = plots.roc(FPR, TPR, 5, "nearest mask")
    curve, band = points(svg, "curve"), points(svg, "interval")
    bottom, top = curve[0, 1], curve[-1, 1]
    at_half = band[np.isclose(band[:, 0], curve[3, 0], atol=0.02), 1]
    # Two of five, and then three of five: 0.0527 to 0.8534, and 0.1466 to 0.9473 (tables of the binomial).
    shares = np.unique(np.round((bottom - at_half) / (bottom - top), 2))
    np.testing.assert_allclose(shares, [0.05, 0.15, 0.85, 0.95], atol=0.011)


def test_a_score_curve_begins_at_the_least_score_with_all_pairs():
    synthetic = np.array([0.3, 0.1, 0.2, 0.4])
    svg = plots.scores(synthetic, np.array([0.1, 0.2]), np.array([0.8, 0.9]), 0.5, "mask whole")
    curve, limit = points(svg, "synthetic"), points(svg, "threshold")
    impostors, augmented = points(svg, "impostors"), points(svg, "augmented")
    unit = (augmented[:, 0].max() - impostors[:, 0].min()) / 0.8
    np.testing.assert_allclose((curve[-1, 0] - curve[0, 0]) / unit, 0.3, atol=1e-3)
    np.testing.assert_allclose((limit[0, 0] - curve[0, 0]) / unit, 0.4, atol=1e-3)
    levels = np.unique(curve[:, 1])
    assert len(levels) == 4
    np.testing.assert_allclose(np.diff(levels), np.diff(levels)[0], atol=0.02)


def test_a_curve_of_many_scores_keeps_its_ends():
    many = np.linspace(0, 1, 10_001)
    x, share = plots._survival(many)
    assert (x[0], x[-1], share[0], len(x)) == (0, 1, 1, 300)
    np.testing.assert_allclose(share[-1], 1 / 10_001)


def test_a_distribution_shows_shares_of_each_kind():
    svg = plots.distributions(np.array([0.0, 0, 0, 1, np.nan]), np.array([0.0, 1]), "loops")
    real, synthetic = points(svg, "real"), points(svg, "synthetic")
    ground = real[:, 1].max()
    heights = ground - real[:, 1].min(), ground - synthetic[:, 1].min()
    np.testing.assert_allclose(heights[0] / heights[1], 0.75 / 0.5, atol=1e-3)


def test_a_metric_that_no_image_has_gives_an_empty_plot():
    svg = plots.distributions(np.full(3, np.nan), np.full(2, np.nan), "loops")
    assert part(svg, "real").tag == part(svg, "synthetic").tag == "g"


def test_intervals_have_a_mark_a_line_and_the_single_values():
    rows = {"real": (0.8, 0.7, 0.9), "synthetic": (0.6, np.nan, np.nan)}
    svg = plots.intervals(rows, "Dice", 0.78, {"real": np.array([0.75, 0.85, 0.9])})
    low, high = points(svg, "interval real")[:, 0]
    limit = points(svg, "limit")[0, 0]
    np.testing.assert_allclose((limit - low) / (high - low), 0.4, atol=1e-3)
    assert len(list(part(svg, "points real").iter("use"))) == 3
    assert len(list(part(svg, "points synthetic").iter("use"))) == 0
    assert 'data-part="interval synthetic"' not in svg


def test_bars_are_as_long_as_their_metrics():
    svg = plots.neighbourhoods({"geometry": (0.8, 0.4, 1.2, 0.6)}, {"geometry": 0.9})
    lengths = {
        name: np.ptp(points(svg, f"{name} geometry")[:, 0]) for name in ("precision", "recall", "density", "coverage")
    }
    np.testing.assert_allclose(
        [lengths[name] / lengths["precision"] for name in lengths], [1, 0.5, 1.5, 0.75], atol=1e-3
    )
    assert all(f">{text}<" in svg for text in ("0.80", "0.40", "1.20", "0.60", "expected coverage"))


def test_histograms_have_a_line_for_each_channel_and_kind():
    flat = np.full((3, 64), 1 / 64)
    svg = plots.histograms(flat, flat)
    for channel in ("red", "green", "blue"):
        for kind in ("real", "synthetic"):
            line = points(svg, f"{channel} {kind}")
            np.testing.assert_allclose(line[:, 1], line[0, 1], atol=0.02)


@pytest.mark.parametrize("plot", [lambda: plots.roc(FPR, TPR, 5, "a"), lambda: plots.intervals({"a": (1, 0, 2)}, "b")])
def test_the_same_arrays_give_the_same_bytes(plot):
    assert plot() == plot()


def test_two_plots_share_no_name():
    both = [plots.roc(FPR, TPR, members, "nearest mask") for members in (5, 6)]
    first, second = (set(re.findall(r' id="([^"]+)"', svg)) for svg in both)
    assert first and second and not first & second


def test_a_plot_refers_to_nothing_outside_and_says_what_it_is():
    svg = plots.roc(FPR, TPR, 5, "a <b> & c")
    assert "http" not in svg and "<style" not in svg
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == root.find("title").text == "ROC curve: a <b> & c"
    assert root.get("role") == "img"
