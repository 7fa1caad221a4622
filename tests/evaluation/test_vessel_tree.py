"""The geometry of vessels on shapes whose measures are known."""

import math
import sys
import warnings
from dataclasses import asdict

import numpy as np
import pytest
from scipy.integrate import quad

from synthmed_tf.errors import SynthMedError
from synthmed_tf.evaluation import vessel_tree

SIDE = 256


def _near(points, width, side=SIDE):
    """The pixels whose centres lie within half a width of a line through points `(n, 2)`, in pixels."""
    points, painted = np.asarray(points, float), np.zeros((side, side), bool)
    for start, end in zip(points[:-1], points[1:], strict=True):
        corner = np.maximum(0, np.floor(np.minimum(start, end) - width)).astype(int)
        rows, columns = np.minimum(side, np.ceil(np.maximum(start, end) + width)).astype(int) - corner
        centres = np.stack(np.mgrid[:rows, :columns], axis=-1) + corner - start
        along = end - start
        share = np.clip(centres @ along / (along @ along), 0, 1)
        near = np.linalg.norm(centres - share[..., None] * along, axis=-1) < width / 2
        painted[corner[0] : corner[0] + rows, corner[1] : corner[1] + columns] |= near
    return painted


def _polar(radius, degrees, centre=(SIDE / 2, SIDE / 2)):
    """Row and column; degrees run from the column axis upwards."""
    angle = np.radians(degrees)
    return np.stack([centre[0] - radius * np.sin(angle), centre[1] + radius * np.cos(angle)], axis=-1)


