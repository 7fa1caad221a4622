"""The geometry section: what is measured, what the verdict says, and the score of each pair."""

import json
import math

import numpy as np
import pytest

from synthmed_tf.config.image_kind import ImageKind
from synthmed_tf.evaluation import features, geometry
from synthmed_tf.evaluation.context import QUICK, Cache, EvaluationContext
from synthmed_tf.evaluation.pairs import ArrayPairs, Block
from synthmed_tf.evaluation.verdict import State
from synthmed_tf.evaluation.vessel_tree import measure

pytestmark = pytest.mark.once

COUNT = len(features.TREE)


def _pairs(masks, prefix, patients=None):
    fields = np.ones_like(masks)
    images = np.full((*masks.shape, 3), 90, np.uint8)
    return ArrayPairs(Block(images, masks, fields), [f"{prefix}{i}" for i in range(len(masks))], patients)


def _bars(widths, side=64):
    """One upright bar a mask."""
    masks = np.zeros((len(widths), side, side), bool)
    for mask, width in zip(masks, widths, strict=True):
        mask[8:-8, 20 : 20 + width] = True
    return masks


def _context(tmp_path, real, synthetic, holdout=None):
    """A case whose pairs are as many as these rows; their images are not looked at."""
    parts = [
        _pairs(np.zeros((len(rows), 2, 2), bool), prefix) if rows is not None else None
        for rows, prefix in ((synthetic, "s"), (real, "r"), (holdout, "h"))
    ]
    return EvaluationContext(*parts, Cache(tmp_path), QUICK)


def _verdict(tmp_path, real, synthetic):
    return geometry.answer(geometry.compare(_context(tmp_path, real, synthetic), real, synthetic, None))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_the_words_are_those_of_all_metrics_in_order():
    assert tuple(geometry.PLAIN) == features.TREE
    assert tuple(geometry.OF_ANY) == features.OF_ANY


def test_masks_of_other_structures_are_measured_without_center_lines(tmp_path):
    bars, real = _pairs(_bars([6, 7, 8]), "s"), _pairs(_bars([3, 4, 4, 5]), "r", ["a", "b", "b", "c"])
    bars.kind = ImageKind("frame", "any")
    context = EvaluationContext(bars, real, None, Cache(tmp_path), QUICK)
    found = geometry.evaluate(context)
    assert [feature.name for feature in found.metrics.features] == list(features.OF_ANY)
    assert found.synthetic[:, 0].tolist() == pytest.approx(
        [measure(m, np.ones_like(m)).density for m in bars.all().masks]
    )
    [verdict] = found.verdicts
    assert "adjusted for 7 features" in verdict.limit
    assert "vessel" not in verdict.sentence


def test_masks_are_measured_and_compared(tmp_path):
    context = EvaluationContext(
        _pairs(_bars([6, 7, 8]), "s"),
        _pairs(_bars([3, 4, 4, 5]), "r", ["a", "b", "b", "c"]),
        _pairs(_bars([4, 5]), "h"),
        Cache(tmp_path),
        QUICK,
    )
    found = geometry.evaluate(context)
    expected = [measure(mask, np.ones_like(mask)).calibre_mean for mask in context.synthetic.all().masks]
    np.testing.assert_array_equal(found.synthetic[:, 1], expected)
    assert (found.metrics.real_masks, found.metrics.real_patients, found.metrics.synthetic_masks) == (4, 3, 3)
    calibre = found.metrics.features[1]
    assert (calibre.name, calibre.real_count, calibre.synthetic_count) == ("calibre_mean", 4, 3)
    assert calibre.synthetic_mean == pytest.approx(np.mean(expected))
    assert 0 < calibre.holdout < calibre.wasserstein
    assert found.metrics.energy_holdout.count == 2
    unusual = geometry.atypicality(found.real, found.synthetic)
    np.testing.assert_array_equal(found.scores["atypicality"], unusual.max(axis=1))
    named = [features.TREE.index(name) for name in found.scores["most_unusual"]]
    np.testing.assert_array_equal(unusual[range(3), named], unusual.max(axis=1))
    assert json.loads(found.metrics.model_dump_json())["features"][0]["words"] == "vessel density"


def test_a_metric_that_differs_fails_and_is_named_with_both_means(tmp_path, rng):
    real, synthetic = rng.normal(10, 1, (20, COUNT)), rng.normal(10, 1, (80, COUNT))
    synthetic[:, 1] += 3
    verdict = _verdict(tmp_path, real, synthetic)
    means = f"mean calibre (mean {real[:, 1].mean():.3g} in real, {synthetic[:, 1].mean():.3g} in synthetic masks"
    assert verdict.state is State.FAIL
    assert means in verdict.sentence
    assert "components" not in verdict.sentence


def test_many_real_masks_show_that_trees_are_like_real_ones(tmp_path, rng):
    verdict = _verdict(tmp_path, rng.normal(size=(300, COUNT)), rng.normal(size=(300, COUNT)))
    assert verdict.state is State.PASS
    assert verdict.needed is None


def test_few_real_masks_show_nothing_and_it_says_how_many_would(tmp_path, rng):
    verdict = _verdict(tmp_path, rng.normal(size=(10, COUNT)), rng.normal(size=(60, COUNT)))
    assert verdict.state is State.CANNOT_TELL
    count = int(verdict.needed.split("some ")[1].split()[0])
    assert _verdict(tmp_path, rng.normal(size=(count, COUNT)), rng.normal(size=(count, COUNT))).state is State.PASS
    assert 100 < count < 300


def test_a_metric_that_no_synthetic_mask_has_is_never_a_pass(tmp_path, rng):
    real, synthetic = rng.normal(size=(300, COUNT)), rng.normal(size=(300, COUNT))
    synthetic[:, 8] = np.nan
    verdict = _verdict(tmp_path, real, synthetic)
    assert verdict.state is State.CANNOT_TELL
    assert "mean branching angle (not measurable: 300 real, 0 synthetic masks)" in verdict.sentence


def test_the_score_of_a_pair_is_that_of_its_most_unusual_metric(tmp_path, rng):
    real = np.tile(np.linspace(-1, 1, 41)[:, None], (1, COUNT))
    synthetic = np.zeros((3, COUNT))
    synthetic[1, 4] = 6 * real[:, 0].std()
    metrics = geometry.compare(_context(tmp_path, real, synthetic, real), real, synthetic, real)
    np.testing.assert_allclose(geometry.atypicality(real, synthetic).max(axis=1), [0, 2, 0], atol=1e-12)
    assert metrics.atypical == pytest.approx(1 / 3)
    assert metrics.atypical_holdout == 0


def test_without_a_holdout_its_metrics_are_missing(tmp_path, rng):
    real = rng.normal(size=(8, COUNT))
    metrics = geometry.compare(_context(tmp_path, real, real), real, real, None)
    assert metrics.energy_holdout is None
    assert math.isnan(metrics.features[0].holdout) and math.isnan(metrics.atypical_holdout)
    assert json.loads(metrics.model_dump_json())["features"][0]["holdout"] is None


def test_empty_masks_fail(tmp_path):
    context = EvaluationContext(
        _pairs(_bars([0] * 12), "s"), _pairs(_bars([3, 4, 5, 6, 4, 5, 3, 7]), "r"), None, Cache(tmp_path), QUICK
    )
    [verdict] = geometry.evaluate(context).verdicts
    assert verdict.state is State.FAIL
    assert "vessel density" in verdict.sentence
