"""Attacks, distances and the control: planted leaks, honest sets, and values by hand."""

import numpy as np
import pytest
import tensorflow as tf
from helpers import tiny

from synthmed_tf.errors import SynthMedError
from synthmed_tf.evaluation import membership, membership_audit, network_attacks
from synthmed_tf.evaluation.nearest_neighbours import vector_distances
from synthmed_tf.evaluation.pairs import Block
from synthmed_tf.evaluation.privacy_results import Attack, Control
from synthmed_tf.evaluation.verdict import State
from synthmed_tf.exporting.artifact import open_artifact
from synthmed_tf.models import factory, layers
from synthmed_tf.training.checkpoints import Checkpoints

QUIET = Control(auc=0.5, p=0.6, fired=False)


def _attack(auc, members=20, others=8, p=0.5, name="an attack"):
    low, high = membership.auc_interval(auc, members, others)
    rates = dict.fromkeys(("fpr", "fpr_low", "fpr_high", "tpr", "tpr_low", "tpr_high"), 0.0)
    return Attack(name=name, members=members, others=others, auc=auc, auc_low=low, auc_high=high, p=p, **rates)


def _leaks(*found):
    return membership.leaks(*membership.adjusted(found, ()))


def _leaky(rng, bandwidth, members=20, others=8, synthetic=200, features=6):
    """Records of train and holdout, and synthetic ones sampled from a kernel density estimate of train."""
    records = rng.normal(size=(members + others, features))
    centres = records[rng.integers(0, members, synthetic)]
    return records, centres + bandwidth * rng.normal(size=centres.shape), np.arange(members + others) < members


def _attacked(rng, records, synthetic, member):
    patients = np.arange(len(records)).astype(str)
    to_synthetic = vector_distances(records, synthetic)
    scores = dict(membership.distance_scores("mask", to_synthetic, None))
    among = vector_distances(records[~member], records[member])
    near = membership.nearness("mask", to_synthetic.T, among, member, patients, rng, 999)
    return membership.adjusted(membership.attack_all(scores, member, patients, rng), [near])


def test_an_attack_without_a_reference_is_not_calibrated():
    distances = np.ones((3, 2))
    names = [name for name, _ in membership.distance_scores("mask", distances, None)]
    assert names == ["nearest mask", "masks nearby (Monte Carlo)"]
    [*_, (name, score)] = membership.distance_scores("mask", distances, np.full((3, 4), 3.0))
    assert name == "nearest mask, calibrated"
    np.testing.assert_array_equal(score, [2, 2, 2])


def test_the_curve_by_hand():
    curve = membership.roc(np.array([3.0, 1, 2, 0]), np.array([True, True, False, False]), np.array(list("abcd")))
    np.testing.assert_array_equal(curve[0], [0, 0, 0.5, 0.5, 1])
    np.testing.assert_array_equal(curve[1], [0, 0.5, 0.5, 1, 1])


def test_a_leak_of_shrinking_bandwidth_is_found_ever_more_surely():
    areas = []
    for bandwidth in (2.0, 0.8, 0.4, 0.1):
        found = []
        for seed in range(10):
            records, synthetic, member = _leaky(np.random.default_rng(seed), bandwidth, 100, 100, 500)
            score = membership.nearest_score(vector_distances(records, synthetic))
            found.append(membership.auc(score[member], score[~member]))
        areas.append(np.mean(found))
    assert areas == sorted(areas)
    assert areas[0] == pytest.approx(0.5, abs=0.05) and areas[-1] > 0.95


def test_the_training_set_itself_is_far_too_near():
    rng = np.random.default_rng(0)
    records, _, member = _leaky(rng, 0.0)
    _, [near] = _attacked(rng, records, records[member], member)
    # all 20 distances are 0: U = 0, and Z = (1/2 - 80) / sqrt(160 * 29 / 12)
    assert near.z == pytest.approx(-79.5 / np.sqrt(160 * 29 / 12))
    assert near.z < membership.FAR_BELOW and near.p == 0.001


def test_of_each_unseen_patient_one_image_counts_for_the_copying_test():
    member = np.array([True, True, False, False, False])
    patients = np.array(["a", "b", "c", "c", "d"])
    among = np.array([[5.0, 6.0], [0.1, 0.1], [7.0, 8.0]])
    near = membership.nearness("mask", np.full((2, 5), 6.0), among, member, patients, np.random.default_rng(0), 1)
    # 6 and 6 against 5 and 7: two of four pairs, so (2 - 2 + 1/2) / sqrt(4 * 5 / 12)
    assert near.z == pytest.approx(0.5 / np.sqrt(20 / 12))


def test_a_weak_leak_among_20_and_8_patients_cannot_be_told():
    states = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        found = membership_audit.answer(*_attacked(rng, *_leaky(rng, 2.0)), QUIET)
        states.append(found.state)
        if found.state is State.CANNOT_TELL:
            assert "8 unseen patients: a leak below an AUC of 0.78 would usually be missed" in found.needed
    assert State.PASS not in states
    assert states.count(State.CANNOT_TELL) >= 10


