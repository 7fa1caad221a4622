"""What geometry and diversity say of phantoms that are like real ones, and of those that are not.

Half of the phantoms play the real patients, the others the synthetic set. Each is measured once.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from synthmed_tf.data import phantom
from synthmed_tf.evaluation import distribution, features, geometry
from synthmed_tf.evaluation.context import QUICK, Cache, EvaluationContext
from synthmed_tf.evaluation.pairs import ArrayPairs, Block
from synthmed_tf.evaluation.verdict import State

pytestmark = pytest.mark.once

SIZE, SEED = 128, 23
REAL, OTHERS = np.arange(18), np.arange(18, 30)


@dataclass(frozen=True)
class Eyes:
    """Phantoms and their metrics, by their numbers."""

    pairs: ArrayPairs
    trees: np.ndarray
    images: np.ndarray

    def context(self, real, synthetic):
        """Phantoms by their numbers, some more than once, as the real and the synthetic set."""
        parts = [ArrayPairs(self.pairs.read(rows), [f"{i}" for i in range(len(rows))]) for rows in (synthetic, real)]
        return EvaluationContext(*parts, None, self.cache, QUICK)

    def geometry(self, real, synthetic):
        metrics = geometry.compare(self.context(real, synthetic), self.trees[real], self.trees[synthetic], None)
        return geometry.answer(metrics)

    def diversity(self, real, synthetic):
        measured = [(self.trees[rows], self.images[rows]) for rows in (real, synthetic)]
        return distribution.answer(distribution.compare(self.context(real, synthetic), *measured))

    @property
    def cache(self):
        return Cache("unused")  # no file is made before something is measured


def _generated(count, masks=None):
    samples = phantom.generate_phantoms(SIZE, count, SEED)
    block = Block(
        np.stack([sample.image for sample in samples]),
        np.stack([sample.mask[..., 0] >= 128 for sample in samples]) if masks is None else masks,
        np.stack([sample.fov[..., 0] >= 128 for sample in samples]),
    )
    return ArrayPairs(block, [sample.name for sample in samples])


def _measured(pairs, folder):
    context = EvaluationContext(pairs, pairs, None, Cache(folder))
    return Eyes(pairs, features.trees(context, pairs), features.images(context, pairs))


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    """36 phantoms. Not to be changed."""
    return _measured(_generated(36), tmp_path_factory.mktemp("eyes"))


def _against(eyes, tmp_path, masks):
    """The geometry of the first 18 phantoms as real ones, and of others with these masks as synthetic ones."""
    block = eyes.pairs.read(OTHERS)
    changed = ArrayPairs(Block(block.images, masks, block.fields), [str(i) for i in OTHERS])
    trees = features.trees(EvaluationContext(changed, changed, None, Cache(tmp_path)), changed)
    return geometry.answer(geometry.compare(eyes.context(REAL, OTHERS), eyes.trees[REAL], trees, None))


def test_other_phantoms_of_one_kind_do_not_fail(eyes):
    rng = np.random.default_rng(0)
    for _ in range(3):
        order = rng.permutation(36)
        assert eyes.geometry(order[:12], order[12:]).state is not State.FAIL
        assert eyes.diversity(order[:12], order[12:]).state is not State.FAIL


def test_vessels_that_are_too_wide_fail_by_their_calibre(eyes, tmp_path):
    masks = []
    for index in OTHERS:
        vessels = phantom.resolved(phantom.generate_eye(SEED, index)[1], SIZE)
        wider = [replace(vessel, radii=1.3 * np.maximum(vessel.radii, 0.5 / SIZE)) for vessel in vessels]
        masks.append(phantom.rasterise(wider, SIZE)[0] > 0)
    verdict = _against(eyes, tmp_path, np.stack(masks))
    assert verdict.state is State.FAIL
    assert "mean calibre" in verdict.sentence


def test_broken_vessels_fail_by_their_components(eyes, tmp_path):
    rng, masks = np.random.default_rng(0), eyes.pairs.read(OTHERS).masks.copy()
    for mask in masks:
        for row, column in rng.permutation(np.argwhere(mask))[:25]:
            mask[max(0, row - 3) : row + 4, max(0, column - 3) : column + 4] = False
    verdict = _against(eyes, tmp_path, masks)
    assert verdict.state is State.FAIL
    assert "components (separate pieces)" in verdict.sentence


def test_ten_images_fifty_times_fail_by_their_number(eyes):
    verdict = eyes.diversity(REAL, np.repeat(OTHERS[:10], 50))
    assert verdict.state is State.FAIL
    assert "100% of the 500" in verdict.sentence and "chosen from 10 different ones (10 to 10)" in verdict.sentence


def test_ten_images_fifty_times_fail_against_eight_patients(eyes):
    assert eyes.diversity(REAL[:8], np.repeat(OTHERS[:10], 50)).state is State.FAIL


def test_a_set_that_is_like_its_mean_fails_by_its_variety(eyes):
    others = np.arange(18, 36)
    measured = [(eyes.trees[rows], eyes.images[rows]) for rows in (REAL, others)]
    measured[1] = tuple(rows.mean(axis=0) + 0.3 * (rows - rows.mean(axis=0)) for rows in measured[1])
    verdict = distribution.answer(distribution.compare(eyes.context(REAL, others), *measured))
    assert verdict.state is State.FAIL
    assert "None of the 18" in verdict.sentence


@pytest.mark.slow
def test_real_against_real_fails_in_one_case_out_of_twenty_at_most(tmp_path):
    eyes, rng, failed = _measured(_generated(160), tmp_path), np.random.default_rng(1), np.zeros(2)
    for _ in range(200):
        order = rng.permutation(160)
        verdicts = (answer(order[:20], order[20:80]) for answer in (eyes.geometry, eyes.diversity))
        failed += [verdict.state is State.FAIL for verdict in verdicts]
    assert (failed <= 10).all(), failed
