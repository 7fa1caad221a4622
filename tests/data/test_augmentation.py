"""Geometric augmentation: exact where exactness is possible, joint, and differentiable."""

import numpy as np
import tensorflow as tf

from synthmed_tf.data import augmentation

HALF = np.full((1, 6), 0.5, np.float32)


def _one(images, ranges, **generates):
    names = ("flip_horizontal", "flip_vertical", "rotation", "zoom", "shift_x", "shift_y")
    unit = HALF.copy()
    for name, value in generates.items():
        unit[0, names.index(name)] = value
    return augmentation.apply(
        tf.constant(images, tf.float32), augmentation.transforms(tf.constant(unit), ranges)
    ).numpy()


def _image(size=8, channels=2):
    return np.random.default_rng(0).random((1, size, size, channels)).astype(np.float32)


def test_no_range_is_the_identity():
    x = _image()
    np.testing.assert_allclose(_one(x, augmentation.Ranges()), x, atol=1e-5)


def test_flips_are_exact():
    x = _image()
    ranges = augmentation.Ranges(flip_horizontal=True, flip_vertical=True)
    np.testing.assert_allclose(_one(x, ranges, flip_horizontal=0.2, flip_vertical=0.7), x[:, :, ::-1], atol=1e-5)
    np.testing.assert_allclose(_one(x, ranges, flip_horizontal=0.7, flip_vertical=0.2), x[:, ::-1], atol=1e-5)


def test_a_quarter_turn_is_exact():
    x = _image()
    turned = _one(x, augmentation.Ranges(rotation=90.0), rotation=1.0)
    np.testing.assert_allclose(turned, np.rot90(x, k=1, axes=(1, 2)), atol=1e-5)


def test_a_shift_by_whole_pixels_is_exact_and_fills_the_border():
    x = _image()
    unit = HALF + np.array([[0, 0, 0, 0, 0.25, 0]], np.float32)
    shifted = augmentation.apply(x, augmentation.transforms(unit, augmentation.Ranges(shift=0.5)), outside=-1.0)
    np.testing.assert_allclose(shifted[:, :, :6], x[:, :, 2:], atol=1e-5)
    np.testing.assert_allclose(shifted[:, :, 6:], -1.0, atol=1e-5)


def test_zoom_in_magnifies_about_the_centre():
    ramp = np.tile(np.linspace(-7, 7, 8, dtype=np.float32)[None, None, :, None], (1, 8, 1, 1))
    zoomed = _one(ramp, augmentation.Ranges(zoom_in=1.0), zoom=1.0)
    np.testing.assert_allclose(zoomed, ramp / 2, atol=1e-4)


def test_each_example_has_its_own_transform():
    x = np.repeat(_image(), 2, axis=0)
    unit = np.repeat(HALF, 2, axis=0)
    unit[1, 0] = 0.1
    flipped = augmentation.apply(
        x, augmentation.transforms(tf.constant(unit), augmentation.Ranges(flip_horizontal=True))
    ).numpy()
    np.testing.assert_allclose(flipped[0], x[0], atol=1e-5)
    np.testing.assert_allclose(flipped[1], x[1, :, ::-1], atol=1e-5)


def test_the_gradient_is_the_exact_adjoint():
    unit = tf.constant(np.random.default_rng(1).random((2, 6)), tf.float32)
    matrices = augmentation.transforms(unit, augmentation.Ranges(True, True, 30.0, 0.2, 0.2, 0.2))
    x, y = tf.random.normal((2, 9, 9, 1)), tf.random.normal((2, 9, 9, 1))
    with tf.GradientTape() as tape:
        tape.watch(x)
        product = tf.reduce_sum(augmentation.apply(x, matrices) * y)
    np.testing.assert_allclose(tf.reduce_sum(tape.gradient(product, x) * x), product, rtol=1e-4)