def test_a_strong_leak_among_20_and_8_patients_fails():
    rng = np.random.default_rng(0)
    found = membership_audit.answer(*_attacked(rng, *_leaky(rng, 0.05)), QUIET)
    assert found.state is State.FAIL
    assert "nearest mask has an AUC of 1.00" in found.sentence and "C_T = -" in found.sentence


def test_no_luck_passes_where_a_leak_would_be_missed():
    assert membership.state([_attack(0.3)], []) is State.CANNOT_TELL
    assert _attack(0.3).auc_high < 0.6


def test_many_patients_pass_where_all_intervals_are_within_the_limit():
    good, wide = _attack(0.51, 500, 500), _attack(0.58, 500, 500)
    assert membership.state([good], []) is State.PASS
    assert membership.state([good, wide], []) is State.CANNOT_TELL
    assert membership.state([], []) is State.CANNOT_TELL


def test_an_attack_leaks_only_after_correction_and_beyond_the_limit():
    others = [_attack(0.5, name=str(i)) for i in range(9)]
    assert _leaks(_attack(0.9, p=0.001, name="strong"), *others) == ("strong",)
    assert _leaks(_attack(0.9, p=0.006), *others) == ()  # ten attacks: 0.06
    assert _leaks(_attack(0.53, 5000, 5000, p=0.0001)) == ()  # above chance, but wholly within the limit


def test_the_control_finds_another_camera():
    rng = np.random.default_rng(0)
    features, patients = rng.normal(size=(56, 29)), np.repeat(np.arange(28), 2).astype(str)
    member = np.repeat(np.arange(28) < 20, 2)
    other = membership.control(features + 2.0 * ~member[:, None] * (np.arange(29) < 5), member, patients, rng, 999)
    assert other.fired and other.auc > 0.95 and other.p == 0.001


def test_the_control_seldom_fires_where_nothing_differs():
    rng, patients = np.random.default_rng(1), np.repeat(np.arange(28), 2)
    fired = []
    for _ in range(150):
        features = np.repeat(rng.normal(size=(28, 29)), 2, axis=0) + 0.3 * rng.normal(size=(56, 29))
        fired.append(membership.control(features, patients < 20, patients, rng, 99).fired)
    assert np.mean(fired) == pytest.approx(0.05, abs=0.035)


def test_the_control_leaves_each_patient_out():
    rng = np.random.default_rng(2)
    features, member = rng.normal(size=(9, 3)), np.arange(9) < 5
    expected = []
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    for row in range(9):
        rest = np.arange(9) != row
        columns = np.column_stack([np.ones(9), scaled])
        penalty = np.diag([0.0, 9, 9, 9])
        weights = np.linalg.solve(
            columns[rest].T @ columns[rest] + penalty, columns[rest].T @ member[rest].astype(float)
        )
        expected.append(columns[row] @ weights)
    expected = np.array(expected)
    found = membership.control(features, member, np.arange(9), rng, 9)
    assert found.auc == membership.auc(expected[member], expected[~member])


def test_a_control_that_fires_makes_the_test_invalid_and_not_a_failure():
    rng = np.random.default_rng(0)
    control = Control(auc=0.97, p=0.001, fired=True)
    found = membership_audit.answer(*_attacked(rng, *_leaky(rng, 0.05)), control)
    assert (found.state, found.invalid) == (State.CANNOT_TELL, True)
    assert "AUC 0.97" in found.sentence


def test_without_a_holdout_it_is_said_what_is_needed():
    found = membership_audit.without_holdout(20)
    assert found.state is State.CANNOT_TELL and "as many as in train (20)" in found.needed
    assert "0.72" in found.needed  # detectable with 20 and 20
    more = 1 + membership.more_others(0.6, 200, 1)
    assert f"about {more}" in membership_audit.without_holdout(200).needed


@pytest.fixture(scope="module")
def tiny_block():
    rng = np.random.default_rng(0)
    fields = np.repeat(tiny.FOV[None, ..., 0] == 255, 3, axis=0)
    images = rng.integers(0, 256, (3, tiny.SIZE, tiny.SIZE, 3), np.uint8) * fields[..., None]
    return Block(images, (rng.random(fields.shape) < 0.1) & fields, fields)


@pytest.mark.parametrize("preset", ["paper", "gan"])
def test_the_discriminators_of_a_run_give_the_logits_of_training(preset, tiny_block, tmp_path):
    config = tiny.make_config(preset)
    (tmp_path / "config.json").write_text(config.model_dump_json())
    block = tiny_block
    masks = np.where(block.masks, 1.0, -1.0).astype(np.float32)[..., None]
    fields = np.where(block.fields, 1.0, -1.0).astype(np.float32)[..., None]
    condition = np.concatenate([masks, fields], axis=-1) if config.stage2.use_fov else masks
    images = block.images.astype(np.float32) / 127.5 - 1
    for stage, make, inputs in (
        ("stage1", factory.mask_discriminator, (masks,)),
        ("stage2", factory.image_discriminator, (condition, images)),
    ):
        model = make(config)
        Checkpoints({"discriminator": layers.plain_variables(model)}, tmp_path / stage, tmp_path / stage, print).save(7)
        expected = []
        for row in range(3):
            said = model(*(part[row : row + 1] for part in inputs))
            expected.append(np.mean(said[0] if stage == "stage2" else said))
        np.testing.assert_allclose(network_attacks.logits(tmp_path, stage, block), expected, rtol=1e-4, atol=1e-5)


