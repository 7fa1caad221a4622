"""Copies of procedural trees are found, however they were moved; their pieces are overlaid and counted by hand."""

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from scipy.spatial import cKDTree
from skimage.transform import rotate

from synthmed_tf.data.alignment import detail
from synthmed_tf.data.phantom import generate_phantom
from synthmed_tf.evaluation import alignment, copies, copy_candidates
from synthmed_tf.evaluation.alignment import flattened, image_similarity
from synthmed_tf.evaluation.transforms import Transform, fit

SIDE, COPIED = 256, 2
FLIPS = ((False, False), (True, False))


def _tree(index):
    return generate_phantom(SIDE, 3, index).mask[..., 0] >= 128


def _turned(mask, degrees):
    """Clockwise; scikit-image turns the other way."""
    return rotate(mask.astype(float), -degrees) >= 0.5


def _shifted(mask):
    """20 pixels down and 13 to the left."""
    moved = np.zeros_like(mask)
    moved[20:, :-13] = mask[:-20, 13:]
    return moved


def _scaled(mask):
    """By 272 / 256."""
    return np.asarray(Image.fromarray(mask).resize((272, 272)))[8:-8, 8:-8]


def _spliced(mask, other, rows, columns):
    result = other.copy()
    result[rows, columns] = mask[rows, columns]
    return result


@pytest.fixture(scope="module")
def real():
    return np.stack([_tree(index) for index in range(5)])


@pytest.fixture(scope="module")
def synthetic(real):
    mask, other, third = real[COPIED], _tree(10), _tree(11)
    half, quarter = slice(None, SIDE // 2), slice(SIDE // 2, None)
    return {
        "exact": mask,
        "turned": _turned(mask, 10),
        "shifted": _shifted(mask),
        "mirrored": mask[:, ::-1],
        "scaled": _scaled(mask),
        "all": _turned(_scaled(mask)[:, ::-1], -7),
        "half": _spliced(_turned(mask, 4), other, half, slice(None)),
        "quarter": _spliced(_turned(mask, -6), other, quarter, quarter),
        "other": other,
        "third": third,
    }


@pytest.fixture(scope="module")
def found(synthetic, real):
    matches = copies.search(np.stack(list(synthetic.values())), real, FLIPS, candidates=3).matches
    return {kind: dict(zip(synthetic, part, strict=True)) for kind, part in matches.items()}


@pytest.fixture(scope="module")
def limits(real):
    between = copies.search(real, real, FLIPS, skip=np.eye(len(real), dtype=bool), candidates=3).matches
    return {kind: copies.threshold([m.score for m in part], count=10) for kind, part in between.items()}


def test_an_exact_copy_scores_one(found):
    for kind in copies.KINDS:
        match = found[kind]["exact"]
        assert (match.real, match.score) == (COPIED, 1.0)
        assert match.similarity == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "transform"),
    [
        ("exact", Transform()),
        ("turned", Transform(rotation=10)),
        ("shifted", Transform(right=-13 / SIDE, down=20 / SIDE)),
        ("mirrored", Transform(flips=(True, False))),
        ("scaled", Transform(scale=272 / 256)),
        ("all", Transform((True, False), -7, 272 / 256)),
    ],
)
def test_a_moved_copy_is_found_with_its_transform(name, transform, found, limits):
    match = found["whole"][name]
    assert match.real == COPIED and match.score >= limits["whole"]
    assert match.transform.flips == transform.flips
    assert match.transform.rotation == pytest.approx(transform.rotation, abs=0.2)
    assert match.transform.scale == pytest.approx(transform.scale, abs=0.004)
    assert match.transform.right == pytest.approx(transform.right, abs=0.003)
    assert match.transform.down == pytest.approx(transform.down, abs=0.003)


@pytest.mark.parametrize(("kind", "window", "degrees"), [("half", "top", 4), ("quarter", "bottom right", -6)])
def test_a_piece_of_a_copy_is_found_where_it_is(kind, window, degrees, found, limits):
    match = found[kind][kind]
    assert (match.real, match.window) == (COPIED, window)
    assert match.score >= limits[kind]
    assert match.transform.rotation == pytest.approx(degrees, abs=0.5)


@pytest.mark.parametrize("kind", copies.KINDS)
@pytest.mark.parametrize("name", ["other", "third"])
def test_another_tree_stays_below(kind, name, found, limits):
    assert found[kind][name].score < limits[kind]


def test_the_batch_does_not_matter(synthetic, real, found):
    masks = np.stack(list(synthetic.values()))[-3:]
    again = copies.search(masks, real, FLIPS, candidates=3, batch=2).matches
    for kind, part in again.items():
        for match, other in zip(part, list(found[kind].values())[-3:], strict=True):
            assert (match.real, match.window) == (other.real, other.window)
            assert match.score == pytest.approx(other.score, abs=1e-6)


