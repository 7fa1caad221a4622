"""The sections distribution, dispersion and compared: what goes into them, and what they say."""

import json
import math

import numpy as np
import pytest

from synthmed_tf.evaluation import dispersion, distribution, evaluator, features
from synthmed_tf.evaluation import kid_fid as distances
from synthmed_tf.evaluation.context import QUICK, Cache, EvaluationContext
from synthmed_tf.evaluation.pairs import ArrayPairs, Block
from synthmed_tf.evaluation.verdict import State

TREES, IMAGES = len(features.TREE), len(features.IMAGE)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def _pairs(images, prefix, patients=None):
    masks = np.zeros(images.shape[:3], bool)
    block = Block(images, masks, np.ones_like(masks))
    return ArrayPairs(block, [f"{prefix}{i}" for i in range(len(masks))], patients)


def _context(tmp_path, n, m, patients=None):
    """A case of so many pairs, whose images are not looked at."""
    sets = (_pairs(np.zeros((count, 2, 2, 3), np.uint8), "p", who) for count, who in ((m, None), (n, patients)))
    return EvaluationContext(*sets, None, Cache(tmp_path), QUICK)


def _features(rng, count):
    return rng.normal(size=(count, TREES)), rng.normal(size=(count, IMAGES))


def _compared(tmp_path, real, synthetic, patients=None):
    return distribution.compare(_context(tmp_path, len(real[0]), len(synthetic[0]), patients), real, synthetic)


def test_each_detector_has_its_metrics(tmp_path, rng):
    real, synthetic, patients = _features(rng, 12), _features(rng, 30), [f"{i // 2}" for i in range(12)]
    metrics = _compared(tmp_path, real, synthetic, patients)
    assert [(one.name, one.features, one.n, one.m) for one in metrics.detectors] == [
        ("geometry", 15, 12, 30),
        ("appearance", 28, 12, 30),
        ("handcrafted", 43, 12, 30),
    ]
    rows = features.comparable(np.hstack(real), np.hstack(synthetic))
    both = metrics.detectors[2]
    assert both.kid.value == pytest.approx(distances.kid(*rows, rng, permutations=1).value, rel=1e-9)
    assert both.frechet.value == pytest.approx(distances.frechet(*rows).value, rel=1e-9)
    assert both.frechet.note.startswith("Not a verdict") and "n = 12, m = 30; d = 43" in both.frechet.note
    assert (both.prdc.k, both.prdc.count, both.vendi.count) == (3, 12, 6)
    assert both.prdc.coverage_excess == pytest.approx(both.prdc.coverage - both.prdc.coverage_null)


def test_many_pairs_that_are_as_various_pass(tmp_path, rng):
    metrics = _compared(tmp_path, _features(rng, 60), _features(rng, 200))
    verdict = distribution.answer(metrics)
    assert verdict.state is State.PASS
    coverage = metrics.detectors[2].prdc.coverage
    assert f"They cover {coverage:.0%} of the real pairs" in verdict.sentence
    assert "None of the 200" in verdict.sentence


@pytest.mark.parametrize("which", [0, 1])
def test_masks_or_photographs_that_vary_too_little_fail(tmp_path, rng, which):
    synthetic = list(_features(rng, 100))
    synthetic[which] *= 0.3
    metrics = _compared(tmp_path, _features(rng, 30), tuple(synthetic))
    assert distribution.answer(metrics).state is State.FAIL
    assert metrics.detectors[which].vendi.high < 0.8 < metrics.detectors[1 - which].vendi.ratio


def test_few_patients_show_nothing_and_it_says_how_many_would(tmp_path, rng):
    synthetic = tuple(0.8 * rows for rows in _features(rng, 100))
    verdict = distribution.answer(_compared(tmp_path, _features(rng, 6), synthetic))
    assert verdict.state is State.CANNOT_TELL
    assert verdict.needed.startswith("More real patients: here are 6; about ")


