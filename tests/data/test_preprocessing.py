"""Reading pairs: fields of view, crops and thin vessels against values worked out by hand."""

import numpy as np
import pytest
from scipy import ndimage

from synthmed_tf.data.preprocessing import (
    VESSEL_THRESHOLD,
    derive_fov,
    load_sample,
    load_samples,
    square_around,
    uncrop,
    vessel_coverage_u8,
)
from synthmed_tf.data.sample import Crop
from synthmed_tf.data.sources import Pair
from synthmed_tf.errors import SynthMedError
from synthmed_tf.images import write_png

EIGHT = np.ones((3, 3), bool)


def disc(height, width, row, column, radius):
    rows, columns = np.mgrid[:height, :width]
    return np.hypot(rows - row, columns - column) <= radius


def one_pixel_line(side, angle, offset):
    """A line through the whole image, one pixel a row or column, `offset` pixels from the centre."""
    along = np.arange(side) - (side - 1) / 2
    cosine, sine = np.cos(angle), np.sin(angle)
    line = np.zeros((side, side), bool)
    flat = abs(cosine) >= abs(sine)
    across = (along * sine + offset) / cosine if flat else (along * cosine - offset) / sine
    across = np.round(across + (side - 1) / 2).astype(int)
    inside = (across >= 0) & (across < side)
    line[(across[inside], np.arange(side)[inside]) if flat else (np.arange(side)[inside], across[inside])] = True
    return line


def write_pair(folder, photograph, mask=None, fov=None, name="a"):
    paths = []
    for kind, array in (("photograph", photograph), ("mask", mask), ("fov", fov)):
        paths.append(None if array is None else folder / f"{name}_{kind}.png")
        if array is not None:
            write_png(paths[-1], array)
    return Pair(name, "p", *paths)


@pytest.mark.parametrize("scale", [1.1, 1.5, 2, 2.7, 3, 4, 5.3, 6.5, 8])
def test_one_pixel_lines_stay_whole(scale):
    generator = np.random.default_rng(int(scale * 10))
    size = 32
    side = int(size * scale)
    widths = []
    for angle in np.linspace(0, np.pi, 32, endpoint=False):
        for offset in generator.uniform(-2 * scale, 2 * scale, 6):
            line = one_pixel_line(side, angle, offset)
            vessel = vessel_coverage_u8(line, size) >= VESSEL_THRESHOLD
            assert ndimage.label(vessel, EIGHT)[1] == 1, (angle, offset)
            ends = np.ptp(np.argwhere(line), axis=0) * size / side
            assert (np.abs(np.ptp(np.argwhere(vessel), axis=0) - ends) <= 2.5).all(), (angle, offset)
            widths.append(vessel.sum() / np.hypot(*ends))
    assert 0.85 < np.mean(widths) < 1.15


def test_a_diagonal_two_fine_pixels_wide_stays_whole():
    line = np.eye(96, k=4, dtype=bool) | np.eye(96, k=5, dtype=bool)
    for mask in (line, line[::-1], line[:, ::-1]):
        vessel = vessel_coverage_u8(mask, 32) >= VESSEL_THRESHOLD
        assert ndimage.label(vessel, EIGHT)[1] == 1 and vessel.any(axis=0).sum() >= 29


def test_crossing_curves_stay_whole():
    side = 300
    position = np.linspace(0, 1, 4000)
    for seed in range(8):
        generator = np.random.default_rng(seed)
        curves = np.zeros((side, side), bool)
        for _ in range(4):
            waves = generator.normal(size=(2, 3)) * 20
            shape = np.stack([np.sin(np.pi * (k + 1) * position) for k in range(3)])
            rows, columns = 150 + waves @ shape
            curves[np.clip(rows, 0, 299).astype(int), np.clip(columns, 0, 299).astype(int)] = True
        assert ndimage.label(curves, EIGHT)[1] == 1
        for size in (40, 64, 128):
            assert ndimage.label(vessel_coverage_u8(curves, size) >= VESSEL_THRESHOLD, EIGHT)[1] == 1


@pytest.mark.parametrize("width", [3, 5, 8])
@pytest.mark.parametrize("scale", [2.1, 3.5, 6])
def test_wide_vessels_keep_their_area(width, scale):
    generator = np.random.default_rng(0)
    size = 64
    side = int(size * scale)
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    areas = []
    for angle in np.linspace(0, np.pi, 24, endpoint=False):
        across = columns * np.sin(angle) - rows * np.cos(angle) - generator.uniform(-1, 1) * scale
        band = np.abs(across) <= width * scale / 2
        coverage_u8 = vessel_coverage_u8(band, size)
        assert coverage_u8.mean() / 255 == pytest.approx(band.mean(), rel=0.005)
        areas.append((coverage_u8 >= VESSEL_THRESHOLD).mean() / band.mean())
    assert np.mean(areas) == pytest.approx(1, abs=0.03)