def _arc(radius, width, first, last):
    """Painted by its own equation, with flat ends."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    angles = np.degrees(np.arctan2(-rows, columns)) % 360
    return (np.abs(np.hypot(rows, columns) - radius) < width / 2) & (angles >= first) & (angles <= last)


def _fork(angle, width, turn=0.0, length=90, centre=(SIDE / 2, SIDE / 2)):
    """A Y: one branch away from two that part at an angle, all turned."""
    centre = np.array(centre)
    ends = [_polar(length, turn + degrees, centre) for degrees in (180, angle / 2, -angle / 2)]
    return np.any([_near([centre, end], width) for end in ends], axis=0)


def _tree(side, turn=0.0):
    """Trunk, two arches, twigs and a bridge, turned about the middle; painted for a field of view of one unit."""
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    arch = np.stack([np.linspace(-0.30, 0.32, 30), 0.25 * np.sin(np.linspace(0.3, 2.8, 30)) - 0.02], axis=-1)
    lines = [
        (arch, 0.016),
        (arch * (1, -1), 0.016),
        (np.array([[0.05, 0.22], [0.0, 0.33], [-0.1, 0.40]]), 0.010),
        (np.array([[0.05, -0.22], [0.12, -0.33], [0.16, -0.40]]), 0.010),
        (np.array([[-0.15, 0.17], [-0.15, -0.17]]), 0.010),
        (np.array([[-0.15, 0.03], [-0.38, 0.06]]), 0.008),
        (np.array([[0.20, 0.17], [0.20, -0.05]]), 0.008),
    ]
    painted = [_near((points @ rotation.T + 0.5) * side - 0.5, width * side, side) for points, width in lines]
    rows, columns = (np.mgrid[:side, :side] + 0.5) / side - 0.5
    return np.any(painted, axis=0), np.hypot(rows, columns) <= 0.5


def _measure(mask, diameter=SIDE):
    return vessel_tree.measure(mask, np.ones_like(mask), diameter)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 7])
def test_a_line_along_the_rows(width):
    mask = np.zeros((SIDE, SIDE), bool)
    mask[100 : 100 + width, 20:220] = True
    found = _measure(mask)
    assert found.density == 200 * width / SIDE**2
    assert found.calibre_p10 == found.calibre_p90 == width
    assert found.calibre_mean == pytest.approx(width, abs=0.02)
    assert found.tortuosity_mean == found.tortuosity_median == pytest.approx(1, abs=1e-9)
    assert found.curvature == pytest.approx(0, abs=1e-9)
    assert (found.components, found.largest_share, found.loops, found.junctions) == (1, 1, 0, 0)
    # thinning takes about half a width from each end
    assert found.endpoints == pytest.approx(1000 * 2 / (200 - width), rel=0.02)
    assert np.isnan([found.angle_mean, found.angle_sd]).all()


def test_a_line_from_border_to_border():
    mask = np.zeros((SIDE, SIDE), bool)
    mask[:, 252:] = True
    found = _measure(mask)
    assert found.calibre_p10 == found.calibre_p90 == 4
    assert found.tortuosity_mean == pytest.approx(1, abs=1e-9)
    assert (found.loops, found.junctions) == (0, 0)


@pytest.mark.parametrize("degrees", [7, 22.5, 38, 45, 71])
@pytest.mark.parametrize("width", [2.5, 5.0])
def test_a_slanted_line(width, degrees):
    found = _measure(_near([_polar(100, degrees), _polar(100, degrees + 180)], width))
    assert found.tortuosity_mean == pytest.approx(1, abs=0.005)
    assert found.curvature == pytest.approx(0, abs=0.01)
    assert found.calibre_mean == pytest.approx(width, abs=0.4)
    assert found.fractal_dimension == pytest.approx(1, abs=0.12)


def test_calibres_are_right_on_average_over_all_directions():
    for width in (2.0, 3.0, 6.0):
        lines = [_near([_polar(60, turn), _polar(60, turn + 180)], width) for turn in range(3, 90, 8)]
        means = [vessel_tree.calibres(mask)[vessel_tree.centre_lines(mask)].mean() for mask in lines]
        assert np.mean(means) == pytest.approx(width, abs=0.15)


@pytest.mark.parametrize(("radius", "angle"), [(40, 180), (80, 120), (100, 90)])
def test_an_arc_of_a_circle(radius, angle):
    found = _measure(_arc(radius, 3, 10, 10 + angle))
    half = math.radians(angle) / 2
    assert found.tortuosity_mean == pytest.approx(half / math.sin(half), rel=0.03)
    assert found.curvature == pytest.approx(1 / radius, rel=0.12)


def test_a_wave_is_as_long_as_its_integral():
    columns = np.linspace(20, 236, 400)
    wave = np.stack([128 + 12 * np.sin(2 * np.pi * columns / 72), columns], axis=-1)
    length = quad(lambda x: math.hypot(1, 12 * 2 * math.pi / 72 * math.cos(2 * math.pi * x / 72)), 20, 236)[0]
    found = _measure(_near(wave, 3))
    assert found.tortuosity_mean == pytest.approx(length / 216, rel=0.02)
    # between a crest and a trough the direction turns by twice the steepest slope: three waves, six times
    turning = 6 * 2 * math.atan(12 * 2 * math.pi / 72)
    assert found.curvature == pytest.approx(turning / length, rel=0.06)


def test_tortuosity_is_weighted_by_length():
    mask = _arc(30, 3, 0, 180)
    mask[220:223, 20:240] = True
    mask[240:243, 20:240] = True
    found = _measure(mask)
    arc = 30 * math.pi
    assert found.tortuosity_mean == pytest.approx((440 + arc * math.pi / 2) / (440 + arc), rel=0.01)
    assert found.tortuosity_median == pytest.approx(1, abs=1e-9)


def test_short_branches_are_not_measured():
    mask = np.zeros((SIDE, SIDE), bool)
    mask[100, 50:59] = True
    found = _measure(mask)
    assert np.isnan([found.tortuosity_mean, found.tortuosity_median, found.curvature]).all()
    mask[100, 59] = True
    assert _measure(mask).tortuosity_mean == pytest.approx(1, abs=1e-9)


def test_a_ring():
    found = _measure(_arc(70, 4, 0, 360))
    assert (found.loops, found.components, found.endpoints, found.junctions) == (1, 1, 0, 0)
    assert found.curvature == pytest.approx(1 / 70, rel=0.08)
    assert np.isnan(found.tortuosity_mean)


def test_loops_are_counted_where_vessels_touch_at_corners():
    mask = np.zeros((SIDE, SIDE), bool)
    mask[100:141, [50, 90, 130]] = mask[[100, 140], 50:131] = True
    mask[100, 50] = mask[100, 130] = False
    assert _measure(mask).loops == 2


@pytest.mark.parametrize("width", [3, 6])
@pytest.mark.parametrize("turn", [0, 20, 65])
@pytest.mark.parametrize("angle", [50, 75, 100])
def test_a_fork_has_its_angle(angle, turn, width):
    found = _measure(_fork(angle, width, turn))
    assert found.angle_mean == pytest.approx(angle, abs=7)
    assert found.angle_sd == 0
    assert found.endpoints == pytest.approx(3 * found.junctions)


def test_angles_have_a_mean_and_a_deviation():
    mask = _fork(50, 3, 0, 50, (70, 120)) | _fork(90, 3, 0, 50, (180, 120))
    found = _measure(mask)
    assert found.angle_mean == pytest.approx(70, abs=6)
    assert found.angle_sd == pytest.approx(20, abs=6)


def test_a_crossing_is_one_junction_without_a_branching_angle():
    mask = np.zeros((SIDE, SIDE), bool)
    mask[128, 60:200] = mask[60:200, 128] = True
    lines = vessel_tree.centre_lines(mask)
    tree = vessel_tree.take_apart(lines)
    assert (len(tree.branches), len(tree.endpoints), tree.junctions.max()) == (4, 4, 1)
    assert vessel_tree.branching_angles(tree, vessel_tree.calibres(mask)).size == 0


def test_branches_hold_every_pixel_of_the_skeleton():
    mask, _ = _tree(SIDE)
    lines = vessel_tree.centre_lines(mask)
    tree = vessel_tree.take_apart(lines)
    held = tree.junctions > 0
    for branch in tree.branches:
        held[tuple(branch.T)] = True
        assert np.abs(np.diff(branch, axis=0)).max() == 1
    np.testing.assert_array_equal(held, lines)


def _koch(start, end, depth):
    if not depth:
        return [start]
    step = (end - start) / 3
    peak = start + step + np.array([[0.5, -math.sqrt(3) / 2], [math.sqrt(3) / 2, 0.5]]) @ step
    corners = [start, start + step, peak, end - step, end]
    return [point for a, b in zip(corners[:-1], corners[1:], strict=True) for point in _koch(a, b, depth - 1)]


def test_the_dimension_of_lines_and_planes():
    """A line of n pixels lies in (n - 1) / s + 1 boxes on average, a square in the square of that."""
    line = np.zeros((64, 64), bool)
    line[20, 1:62] = True
    square = np.zeros((64, 64), bool)
    square[3:64, 1:62] = True
    sides = np.array([4, 8, 16])
    # grids of 16 are tried at every second position: 61 pixels lie in four boxes at two of the eight, else in five
    boxes = np.array([60 / 4 + 1, 60 / 8 + 1, (2 * 4 + 6 * 5) / 8])
    slope = -np.polyfit(np.log(sides), np.log(boxes), 1)[0]
    assert vessel_tree.box_dimension(line) == pytest.approx(slope, abs=1e-9)
    assert vessel_tree.box_dimension(square) == pytest.approx(2 * slope, abs=1e-9)


def test_the_dimension_of_larger_lines_and_planes_is_nearly_one_and_two():
    line = np.zeros((2048, 2048), bool)
    line[200] = True
    assert vessel_tree.box_dimension(line) == pytest.approx(1, abs=0.05)
    assert vessel_tree.box_dimension(np.ones((512, 512), bool)) == pytest.approx(2, abs=0.12)
    point = np.zeros((512, 512), bool)
    point[200, 77] = True
    assert vessel_tree.box_dimension(point) == pytest.approx(0, abs=1e-9)


def test_the_dimension_of_a_koch_curve():
    start, end = np.array([400.0, 4.0]), np.array([400.0, 508.0])
    points = np.array([*_koch(start, end, 5), end])
    fine = np.concatenate([np.linspace(a, b, 8) for a, b in zip(points[:-1], points[1:], strict=True)])
    curve = np.zeros((512, 512), bool)
    curve[tuple(np.rint(fine).astype(int).T)] = True
    assert vessel_tree.box_dimension(curve) == pytest.approx(math.log(4) / math.log(3), abs=0.08)


def test_the_dimension_of_a_sierpinski_carpet():
    carpet = np.ones((1, 1), bool)
    for _ in range(6):
        carpet = np.block([[carpet] * 3, [carpet, np.zeros_like(carpet), carpet], [carpet] * 3])
    assert vessel_tree.box_dimension(carpet) == pytest.approx(math.log(8) / math.log(3), abs=0.08)


def test_pieces():
    mask = np.zeros((SIDE, SIDE), bool)
    mask[50:53, 20:120] = True
    mask[100:102, 20:30] = True
    mask[200, 20:39] = True
    found = _measure(mask)
    assert found.components == 2  # 300 and 20 pixels; 19 are too few
    assert found.largest_share == 300 / 339


def test_an_empty_mask_has_no_metrics():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)  # within scikit-image
        found = asdict(_measure(np.zeros((SIDE, SIDE), bool)))
    zeros = {name for name, value in found.items() if value == 0}
    assert zeros == {"density", "components", "loops"}
    assert all(math.isnan(found[name]) for name in found.keys() - zeros)


@pytest.mark.parametrize("pixels", [[(9, 9)], [(9, 9), (9, 10)], [(9, 9), (40, 40)], [(0, 0), (0, 1), (1, 0), (1, 1)]])
def test_masks_of_a_few_pixels_are_measured_without_a_warning(pixels):
    mask = np.zeros((SIDE, SIDE), bool)
    mask[tuple(np.transpose(pixels))] = True
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)  # within scikit-image
        found = _measure(mask)
    assert found.density == len(pixels) / SIDE**2
    assert found.components == 0
    assert math.isnan(found.tortuosity_mean)


def test_a_field_full_of_vessels_is_measured_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)  # within scikit-image
        found = _measure(np.ones((SIDE, SIDE), bool))
    assert (found.density, found.components, found.loops) == (1, 1, 0)


def test_only_the_field_of_view_counts():
    mask, fov = _tree(SIDE)
    framed, frame = np.ones((SIDE + 40, SIDE + 90), bool), np.zeros((SIDE + 40, SIDE + 90), bool)
    framed[13 : 13 + SIDE, 70 : 70 + SIDE] = mask | ~fov
    frame[13 : 13 + SIDE, 70 : 70 + SIDE] = fov
    assert vessel_tree.measure(framed, frame, SIDE) == vessel_tree.measure(mask, fov, SIDE)


TOLERANCES = {
    "density": 0.07,
    "calibre_mean": 0.08,
    "calibre_p10": 0.26,
    "calibre_p90": 0.10,
    "tortuosity_mean": 0.02,
    "tortuosity_median": 0.03,
    "fractal_dimension": 0.03,
    "angle_mean": 0.10,
    "endpoints": 0.08,
    "junctions": 0.08,
    "components": 0.0,
    "largest_share": 0.0,
    "loops": 0.0,
}
"""Relative: how far the measures of one tree may lie apart. A percentile of the calibre may be off by a pixel."""


def _assert_near(found, expected):
    found, expected = asdict(found), asdict(expected)
    for name, tolerance in TOLERANCES.items():
        assert found[name] == pytest.approx(expected[name], rel=tolerance, abs=1e-12), name
    assert found["curvature"] == pytest.approx(expected["curvature"], abs=0.0015)
    assert found["angle_sd"] == pytest.approx(expected["angle_sd"], abs=8)


@pytest.mark.parametrize("degrees", [17, 45, 90, 120])
def test_metrics_do_not_depend_on_the_direction(degrees):
    _assert_near(vessel_tree.measure(*_tree(512, math.radians(degrees))), vessel_tree.measure(*_tree(512)))


@pytest.mark.parametrize("side", [400, 777, 1024])
def test_metrics_do_not_depend_on_the_size_of_the_image(side):
    _assert_near(vessel_tree.measure(*_tree(side)), vessel_tree.measure(*_tree(512)))


def test_thin_vessels_do_not_break_where_the_image_shrinks():
    line = _near([(100, 60), (900, 1000)], 2, 1100)
    found = vessel_tree.measure(line, np.ones_like(line), 200)
    assert found.components == found.largest_share == 1
    assert found.tortuosity_mean == pytest.approx(1, abs=0.005)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skan", None)
    with pytest.raises(SynthMedError, match=r'skan.*pip install "synthmed-tf\[evaluate\]"'):
        _measure(_arc(70, 4, 0, 360))


def test_other_arrays_are_refused():
    mask = np.zeros((SIDE, SIDE), bool)
    with pytest.raises(ValueError, match=r"Received: float64 \(256, 256\), bool \(256, 256\)"):
        vessel_tree.measure(mask.astype(float), ~mask)
    with pytest.raises(ValueError, match="one shape"):
        vessel_tree.measure(mask, ~mask[1:])
    with pytest.raises(ValueError, match="not empty"):
        vessel_tree.measure(mask, mask)
    with pytest.raises(ValueError, match="Received: 63"):
        vessel_tree.measure(mask, ~mask, 63)
