"""Metrics of vessel trees, by masks whose pieces and widths are counted by hand."""

import numpy as np
import pytest

from synthmed_tf.training import tree_metrics


def _mask(*rows):
    """16 x 16 pixels, with vessels four pixels high in these rows."""
    mask = np.zeros((16, 16, 1), bool)
    for row in rows:
        mask[row : row + 4] = True
    return mask


def test_pieces_calibre_and_share_of_masks_with_those_of_real_ones():
    found = tree_metrics.of_masks(np.stack([_mask(0), _mask(0, 8), _mask(0, 8)]), np.stack([_mask(4)]))
    assert found["geometry/pieces"] == pytest.approx(5 / 3)  # 1, 2 and 2
    assert found["geometry/pieces_of_real"] == 1
    assert found["geometry/vessel_share"] == pytest.approx(5 / 12)  # 1, 2 and 2 quarters
    assert found["geometry/vessel_share_of_real"] == 0.25
    assert found["geometry/calibre_of_real"] == pytest.approx(2 * 64 / _outline(_mask(4)))


def _outline(mask):
    """Pixels of the mask with a neighbor outside it; what lies beyond the image is not outside."""
    padded = np.pad(mask[..., 0], 1, mode="edge")
    inner = np.min([np.roll(np.roll(padded, y, 0), x, 1) for y in (-1, 0, 1) for x in (-1, 0, 1)], axis=0)
    return int((mask[..., 0] & ~inner[1:-1, 1:-1].astype(bool)).sum())


def test_maps_are_cut_at_half_a_ridge():
    maps = np.zeros((1, 16, 16, 2), np.float32)
    maps[0, 2, :, 0], maps[0, 3, :, 0], maps[0, 9, :, 0] = 1.0, 0.4, 0.5
    maps[0, 2, :, 1], maps[0, 9, :, 1] = 0.5, 0.25
    found = tree_metrics.of_maps(maps, np.zeros_like(maps))
    assert found["geometry/pieces"] == 2 and found["geometry/vessel_share"] == 2 / 16
    assert found["geometry/calibre"] == pytest.approx(0.375)
    assert found["geometry/calibre_of_real"] == 0 and found["geometry/pieces_of_real"] == 0