def test_pairs_that_are_skipped_are_not_found(synthetic, real):
    skip = np.zeros((1, len(real)), bool)
    skip[0, COPIED] = True
    matches = copies.search(synthetic["exact"][None], real, skip=skip, candidates=1).matches
    assert all(part[0].real != COPIED for part in matches.values())
    with pytest.raises(ValueError, match="Synthetic mask 0 has no real one"):
        copies.search(synthetic["exact"][None], real, skip=np.ones((1, len(real)), bool))


def test_an_empty_mask_is_no_copy(real):
    empty = np.zeros((1, SIDE, SIDE), bool)
    for synthetic, reals in ((empty, real[:2]), (real[:1], empty), (empty, empty)):
        assert all(part[0].score == 0 for part in copies.search(synthetic, reals).matches.values())


def test_masks_of_other_shapes_are_refused(real):
    with pytest.raises(ValueError, match=r"Received: \(2, 64, 64\) and \(5, 256, 256\)"):
        copies.search(np.zeros((2, 64, 64), bool), real)
    with pytest.raises(ValueError, match=r"Received: \(2, 1\)"):
        copies.search(real[:2], real, skip=np.zeros((2, 1), bool))


def test_the_coarse_similarity_is_the_highest_correlation_over_the_places(real):
    found, _ = copy_candidates.similarity(real[:2], copy_candidates.posed(real[2:4], [Transform()]))
    one, other = (image.reshape(32, 4, 32, 4).mean((1, 3)) for image in copy_candidates.reduced(real[[0, 3]]))
    expected = np.full(9, -1.0)
    for down, right in np.ndindex(17, 17):
        moved = np.pad(other, 8)[down : down + 32, right : right + 32]
        for i, quarters in enumerate(copy_candidates.WINDOWS.values()):
            inside = np.kron(np.isin(np.arange(4), quarters).reshape(2, 2), np.ones((16, 16), bool))
            lengths = [
                max(np.sum(values[inside] ** 2), 0.25 * len(quarters) / 4 * np.sum(values**2))
                for values in (one, moved)
            ]
            expected[i] = max(expected[i], np.sum((one * moved)[inside]) / np.sqrt(np.prod(lengths)))
    np.testing.assert_allclose(found[:, 0, 1], expected, atol=1e-5)


def test_the_limit_is_above_the_largest_score_where_all_are_alike():
    assert copies.threshold([0.4, 0.4, 0.4], count=10) == pytest.approx(0.45)


def test_the_limit_of_many_scores_is_a_quantile_of_the_largest_of_all_honest_ones():
    scores = np.tanh(np.random.default_rng(0).gumbel(0.3, 0.03, 5_000))
    z = np.arctanh(scores)
    scale = np.std(z, ddof=1) * np.sqrt(6) / np.pi
    gumbel = stats.gumbel_r(np.mean(z) - np.euler_gamma * scale, scale)
    expected = np.tanh(gumbel.ppf(0.95 ** (1 / 100_000)))
    assert expected > scores.max() + 0.05
    assert copies.threshold(scores, count=100_000) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("impostors", [4, 8, 30])
def test_a_false_alarm_is_as_rare_as_promised_however_few_the_impostors(impostors):
    rng, alarms, samples = np.random.default_rng(1), 0, 4_000
    for _ in range(samples):
        z = rng.gumbel(0.3, 0.1, impostors + 60)
        scores = np.tanh(z)
        limit = copies.threshold(scores[:impostors], count=60, level=0.05)
        assert limit >= scores[:impostors].max() + 0.05
        alarms += (scores[impostors:] >= limit).any()
    assert stats.binomtest(alarms, samples, 0.05).pvalue > 0.001


def test_scores_of_one_patient_count_for_one():
    scores = np.random.default_rng(0).uniform(0.2, 0.4, 12)
    few, many = copies.threshold(scores, 60, units=6), copies.threshold(scores, 60)
    assert few > many == copies.threshold(scores, 60, units=12)


def test_a_limit_needs_scores():
    with pytest.raises(ValueError, match=r"shape=\(1,\), count=3"):
        copies.threshold([0.3], count=3)


def test_a_transform_turns_clockwise_and_flips():
    image = np.random.default_rng(0).random((9, 9))
    np.testing.assert_allclose(Transform(rotation=90).warp(image), np.rot90(image, -1), atol=1e-9)
    np.testing.assert_allclose(Transform((True, False)).warp(image), image[:, ::-1], atol=1e-9)
    np.testing.assert_allclose(Transform((False, True)).warp(image), image[::-1], atol=1e-9)


def test_points_go_where_the_image_goes():
    transform = Transform((True, False), 20, 1.2, 0.1, -0.05)
    image = np.zeros((200, 200))
    image[60:63, 110:113] = 1
    rows, columns = np.indices(image.shape)
    warped = transform.warp(image)
    centre = np.array([np.sum(warped * columns), np.sum(warped * rows)]) / warped.sum()
    expected = transform.forward(np.array([[(2 * 111 + 1) / 200 - 1, (2 * 61 + 1) / 200 - 1]]))
    np.testing.assert_allclose((2 * centre + 1) / 200 - 1, expected[0], atol=1e-3)
    np.testing.assert_allclose(transform.backward(expected), [[0.115, -0.385]], atol=1e-12)