def test_the_velocities_of_a_pyramid_are_scored_less_what_detail_explains(tiny_block, tmp_path):
    config = tiny.make_config("recommended")
    (tmp_path / "config.json").write_text(config.model_dump_json())
    model = factory.image_generator(config)
    state = {"network_ema": layers.plain_variables(model)}
    Checkpoints(state, tmp_path / "stage2", tmp_path / "stage2", print).save(7)
    inside = tiny_block.fields[..., None]
    # More contrast from one to the next, so that a line does not explain the loss.
    images = (tiny_block.images * np.array([0.1, 0.4, 1.0])[:, None, None, None]).astype(np.uint8)
    light = np.where(inside, images, 0).astype(np.float32) / 127.5
    sums, shares = (part.reshape(3, 8, 4, 8, 4, -1).mean(axis=(2, 4)) for part in (light, inside.astype(np.float32)))
    seen = shares > 0
    small = np.where(seen, sums / np.maximum(shares, 1e-6), 0) - 1
    below, weights = (tf.image.resize(part, (32, 32)).numpy() for part in (sums, shares))
    detail = 8 * (light - below / np.maximum(weights, 1e-6)) * inside
    scores = []
    for target, where in ((2 * small, seen), (detail, inside)):
        # An untrained network's velocity is 0, so that the loss is the mean square of target minus noise.
        rng = np.random.default_rng(5)
        noise = rng.standard_normal((9, 1, *target.shape[1:]))
        pixels = where.sum(axis=(1, 2, 3))
        loss = np.log((((target - noise) ** 2) * where).sum(axis=(2, 3, 4)).mean(axis=0) / pixels)
        square = np.log((target**2 * where).sum(axis=(1, 2, 3)) / pixels)
        scores.append(np.polyval(np.polyfit(square, loss, 1), square) - loss)
    found = network_attacks.velocities(tmp_path, Block(images, tiny_block.masks, tiny_block.fields), 5)
    np.testing.assert_allclose(found, np.mean(scores, axis=0), atol=2e-4)
    assert np.abs(found).max() > 5e-3


def test_a_run_without_checkpoints_is_named(tiny_block, tmp_path):
    with pytest.raises(SynthMedError, match="config.json cannot be read"):
        network_attacks.logits(tmp_path, "stage1", tiny_block)
    (tmp_path / "config.json").write_text(tiny.make_config("gan").model_dump_json())
    with pytest.raises(SynthMedError, match="holds no checkpoint"):
        network_attacks.logits(tmp_path, "stage1", tiny_block)


def test_a_run_of_another_size_is_named(tmp_path):
    (tmp_path / "config.json").write_text(tiny.make_config("gan").model_dump_json())
    block = Block(np.zeros((1, 64, 64, 3), np.uint8), np.zeros((1, 64, 64), bool), np.ones((1, 64, 64), bool))
    with pytest.raises(SynthMedError, match="is of 32 pixels, but the set has 64"):
        network_attacks.logits(tmp_path, "stage1", block)


def test_reconstruction_scores_own_masks_less_what_other_masks_explain(tiny_artifact, tiny_block):
    model = open_artifact(tiny_artifact, "savedmodel")
    masks = np.where(tiny_block.masks, np.uint8(255), np.uint8(0))[..., None]
    styles = [
        model.translate(masks, np.full(3, 5), np.arange(3) * network_attacks.STYLES + style)
        for style in range(network_attacks.STYLES)
    ]
    # The first is almost one of the model's own images, the second half as bright, the third what it is.
    images = np.stack([np.maximum(styles[3][0], 1) - 1, tiny_block.images[1] // 2, tiny_block.images[2]])
    nearest = np.empty((3, 3))
    for row in range(3):
        for column in range(3):
            both = tiny_block.fields[row] & styles[0][column].any(axis=-1)
            away = [np.abs(images[row] - image[column].astype(float))[both].mean() for image in styles]
            nearest[row, column] = min(away)
    own, others = np.diag(nearest), np.median(nearest[[[0, 0], [1, 1], [2, 2]], [[1, 2], [0, 2], [0, 1]]], axis=1)
    slope, start = np.polyfit(np.log(others), np.log(own), 1)
    found = network_attacks.reconstruction(tiny_artifact, Block(images, tiny_block.masks, tiny_block.fields), 5)
    np.testing.assert_allclose(found, slope * np.log(others) + start - np.log(own), atol=1e-4)
    assert np.abs(found).max() > 0.1
