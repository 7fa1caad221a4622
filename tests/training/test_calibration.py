"""Thresholds by masks whose share and width are known."""

import dataclasses

import numpy as np
import pytest

from synthmed_tf.training import calibration


def _bars(width, peak, count=3, size=60):
    """Horizontal bars whose distance falls from the peak to 0.7 of it along each side."""
    rows = np.zeros((size, size), np.float32)
    for bar in range(count):
        center = 10 + 20 * bar
        for away in range(width):
            level = peak * (1 - 0.3 * away / width)
            rows[center - away : center + away + 1] = np.maximum(rows[center - away : center + away + 1], level)
    return np.round(rows * 255) / 255


def test_extent_by_hand():
    mask = np.zeros((1, 10, 10), bool)
    mask[0, 4:7] = True  # reaches both borders, beyond which it goes on
    found = calibration.extent(mask)
    assert found == calibration.Extent(share=0.3, width=3.0, pieces=1.0)
    assert calibration.extent(np.zeros((1, 4, 4), bool)) == calibration.Extent(0.0, 0.0, 0.0)
    # Two pieces of five pixels and a speck of four; then one that is joined at a corner.
    two = np.zeros((2, 12, 12), bool)
    two[0, 2, 1:6] = two[0, 6, 1:6] = two[0, 10, 1:5] = True
    two[1, 2, 1:6] = two[1, 3, 6:10] = True
    assert calibration.extent(two).pieces == 1.5


@pytest.mark.parametrize("width", [7, 9, 11])
def test_the_middle_threshold_gives_vessels_their_width(width):
    distance = _bars(6, 0.62)[None]
    target = calibration.extent(_bars(width // 2 + 1, 0.62)[None] > 0)
    assert target.width == width
    _, middle, high = calibration.choose_thresholds(distance[..., None], target)
    found = calibration.extent(distance >= middle)
    assert abs(found.width - width) <= 1 and middle <= high < 1


def test_the_high_threshold_drops_faint_pieces():
    strong, faint = _bars(3, 0.62, count=2), _bars(3, 0.56, count=3)
    distance = np.maximum(strong, faint)[None]
    target = calibration.extent(strong[None] > 0)
    _, middle, high = calibration.choose_thresholds(distance[..., None], target)
    assert middle < 143 / 255 < high  # the peak of the faint bar, rounded
    assert (middle * 255) % 1 == pytest.approx(0.5) and (high * 255) % 1 == pytest.approx(0.5)


def test_pieces_decide_between_thresholds_that_differ_little_in_extent():
    """Eight small faint pieces beside a bar: kept where the target has nine pieces, dropped where it has one."""
    distance = _bars(3, 0.62, count=1)
    for row in (40, 41):
        distance[row, 2:58] = np.where(np.arange(56) % 7 < 3, 0.56, 0.0)
    distance = np.round(distance * 255)[None] / 255
    whole = calibration.extent(distance > 0.54)
    assert whole.pieces == 9
    for pieces, kept in ((9.0, 9), (1.0, 1)):
        _, middle, high = calibration.choose_thresholds(distance[..., None], dataclasses.replace(whole, pieces=pieces))
        assert middle < 0.56
        assert calibration.extent(distance >= high).pieces == kept