def test_masks_that_repeat_fail_under_other_images(tmp_path, rng):
    trees, images = _features(rng, 200)
    verdict = distribution.answer(_compared(tmp_path, _features(rng, 30), (trees[np.arange(200) % 20], images)))
    assert verdict.state is State.FAIL
    assert "100% of the 200 masks repeat another, as if chosen from 22 different ones" in verdict.sentence


def test_two_synthetic_pairs_have_no_verdict(tmp_path, rng):
    metrics = _compared(tmp_path, _features(rng, 8), _features(rng, 2))
    assert metrics.detectors[0].kid is None and metrics.detectors[0].prdc is None
    verdict = distribution.answer(metrics)
    assert verdict.state is State.CANNOT_TELL
    assert json.loads(metrics.model_dump_json())["detectors"][0]["vendi"]["ratio"] is None


def test_pairs_are_measured(tmp_path, rng):
    real, synthetic = (rng.integers(1, 256, (count, 32, 32, 3), np.uint8) for count in (4, 5))
    found = distribution.evaluate(
        EvaluationContext(_pairs(synthetic, "s"), _pairs(real, "r"), None, Cache(tmp_path), QUICK)
    )
    # empty masks have three metrics, and twelve that are missing everywhere
    assert [one.features for one in found.metrics.detectors] == [15 + 12, 28, 43 + 12]
    assert [verdict.question for verdict in found.verdicts] == ["diversity"]


def test_dispersion_is_that_of_the_histograms(tmp_path):
    dark, light = (np.full((count, 8, 8, 3), level, np.uint8) for count, level in ((3, 5), (4, 200)))
    context = EvaluationContext(_pairs(dark, "s"), _pairs(light, "r", list("aabb")), None, Cache(tmp_path), QUICK)
    found = dispersion.evaluate(context)
    low = dispersion.SMOOTHING / dispersion.BINS
    apart = (1 - dispersion.SMOOTHING) * math.log((1 - dispersion.SMOOTHING + low) / low)
    assert found.verdicts == () and found.metrics.label == "blind to structure"
    assert [one.name for one in found.metrics.divergences][0] == "real_to_synthetic"
    assert found.metrics.divergences[0].value == pytest.approx(apart, rel=1e-12)
    assert (found.metrics.real_photographs, found.metrics.real_patients) == (4, 2)
    assert found.real[:, 50].tolist() == [1, 1, 1]


def test_what_was_compared(tmp_path):
    sets = [np.full((count, 4, 4, 3), level, np.uint8) for count, level in ((2, 1), (4, 2), (2, 3))]
    synthetic, train = _pairs(sets[0], "s"), _pairs(sets[1], "r", list("bbaa"))
    holdout = _pairs(sets[2], "h", ["c", "c"])
    metrics = evaluator.compare_sets(
        EvaluationContext(synthetic, train, holdout, Cache(tmp_path), run=tmp_path)
    ).metrics
    assert metrics.set.sha256 == synthetic.fingerprint
    assert (metrics.set.pairs, metrics.set.size, metrics.set.patients) == (2, 4, 0)
    assert (metrics.train.pairs, metrics.train.patients, metrics.train.names) == (4, 2, ("a", "b"))
    assert (metrics.holdout.names, metrics.other, metrics.shared_patients) == (("c",), None, ())
    assert (metrics.run, metrics.artifact, metrics.model_sha256) == (True, False, None)


def test_the_facts_of_a_set_are_those_of_its_card(tiny_artifact, tmp_path):
    from synthmed_tf.evaluation.pairs import SyntheticSet
    from synthmed_tf.exporting.artifact import open_artifact
    from synthmed_tf.generation import synthesis

    opened = open_artifact(tiny_artifact, "onnx")
    synthesis.generate_set(opened, tmp_path / "set", 3, seed=4)
    train = _pairs(np.zeros((2, 32, 32, 3), np.uint8), "r")
    metrics = evaluator.compare_sets(
        EvaluationContext(SyntheticSet(tmp_path / "set"), train, None, Cache(tmp_path))
    ).metrics
    assert (metrics.seed, metrics.license, metrics.model_sha256) == (4, "CC BY 4.0", opened.model_sha256)
    assert metrics.data["stage1"]["patients"] == 3
