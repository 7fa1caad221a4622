"""Ridge and calibre by values worked out by hand, on straight vessels."""

import numpy as np
import pytest

from synthmed_tf.data import vessel_maps
from synthmed_tf.data.vessel_maps import CALIBRE, RIDGE


def _bar(size, width, row):
    mask = np.zeros((size, size), bool)
    mask[row - width // 2 : row + width // 2 + 1] = True
    return mask


@pytest.mark.parametrize("width", [1, 3, 7])
def test_the_ridge_is_as_wide_for_thin_vessels_as_for_thick_ones(width):
    ridge = vessel_maps.vessel_maps(_bar(128, width, 64), 32)[..., 0]
    # Four pixels of the mask are one of the coarse maps, so that the ridge ends 12 pixels away.
    expected = np.clip(1 - np.abs(np.arange(128) - 64) / 12, 0, 1)
    np.testing.assert_allclose(ridge[:, 64], expected, atol=1e-6)


@pytest.mark.parametrize(("width", "radius"), [(1, 1), (3, 2), (7, 4), (31, 16)])
def test_the_calibre_is_the_radius_of_the_nearest_center_line(width, radius):
    maps = vessel_maps.vessel_maps(_bar(128, width, 64), 32)
    ridge, calibre = maps[60:69, 64, 0], maps[60:69, 64, 1]
    np.testing.assert_allclose(calibre / ridge, min(1, radius / 8), rtol=1e-6)


def test_specks_and_empty_masks_have_no_ridge():
    mask = _bar(512, 3, 200)
    mask[400:404, 400:406] = True  # 24 of 512 x 512 pixels
    assert vessel_maps.vessel_maps(mask, 128)[380:, :, :].max() == 0
    mask[404, 400] = True
    assert vessel_maps.vessel_maps(mask, 128)[380:, :, 0].max() == 1
    assert not vessel_maps.vessel_maps(np.zeros((64, 64), bool), 32).any()


def test_masks_of_other_sizes_or_dtypes_are_refused():
    with pytest.raises(ValueError, match=r"side 32 divides. Received: bool \(48, 48\)"):
        vessel_maps.vessel_maps(np.zeros((48, 48), bool), 32)
    with pytest.raises(ValueError, match="Received: uint8"):
        vessel_maps.vessel_maps(np.zeros((64, 64), np.uint8), 32)


def test_a_stack_holds_maps_and_is_averaged_over_cells():
    masks = np.stack([_bar(64, 3, 20), _bar(64, 5, 41)])
    seen = []
    coverage_u8 = np.where(masks, 130, 127).astype(np.uint8)[..., None]
    stack = vessel_maps.stack_maps(coverage_u8, 32, lambda *at: seen.append(at))
    assert stack.shape == (2, 64, 64, 2) and stack.dtype == np.uint8 and seen == [(1, 2), (2, 2)]
    maps = vessel_maps.vessel_maps(masks[1], 32)
    np.testing.assert_array_equal(stack[1], np.round(maps * 255))
    small = vessel_maps.reduce_maps(stack, 2)
    column = stack[1, :, 30].astype(float)
    np.testing.assert_allclose(small[1, :, 15], (column[::2] + column[1::2]) / 2, atol=0.5)
    assert small[..., RIDGE].max() > 200 > small[..., CALIBRE].max() > 0


def test_the_distance_to_the_outline_is_one_half_on_it():
    distance = vessel_maps.outline_distance(_bar(64, 5, 32))[:, 30, 0]
    expected = np.clip(0.5 + (2.5 - np.abs(np.arange(64) - 32.0)) / 6, 0, 1)
    np.testing.assert_allclose(distance, expected, atol=1e-6)
    assert not vessel_maps.outline_distance(np.zeros((64, 64), bool)).any()


def test_a_line_of_one_pixel_is_a_little_wider_than_it_is():
    thin = vessel_maps.outline_distance(_bar(64, 1, 32))[30:35, 30, 0]
    # 0.8 pixels inside in place of half a pixel, and next to it 0.2 pixels outside.
    np.testing.assert_allclose(thin, 0.5 + np.array([-1.2, -0.2, 0.8, -0.2, -1.2]) / 6, atol=1e-6)
    other = vessel_maps.outline_distance(_bar(64, 1, 32), "any")[30:35, 30, 0]
    np.testing.assert_allclose(other, 0.5 + np.array([-1.5, -0.5, 0.5, -0.5, -1.5]) / 6, atol=1e-6)


def test_distances_of_many_masks_are_rounded_to_8_bits():
    masks = np.stack([_bar(64, 3, 20), _bar(64, 7, 41)])
    stack = vessel_maps.stack_distances(np.where(masks, 130, 127).astype(np.uint8)[..., None])
    assert stack.shape == (2, 64, 64, 1) and stack.dtype == np.uint8
    np.testing.assert_array_equal(stack[..., 0] >= 128, masks)