def test_upright_transforms_and_their_gradient_are_the_same_by_products():
    unit = tf.constant(np.random.default_rng(2).random((16, 6)), tf.float32)
    matrices = augmentation.transforms(unit, augmentation.Ranges(True, True, 0.0, 0.5, 0.5, 0.4))
    masks, upstream = tf.random.normal((16, 12, 12, 1)), tf.random.normal((16, 12, 12, 1))
    found = []
    for apply in (augmentation.apply, augmentation.apply_upright):
        with tf.GradientTape() as tape:
            tape.watch(masks)
            seen = apply(masks, matrices, outside=-1.0)
        found.append((seen, tape.gradient(seen, masks, upstream)))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)
    assert float(tf.reduce_max(tf.abs(found[0][0] - masks))) > 1


def test_generates_stay_within_their_ranges():
    unit = tf.random.uniform((2000, 6))
    matrices = augmentation.transforms(unit, augmentation.Ranges(True, True, 20.0, 0.15, 0.1, 0.03)).numpy()
    scale = np.sqrt(np.abs(np.linalg.det(matrices[:, :, :2])))
    assert 1 / 1.15 - 1e-4 <= scale.min() < 1 / 1.13 and 1.08 < scale.max() <= 1.1 + 1e-4
    assert np.abs(matrices[:, :, 2]).max() <= 0.06 + 1e-6
    assert 0.4 < np.mean(matrices[:, 0, 0] < 0) < 0.6


def test_colour_changes_each_image_and_leaves_black_black():
    images = tf.concat([tf.zeros((2, 4, 4, 3)), -tf.ones((2, 4, 4, 3))], axis=1)
    unit = tf.constant([[0.5] * 5, [1.0, 0.5, 0.0, 0.75, 0.5]])
    coloured = augmentation.colour(images, unit, 0.2).numpy()
    np.testing.assert_allclose(coloured[0], images[0], atol=1e-6)
    np.testing.assert_array_equal(coloured[:, 4:], -1.0)
    # one half of full light, gains 1.1, 1 and 0.9, all times 1.1
    np.testing.assert_allclose(coloured[1, 0, 0], 2 * 0.5 * 1.1 * np.array([1.1, 1.0, 0.9]) - 1, rtol=1e-5)