def test_area_average_of_a_ratio_that_is_no_whole_number():
    mask = np.zeros((7, 7), bool)
    mask[:, 2:] = True
    np.testing.assert_array_equal(vessel_coverage_u8(mask, 3), np.tile([36, 255, 255], (3, 1)))


def test_coverage_is_the_area_average_where_vessels_are_wide():
    mask = np.zeros((64, 64), bool)
    mask[10:31, :] = True
    coverage_u8 = vessel_coverage_u8(mask, 16)
    np.testing.assert_array_equal(coverage_u8[:, 8], [0, 0, 128, 255, 255, 255, 255, 191] + [0] * 8)


def test_coverage_at_its_own_size_is_the_mask():
    mask = np.random.default_rng(0).random((20, 20)) > 0.7
    np.testing.assert_array_equal(vessel_coverage_u8(mask, 20), mask * 255)


def test_coverage_enlarged_keeps_the_shape():
    mask = np.zeros((8, 8), bool)
    mask[2:6, 3:5] = True
    enlarged = vessel_coverage_u8(mask, 32) >= VESSEL_THRESHOLD
    assert np.mean(enlarged != np.kron(mask, np.ones((4, 4), bool))) < 0.02


@pytest.mark.parametrize("brightness", [255, 60, 24])
@pytest.mark.parametrize("border", [0, 3])
def test_derived_field_is_the_disc(brightness, border):
    expected = disc(200, 260, 100, 120, 80)
    generator = np.random.default_rng(0)
    photograph = np.where(expected[..., None], np.array([1.0, 0.5, 0.2]) * brightness, 0)
    photograph = photograph + generator.uniform(0, border, photograph.shape)
    photograph[90:110, 100:110] = 0
    photograph[5:9, 5:9] = 255
    derived = derive_fov(np.clip(photograph, 0, 255).astype(np.uint8))
    assert derived.dtype == bool and (derived & expected).sum() / (derived | expected).sum() > 0.98
    assert derived[100, 105] and not derived[6, 6]


def test_derived_field_of_a_large_photograph_keeps_its_place():
    expected = disc(1300, 1500, 640, 760, 600)
    derived = derive_fov((expected[..., None] * np.array([90, 40, 10])).astype(np.uint8))
    assert (derived & expected).sum() / (derived | expected).sum() > 0.98
    assert np.abs(np.array(ndimage.center_of_mass(derived)) - (640, 760)).max() < 2


