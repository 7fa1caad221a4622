"""The stream of vessel maps: crops by value, warps that agree between whole and crop, exact places in the stream."""

import numpy as np
import pytest
from scipy import ndimage

from synthmed_tf.data.augmentation import Ranges, measure_tones
from synthmed_tf.data.map_pipeline import Relighting, map_batches

WARP = Ranges(flip_horizontal=True, rotation=20.0, zoom_in=0.1)


@pytest.fixture(scope="module")
def maps():
    """Five smooth random maps of 32 pixels."""
    noise = np.random.default_rng(0).normal(size=(5, 32, 32))
    stack = np.stack([128 + 400 * ndimage.gaussian_filter(each, 2.0) for each in noise])
    stack = stack.clip(0, 255)[..., None].astype(np.uint8)
    return np.concatenate([stack, 255 - stack, stack // 2], axis=-1)


def _take(count, *arguments, **options):
    return [{k: v.numpy() for k, v in batch.items()} for batch in map_batches(*arguments, **options).take(count)]


def test_without_augmentation_whole_maps_come_as_they_are(maps):
    (batch,) = _take(1, maps, 32, 32, 5, 3, Ranges())
    assert batch["index"].tolist() == [0, 1, 2, 3, 4]
    order = [np.flatnonzero([np.allclose(row * 255, each, atol=1e-3) for each in maps]) for row in batch["maps"]]
    assert sorted(int(found[0]) for found in order) == [0, 1, 2, 3, 4]


def test_half_the_pixels_are_averages_of_four(maps):
    (whole,), (half,) = (_take(1, maps, size, size, 5, 3, Ranges()) for size in (32, 16))
    cells = whole["maps"].reshape(5, 16, 2, 16, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(half["maps"], cells, atol=1e-5)


def test_crops_are_squares_of_the_whole_at_multiples_of_the_step(maps):
    batches = _take(8, maps, 32, 12, 5, 3, Ranges(), step=4)
    (whole,) = _take(1, maps, 32, 32, 5, 3, Ranges())
    places = set()
    for batch in batches:
        for crop in batch["maps"]:
            found = [
                (y, x)
                for each in whole["maps"]
                for y, x in np.ndindex(21, 21)
                if np.allclose(crop, each[y : y + 12, x : x + 12], atol=1e-5)
            ]
            assert len(found) == 1
            places |= set(found)
    assert len(places) > 15 and all(y % 4 == 0 and x % 4 == 0 for y, x in places)
    assert {0, 20} <= {y for y, _ in places}


def test_crops_may_reach_beyond_the_border_where_everything_is_0(maps):
    crops = np.concatenate([batch["maps"] for batch in _take(8, maps, 32, 12, 5, 3, Ranges(), step=4, margin=8)])
    outside = [crop.sum(axis=(1, 2)) == 0 for crop in crops]
    assert {int(rows.sum()) for rows in outside} == {0, 4, 8}


@pytest.mark.parametrize("elastic", [0.0, 0.05])
def test_a_warped_crop_is_a_crop_of_the_warped_whole(maps, elastic):
    (whole,) = _take(1, maps, 32, 32, 5, 3, WARP, elastic)
    (plain,) = _take(1, maps, 32, 32, 5, 3, Ranges(), 0.0)
    assert np.abs(whole["maps"] - plain["maps"]).mean() > 0.05
    (crops,) = _take(1, maps, 32, 24, 5, 3, WARP, elastic, step=8)
    for crop, each in zip(crops["maps"], whole["maps"], strict=True):
        squares = [each[y : y + 24, x : x + 24] for y, x in np.ndindex(9, 9) if y % 8 == 0 and x % 8 == 0]
        assert min(np.abs(crop - square).max() for square in squares) < 1e-3


@pytest.fixture(scope="module")
def lit():
    """Four smooth images in a field of view that leaves out two columns, with a coverage."""
    rng = np.random.default_rng(1)
    pairs = np.zeros((4, 32, 32, 5), np.uint8)
    pairs[..., :3] = 60 + 30 * rng.random((4, 8, 8, 3)).repeat(4, 1).repeat(4, 2) + 20 * rng.random((4, 1, 1, 3))
    pairs[..., 3], pairs[..., 4] = 255 * (rng.random((4, 32, 32)) < 0.2), 255
    pairs[:, :, :2] = 0
    return pairs


def test_new_tones_replace_those_of_an_image_and_nothing_else(lit):
    tones = measure_tones(lit[..., :3], lit[..., 4:])
    (plain,), (relit,) = (_take(1, lit, 32, 32, 4, 3, Ranges(), light=light) for light in (None, Relighting(tones)))
    np.testing.assert_array_equal(relit["maps"][..., 3:], plain["maps"][..., 3:])
    assert relit["maps"][:, :, :2].max() == 0
    for before, after in zip(plain["maps"], relit["maps"], strict=True):
        for channel in range(3):
            # A gain and an exponent: a straight line in logarithms.
            x, y = (np.log(image[:, 2:, channel] + 0.05).ravel() for image in (before, after))
            slope, start = np.polyfit(x, y, 1)
            np.testing.assert_allclose(y, slope * x + start, atol=1e-4)
            assert 0.74 < slope < 1.34 and abs(slope - 1) > 1e-4


def test_illumination_changes_smoothly_and_alike_in_whole_and_crop(lit):
    light = Relighting(illumination=0.1)
    (plain,), (relit,) = (_take(1, lit, 32, 32, 4, 3, Ranges(), light=light) for light in (None, light))
    change = np.log(relit["maps"][:, :, 2:, :3] / plain["maps"][:, :, 2:, :3])
    np.testing.assert_allclose(change, np.repeat(change[..., :1], 3, axis=-1), atol=1e-5)
    assert 0.02 < change.std() < 0.2
    assert np.abs(np.diff(change, axis=1)).max() < 0.1
    (crops,) = _take(1, lit, 32, 24, 4, 3, Ranges(), step=8, light=light)
    for crop, each in zip(crops["maps"], relit["maps"], strict=True):
        squares = [each[y : y + 24, x : x + 24] for y, x in np.ndindex(9, 9) if y % 8 == 0 and x % 8 == 0]
        assert min(np.abs(crop - square).max() for square in squares) < 1e-3


def test_the_stream_is_a_function_of_its_place(maps):
    options = (maps, 32, 16, 4, 3, WARP, 0.05)
    batches = _take(4, *options)
    (later,) = _take(1, *options, start=12)
    for name in ("maps", "index"):
        np.testing.assert_array_equal(later[name], batches[3][name])
    halves = _take(4, *options, replicas=2)
    np.testing.assert_allclose(
        np.concatenate([half["maps"] for half in halves]), np.concatenate([b["maps"] for b in batches[:2]]), atol=1e-5
    )
    (second,) = _take(1, *options, replicas=2, worker=1, workers=2)
    np.testing.assert_array_equal(second["index"], batches[0]["index"][2:])