def _squares(levels, size=8):
    """Images `(n, size, size, 3)`, uint8, of two grey levels each, in a field of view that leaves out the left half."""
    images = np.zeros((len(levels), size, size, 3), np.uint8)
    images[:, : size // 2], images[:, size // 2 :] = (np.array(levels)[:, k, None, None, None] for k in (0, 1))
    fov = np.zeros((len(levels), size, size, 1), np.uint8)
    fov[:, :, size // 2 :] = 255
    return images, fov


def test_tones_are_logarithms_of_light_and_contrast_in_the_field_of_view():
    images, fov = _squares([(51, 204), (102, 204), (51, 51)])
    images[:, :, :4] = 255
    tones = augmentation.measure_tones(images, fov)
    ends = np.log([[0.25, 0.85], [0.45, 0.85], [0.25, 0.25]])
    deviation = np.maximum(np.abs(ends[:, 1] - ends[:, 0]) / 2, 0.004)
    expected = np.stack([ends.mean(axis=1)] * 3 + [np.log(deviation)] * 3, axis=1)
    np.testing.assert_allclose(tones.own, expected, rtol=1e-5)
    assert [sorted(rows) for rows in tones.near.tolist()] == [[1, 2], [0, 2], [0, 1]]
    one = augmentation.measure_tones(images[:1], fov[:1])
    np.testing.assert_array_equal(one.near, [[0]])


def test_a_new_tone_lies_between_those_of_two_near_images():
    levels = [40, 44, 48, 52, 200, 206, 212, 218]
    images, fov = _squares([(level, level + 30) for level in levels])
    tones = augmentation.measure_tones(images, fov)
    assert tones.near.shape == (8, 2)
    unit = np.random.default_rng(0).random((400, 3), np.float32)
    for row in (0, 7):
        new = augmentation.new_tones(tones, tf.fill(400, row), unit).numpy()
        neighbours = tones.own[tones.near[row]]
        assert set(tones.near[row]) == {0: {1, 2}, 7: {5, 6}}[row]
        # Twice the same image in half of the cases.
        on_one = np.abs(new[:, None] - neighbours).max(axis=-1).min(axis=1) < 1e-6
        assert 0.4 < on_one.mean() < 0.6
        low, high = neighbours.min(axis=0), neighbours.max(axis=0)
        assert np.all(new >= low - 1e-6) and np.all(new <= high + 1e-6)
        np.testing.assert_allclose(new.mean(axis=0), neighbours.mean(axis=0), atol=0.1 * (high - low).max())


def test_images_have_the_tones_that_they_are_given():
    images, fov = _squares([(70, 120), (60, 110), (75, 125), (66, 112)])
    tones = augmentation.measure_tones(images, fov)
    light, share = images[:1] * (fov[:1] / np.float32(255)) / np.float32(255), fov[:1] / np.float32(255)
    relit = augmentation.with_tones(light, share, tones.own[:1], tones.own[1:2]).numpy()
    assert relit[:, :, :4].max() == 0
    inside = np.log(relit[0, :, 4:] + 0.05)
    np.testing.assert_allclose(inside.mean(axis=(0, 1)), tones.own[1, :3], rtol=1e-4)
    np.testing.assert_allclose(np.log(inside.std(axis=(0, 1))), tones.own[1, 3:], atol=1e-4)


def test_a_warp_of_equal_control_points_shifts_everything_alike():
    x, y = augmentation.centers(12)[None], augmentation.centers(8)[None]
    normal = np.concatenate([np.full((1, 25), 0.5), np.full((1, 25), -1.0)], axis=1).astype(np.float32)
    in_x, in_y = augmentation.displacements(x, y, normal, 0.03)
    assert in_x.shape == in_y.shape == (1, 8, 12)
    np.testing.assert_allclose(in_x, 2 * 0.03 * 0.5 * np.ones((1, 8, 12)), rtol=1e-5)
    np.testing.assert_allclose(in_y, 2 * 0.03 * -1.0 * np.ones((1, 8, 12)), rtol=1e-5)


def test_a_smooth_field_follows_its_control_points_as_a_cubic_spline():
    controls = np.zeros((1, 5, 5), np.float32)
    controls[0, 2, 3] = 6.0
    at = np.float32([[-1.0, 0.0, 0.5, 1.0]])
    field = augmentation.smooth_field(at, at, controls.reshape(1, 25)).numpy()[0]
    # The basis is 4/6 at its own control point and 1/6 at the next; the columns are control points 0, 2, 3 and 4, where
    # the last has only 5/6 of its weights inside.
    columns = np.array([0, 1 / 6, 4 / 6, (1 / 6) / (5 / 6)])
    rows = np.array([0, 4 / 6, 1 / 6, 0])
    np.testing.assert_allclose(field, 6.0 * rows[:, None] * columns, atol=1e-5)


def test_shifts_by_whole_pixels_keep_values_as_they_are():
    images = np.random.default_rng(0).uniform(size=(4, 16, 16, 2)).astype(np.float32)
    unit = np.random.default_rng(1).uniform(size=(4, 6)).astype(np.float32)
    matrices = augmentation.transforms(unit, augmentation.Ranges(shift=0.2))
    moved = augmentation.apply_upright(images, augmentation.by_whole_pixels(matrices, 16)).numpy()
    for before, after, (x, y) in zip(images, moved, np.round(matrices.numpy()[:, :, 2] * 8).astype(int), strict=True):
        rows, columns = (slice(max(0, -by), 16 - max(0, by)) for by in (y, x))
        there = before[rows.start + y : rows.stop + y, columns.start + x : columns.stop + x]
        np.testing.assert_allclose(after[rows, columns], there, atol=1e-6)