def test_a_fit_gives_the_transform_back():
    transform = Transform((False, True), -12.5, 0.93, 0.04, -0.11)
    points = np.random.default_rng(0).uniform(-1, 1, (7, 2))
    again = fit(points, transform.forward(points), transform.flips)
    assert again.flips == transform.flips
    values = (again.rotation, again.scale, again.right, again.down)
    assert values == pytest.approx((-12.5, 0.93, 0.04, -0.11))


def test_closest_points_end_at_the_transform(real):
    tree = alignment.tree_of(real[0])
    transform = Transform(rotation=6.3, scale=1.04, right=0.02, down=0.05)
    points = transform.forward(tree.points)
    moved = alignment.Tree(tree.mask, points, cKDTree(points))
    found = alignment.refined(Transform(rotation=4.5, scale=1.0, right=0.015, down=0.055), tree, moved, (0, 1, 2, 3))
    values = (found.rotation, found.scale, found.right, found.down)
    assert values == pytest.approx((6.3, 1.04, 0.02, 0.05), abs=1e-3)


def _bars(*rows):
    mask = np.zeros((512, 512), bool)
    for row in rows:
        mask[row - 2 : row + 3, 100:400] = True
    return alignment.tree_of(mask)


WHOLE, TOP = (0, 1, 2, 3), (0, 1)


@pytest.mark.parametrize(("down", "dice", "f1"), [(0, 1, 1), (3, 2 / 5, 1), (4, 1 / 5, 0)])
def test_bars_agree_within_three_pixels_of_512(down, dice, f1):
    assert alignment.agreement(Transform(), _bars(150), _bars(150 + down), WHOLE) == pytest.approx((dice, f1), abs=1e-9)


def test_agreement_is_that_of_the_window():
    one, other = _bars(150, 300), _bars(150, 400)
    assert alignment.agreement(Transform(), one, other, TOP) == (1.0, 1.0)
    assert alignment.agreement(Transform(), one, other, WHOLE) == pytest.approx((0.5, 0.5))
    # the right bar of two is found, and all of the one: 2 * 1 * 0.5 / 1.5
    assert alignment.agreement(Transform(), one, _bars(150), WHOLE) == pytest.approx((2 / 3, 2 / 3))


def test_a_window_with_next_to_nothing_agrees_with_nothing():
    mask = np.zeros((512, 512), bool)
    mask[300:500:20, 100:400] = True
    mask[150, 100:160] = True
    tree = alignment.tree_of(mask)
    assert alignment.agreement(Transform(), tree, tree, TOP) == (0.0, 0.0)
    assert alignment.agreement(Transform(), tree, tree, WHOLE) == (1.0, 1.0)


@pytest.fixture(scope="module")
def images():
    """Two images of 192 pixels in black squares of 256, and their field of view."""
    edge = ((32, 32), (32, 32), (0, 0))
    samples = [generate_phantom(192, 3, index) for index in (0, 1)]
    return *(np.pad(sample.image, edge) for sample in samples), np.pad(samples[0].fov, edge)[..., 0] > 0


def test_a_shifted_image_under_other_light_is_the_same(images):
    one, _, field = images
    darker = np.rint(one * np.linspace(0.6, 0.9, 256)[:, None, None]).astype(np.uint8)
    moved, moved_field = (np.roll(array, (9, -14), (0, 1)) for array in (darker, field))
    match = image_similarity(
        flattened(moved, moved_field), flattened(one, field), Transform(right=-14 / 256, down=9 / 256)
    )
    assert match.whole > 0.95 and np.nanmin(match.tiles) > 0.9
    same = image_similarity(flattened(one, field), flattened(one, field), Transform())
    assert same.whole == pytest.approx(1) and np.nanmin(same.tiles) == pytest.approx(1)


def test_a_copied_tile_is_found_among_others(images):
    one, other, field = images
    mixed = other.copy()
    mixed[85:171, 85:171] = one[85:171, 85:171]
    match = image_similarity(flattened(mixed, field), flattened(one, field), Transform())
    assert match.tiles[1, 1] > 0.9
    assert np.nanmax(np.delete(match.tiles.ravel(), 4)) < 0.5
    synthetic, real = (detail(image[..., 1].astype(np.float32), field)[field] for image in (mixed, one))
    assert match.whole == pytest.approx(np.corrcoef(synthetic, real)[0, 1], abs=1e-5)


def test_tiles_outside_the_field_have_no_similarity(images):
    one, other, field = images
    middle = np.zeros_like(field)
    middle[85:171, 85:171] = True
    match = image_similarity(flattened(one, middle), flattened(other, field), Transform())
    assert np.isfinite(match.tiles[1, 1]) and np.isnan(np.delete(match.tiles.ravel(), 4)).all()