def test_a_photograph_without_border_is_all_field():
    rows, columns = np.mgrid[:60, :90]
    photograph = np.stack([100 + rows + columns // 2, 60 + rows // 2, 30 + columns // 9], axis=-1).astype(np.uint8)
    photograph[30:34] = (70, 20, 10)
    assert derive_fov(photograph).all()
    assert derive_fov(np.full((10, 10, 3), 255, np.uint8)).all()


@pytest.mark.parametrize("spot", [0, 8])
def test_no_field_is_an_error_that_names_the_photograph(spot):
    photograph = np.zeros((100, 100, 3), np.uint8)
    photograph[:spot, :spot] = 200
    with pytest.raises(SynthMedError, match="eye.jpg shows no field of view.*give a field-of-view mask or remove"):
        derive_fov(photograph, "eye.jpg")


@pytest.mark.parametrize(
    ("rows", "columns", "crop"),
    [
        ((2, 8), (3, 9), Crop(2, 3, 6, 10, 20)),
        ((0, 10), (0, 20), Crop(-5, 0, 20, 10, 20)),
        ((1, 4), (5, 13), Crop(-1, 5, 8, 10, 20)),
        ((0, 10), (17, 20), Crop(0, 14, 10, 10, 20)),
    ],
)
def test_square_around_the_field(rows, columns, crop):
    fov = np.zeros((10, 20), bool)
    fov[slice(*rows), slice(*columns)] = True
    assert square_around(fov) == crop


def test_sample_by_value(tmp_path):
    photograph = np.zeros((8, 12, 3), np.uint8)
    photograph[2:6, 4:8] = np.arange(16).reshape(4, 4, 1) * 4 + [0, 50, 100]
    fov, mask = np.zeros((8, 12), bool), np.zeros((8, 12), bool)
    fov[2:6, 4:8] = True
    mask[3, :] = True
    sample = load_sample(write_pair(tmp_path, photograph, mask, fov), 2)
    assert (sample.name, sample.patient, sample.crop) == ("a", "p", Crop(2, 4, 4, 8, 12))
    np.testing.assert_array_equal(sample.image[..., 0], [[10, 18], [42, 50]])
    np.testing.assert_array_equal(sample.image[..., 2], [[110, 118], [142, 150]])
    np.testing.assert_array_equal(sample.fov[..., 0], np.full((2, 2), 255))
    np.testing.assert_array_equal(sample.mask[..., 0] >= VESSEL_THRESHOLD, [[True, True], [False, False]])
    assert sample.image.dtype == sample.mask.dtype == sample.fov.dtype == np.uint8
    assert sample.mask.shape == sample.fov.shape == (2, 2, 1)


def test_square_beyond_the_border_is_filled_with_black(tmp_path):
    photograph = np.full((4, 8, 3), 100, np.uint8)
    sample = load_sample(write_pair(tmp_path, photograph), 8)
    assert sample.mask is None and sample.crop == Crop(-2, 0, 8, 4, 8)
    expected = np.zeros((8, 8))
    expected[2:6] = 100
    np.testing.assert_array_equal(sample.image[..., 1], expected)
    np.testing.assert_array_equal(sample.fov[..., 0], expected / 100 * 255)


def test_mask_is_kept_within_the_field(tmp_path):
    fov = disc(90, 90, 45, 45, 40)
    photograph = (fov[..., None] * np.array([200, 100, 50])).astype(np.uint8)
    mask = np.zeros((90, 90), bool)
    mask[44:47] = True
    sample = load_sample(write_pair(tmp_path, photograph, mask, fov), 30)
    assert not sample.mask[sample.fov == 0].any()
    assert (sample.mask[15, 1:-1] >= VESSEL_THRESHOLD).all()


def test_enlarging_is_smooth_and_centred(tmp_path):
    photograph = np.tile(np.arange(40, 240, 20, dtype=np.uint8)[:, None, None], (1, 10, 3))
    sample = load_sample(write_pair(tmp_path, photograph), 40)
    profile = sample.image[:, 20, 0].astype(int)
    np.testing.assert_allclose(profile[8:32], 40 + 20 * ((np.arange(8, 32) + 0.5) / 4 - 0.5), atol=1)


def test_a_size_below_one_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Received: size=0"):
        load_sample(write_pair(tmp_path, np.full((4, 4, 3), 9, np.uint8)), 0)


def test_uncrop_places_bool_and_float():
    crop = Crop(-1, 2, 4, 5, 7)
    mask = np.array([[True, False], [False, True]])
    expected = np.zeros((5, 7), bool)
    expected[0, 2:4] = expected[1:3, 4:6] = True
    whole = uncrop(mask, crop)
    assert whole.dtype == bool
    np.testing.assert_array_equal(whole, expected)
    whole = uncrop(np.array([[0.0, 1.0], [0.0, 1.0]], np.float16), crop)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(whole[:3, 2:6], np.tile([0, 0.25, 0.75, 1], (3, 1)))
    assert whole[3:].sum() == 0 and whole[:, :2].sum() == 0 and whole[:, 6].sum() == 0


def test_uncrop_undoes_the_crop(tmp_path):
    fov = disc(70, 100, 30, 60, 28)
    sample = load_sample(write_pair(tmp_path, (fov[..., None] * np.full(3, 90)).astype(np.uint8), None, fov), 57)
    assert sample.crop.side == 57
    np.testing.assert_array_equal(uncrop(sample.fov[..., 0] > 0, sample.crop), fov)


@pytest.mark.parametrize("array", [np.zeros((4, 5)), np.zeros((4, 4, 1)), np.zeros((4, 4), np.uint8)])
def test_uncrop_refuses_other_arrays(array):
    with pytest.raises(ValueError, match="Received: dtype"):
        uncrop(array, Crop(0, 0, 4, 4, 4))


def test_samples_come_in_order_and_progress_counts(tmp_path):
    pairs = [
        write_pair(tmp_path, np.full((side, side, 3), 50 + side, np.uint8), name=f"n{i}")
        for i, side in enumerate((90, 5, 60, 7, 30, 9))
    ]
    calls = []
    samples = load_samples(pairs, 4, workers=3, progress=lambda *counts: calls.append(counts))
    assert [sample.name for sample in samples] == [f"n{i}" for i in range(6)]
    assert [int(sample.image[0, 0, 0]) for sample in samples] == [140, 55, 110, 57, 80, 59]
    assert calls == [(i, 6) for i in range(1, 7)]
    assert load_samples([], 4) == []


def test_the_first_broken_pair_in_order_is_named(tmp_path):
    pairs = [write_pair(tmp_path, np.full((8, 8, 3), 50, np.uint8), name=name) for name in "abcd"]
    for name in "bd":
        (tmp_path / f"{name}_photograph.png").write_bytes(b"")
    with pytest.raises(SynthMedError, match="b_photograph.png is empty"):
        load_samples(pairs, 4, workers=4)
