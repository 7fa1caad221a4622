"""The features of images whose colours, slopes and waves are known."""

import numpy as np
import pytest
from scipy import ndimage

from synthmed_tf.evaluation.features import IMAGE as FEATURES
from synthmed_tf.evaluation.features import appearance

SIDE = 256
ALL = np.ones((SIDE, SIDE), bool)
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]
DISC = (ROWS - 120) ** 2 + (COLUMNS - 130) ** 2 < 100**2


def _grey(values):
    return np.repeat(np.clip(np.round(values), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def _waves(amplitudes, frequencies=(2 * np.pi / 32, 2 * np.pi / 8)):
    return sum(size * np.sin(w * COLUMNS) for size, w in zip(amplitudes, frequencies, strict=True))


@pytest.fixture
def noise():
    return np.random.default_rng(0).normal(size=(SIDE, SIDE))


def _some(features, start):
    return [value for name, value in features.items() if name.startswith(start)]


def test_the_features_are_named_in_order(noise):
    assert tuple(appearance(_grey(128 + noise), DISC)) == FEATURES
    assert len(set(FEATURES)) == len(FEATURES) == 28


def test_the_colour_of_one_colour():
    found = appearance(np.tile(np.array([255, 0, 0], np.uint8), (SIDE, SIDE, 1)), DISC)
    # the CIELAB of the red of sRGB
    assert [*found.values()][:3] == pytest.approx([53.24, 80.09, 67.20], abs=0.02)
    assert [*found.values()][3:9] == pytest.approx([0] * 6, abs=1e-9)


def test_the_colour_of_two_colours():
    image = np.where((COLUMNS < 128)[..., None], [255, 0, 0], [0, 255, 0]).astype(np.uint8)
    red, green = np.array([53.24, 80.09, 67.20]), np.array([87.73, -86.18, 83.18])
    found = [*appearance(image, ALL).values()][:9]
    assert found == pytest.approx([*(red + green) / 2, *np.abs(red - green) / 2, -1, 1, -1], abs=0.02)


def test_a_grey_image_has_no_correlations_of_colour():
    assert _some(appearance(_grey(COLUMNS), ALL), "lightness_")[2:] == [0, 0]


def test_the_illumination_of_a_slope():
    # 0.5 grey levels a column, -0.25 a row; the radius of the disc is 100
    found = appearance(_grey(128 + 0.5 * (COLUMNS - 130) - 0.25 * (ROWS - 120)), DISC)
    assert _some(found, "illumination") == pytest.approx([50, -25, 0], abs=0.1)


def test_the_illumination_of_a_dark_rim():
    found = appearance(_grey(200 - 80 * ((ROWS - 120) ** 2 + (COLUMNS - 130) ** 2) / 100**2), DISC)
    assert _some(found, "illumination") == pytest.approx([0, 0, -80], abs=0.1)


def test_the_texture_of_a_wave():
    frequency = 2 * np.pi / 16
    inside = np.exp(-(frequency**2) * np.array([0, 1, 2, 4]) ** 2 / 2)
    wave = np.tile(128 + 100 * np.sin(frequency * np.arange(2048)), (16, 1))  # so long that its ends hardly count
    found = _some(appearance(_grey(wave), np.ones(wave.shape, bool)), "texture")[:3]
    assert found == pytest.approx(100 / np.sqrt(2) * (inside[:-1] - inside[1:]), rel=0.01)


def test_the_texture_of_noise(noise):
    point = np.zeros((65, 65))
    point[32, 32] = 1
    levels = [point, *(ndimage.gaussian_filter(point, sigma) for sigma in (1, 2, 4))]
    expected = [10 * np.linalg.norm(fine - coarse) for fine, coarse in zip(levels[:-1], levels[1:], strict=True)]
    found = appearance(_grey(128 + 10 * noise), ALL)
    assert _some(found, "texture")[:3] == pytest.approx(expected, rel=0.05)


def test_noise_adds_its_variance_to_the_texture(noise):
    wave = _waves((20, 20))
    plain, noisy, alone = (
        _some(appearance(_grey(128 + x), DISC), "texture") for x in (wave, wave + 8 * noise, 8 * noise)
    )
    assert np.square(noisy[:3]) == pytest.approx(np.square(plain[:3]) + np.square(alone[:3]), rel=0.03)


def test_a_gain_of_two_doubles_slopes_and_textures_alone(noise):
    values = np.round(40 + 10 * noise + COLUMNS / 16)
    one, two = appearance(_grey(values), DISC), appearance(_grey(2 * values), DISC)
    for start in ("illumination", "texture"):
        assert _some(two, start) == pytest.approx(2 * np.array(_some(one, start)), rel=1e-9)
    for start in ("pattern", "sharpness"):
        assert _some(two, start) == pytest.approx(_some(one, start), rel=1e-12)


def test_sharpness_by_frequency_before_and_after_a_blur():
    frequencies, sizes = np.array([2 * np.pi / 32, 2 * np.pi / 8]), np.array([50.0, 50.0])

    def expected(sizes):
        return np.linalg.norm(sizes * (2 - 2 * np.cos(frequencies))) / np.linalg.norm(sizes)

    def found(values):
        return appearance(_grey(values), ALL)["sharpness"]

    waves = 128 + _waves(sizes)
    assert found(waves) == pytest.approx(expected(sizes), rel=0.02)
    blurred = sizes * np.exp(-(frequencies**2) * 1.5**2 / 2)
    assert found(ndimage.gaussian_filter(waves, 1.5, mode="wrap")) == pytest.approx(expected(blurred), rel=0.02)


def test_the_sharpness_of_noise(noise):
    # the 5-point Laplacian has the squares 16 + 4
    assert appearance(_grey(128 + 20 * noise), DISC)["sharpness"] == pytest.approx(np.sqrt(20), rel=0.02)


def test_the_patterns_of_a_flat_and_of_a_sloping_field():
    # none of 8 neighbours is darker; of a slope, the 3 on the dark side are
    assert _some(appearance(_grey(np.full((SIDE, SIDE), 77)), DISC), "pattern") == [0] * 8 + [1, 0]
    assert _some(appearance(_grey(COLUMNS), DISC), "pattern") == [0] * 5 + [1] + [0] * 4


def test_the_patterns_of_bright_points():
    # a point has no neighbour as bright (0); each of its 8 neighbours sees it, and 7 that are as dark (8)
    points = np.where((ROWS % 4 == 2) & (COLUMNS % 4 == 2), 200, 50)
    shares = _some(appearance(_grey(points), ALL), "pattern")
    assert shares == pytest.approx([1 / 16] + [0] * 7 + [15 / 16, 0], abs=0.01)


def test_a_flat_field_has_neither_texture_nor_sharpness():
    found = appearance(_grey(np.full((SIDE, SIDE), 77)), DISC)
    assert [*_some(found, "texture"), found["sharpness"]] == pytest.approx([0] * 6, abs=1e-10)


def test_what_lies_outside_counts_for_nothing(noise):
    image = _grey(128 + 20 * noise + COLUMNS / 8)
    other = np.where(DISC[..., None], image, 255 - image // 3)
    assert appearance(other, DISC) == appearance(image, DISC)
    wider = [np.pad(array, [(9, 4), (0, 7), (0, 0)][: array.ndim], constant_values=0) for array in (image, DISC)]
    assert appearance(*wider) == appearance(image, DISC)


def test_other_arrays_are_refused():
    image = _grey(np.zeros((SIDE, SIDE)))
    with pytest.raises(ValueError, match=r"Received: uint8 \(256, 256\) and bool \(256, 256\)"):
        appearance(image[..., 0], ALL)
    with pytest.raises(ValueError, match="3 x 3 pixels or more. Received: 512 pixels"):
        appearance(image, ALL & (ROWS < 2))
