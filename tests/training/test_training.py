"""Whole runs: resuming, stopping, refusing, and what they leave behind."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from helpers.paths import ENVIRONMENT
from helpers.steps import without_last_checkpoint

from synthmed_tf import images
from synthmed_tf.config.schema import load_config
from synthmed_tf.data.dataset import Dataset, load_dataset
from synthmed_tf.errors import SynthMedError
from synthmed_tf.models.image_gan import UpBlock
from synthmed_tf.training import run, snapshot, snapshots
from synthmed_tf.training.sampling import mask_latents
from synthmed_tf.training.stages import MaskStage
from synthmed_tf.training.strategy import check_combination

SMALL = ("size=32", "stage1.latent_dim=8", "stage1.batch_size=4", "stage2.batch_size=4", "steps_per_loop=2")
SMALL += ("stage1.filters=4", "stage1.discriminator_filters=4", "stage2.filters=4", "stage2.discriminator_filters=4")


def _config(preset="gan", steps=4, **changes):
    overrides = (f"stage1.steps={steps}", f"stage2.steps={steps}", "save_every=2", "image_every=4")
    overrides += tuple(f"{name.replace('__', '.')}={value}" for name, value in changes.items())
    return load_config(preset, overrides=(*SMALL, *overrides))


def _train(folder, config, stages=run.GANS):
    lines = []
    run.train(config, "phantom", folder, stages, lines.append)
    return lines


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    _train(folder, _config(steps=4))
    return folder


def _make_layers_until_names_grow():
    """So that the next three decoder levels sort in another order than they are made in: 10 comes before 8 and 9."""
    while not re.fullmatch("up_block_9*7", UpBlock(4, "none", "nearest", 0.0, styled=False).name):
        pass


@pytest.mark.parametrize("stage", run.GANS)
def test_a_resumed_run_ends_with_the_same_bits(stage, whole_run, tmp_path):
    _make_layers_until_names_grow()
    resumed = without_last_checkpoint(whole_run, tmp_path / "resumed", 4)
    _train(resumed, _config(steps=4), (stage,))
    there, here = (tf.train.load_checkpoint(str(f / stage / "checkpoints")) for f in (whole_run, resumed))
    names = [name for name in there.get_variable_to_shape_map() if "save_counter" not in name]
    names = [name for name in names if name != "_CHECKPOINTABLE_OBJECT_GRAPH"]
    assert len(names) > 50
    apart = {name: np.max(np.abs(here.get_tensor(name) - there.get_tensor(name))) for name in names}
    assert {name: difference for name, difference in apart.items() if difference} == {}
    one, other = (snapshot.load(f / stage / "snapshot") for f in (whole_run, resumed))
    assert one.threshold == other.threshold
    for a, b in zip(one.weights, other.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_leaves_metrics_images_and_snapshots(whole_run):
    for stage in run.GANS:
        lines = [json.loads(line) for line in (whole_run / stage / "metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines] == [2, 4]
        assert {"generator/loss", "discriminator/loss", "rate/generator", "images_per_second"} <= set(lines[0])
        assert sorted(p.name for p in (whole_run / stage / "samples").iterdir()) == ["00000000.png", "00000004.png"]
        assert list((whole_run / stage / "tensorboard").glob("events.out.tfevents.*"))
        assert snapshot.load(whole_run / stage / "snapshot").step == 4
    assert images.read_image(whole_run / "stage1/samples/00000004.png").shape == (3 * 34 + 2, 8 * 34 + 2, 3)
    facts = json.loads((whole_run / "data.json").read_text())
    assert facts["layout"] == "phantom" and facts["pairs"] == 58 and len(facts["validation_patients"]) == 6


def test_a_finished_run_says_so_and_changes_nothing(whole_run):
    before = (whole_run / "stage1" / "metrics.jsonl").read_bytes()
    lines = _train(whole_run, _config(steps=4))
    assert lines[1:] == ["stage1: 4 of 4 steps are done", "stage2: 4 of 4 steps are done"]
    assert (whole_run / "stage1" / "metrics.jsonl").read_bytes() == before


@pytest.mark.once
def test_a_snapshot_that_a_kill_left_behind_its_checkpoint_is_made_again(whole_run, tmp_path):
    shutil.copytree(whole_run, tmp_path / "run")
    folder = tmp_path / "run" / "stage2" / "snapshot"
    facts = json.loads((folder / "snapshot.json").read_text())
    (folder / "snapshot.json").write_text(json.dumps(facts | {"step": 2}))
    _train(tmp_path / "run", _config(steps=4), ("stage2",))
    assert snapshot.load(folder).step == 4


def test_another_configuration_is_refused_with_the_difference(whole_run):
    with pytest.raises(SynthMedError, match=r"begun with seed = 0, and now it is 7"):
        _train(whole_run, _config(steps=4, seed=7))
    with pytest.raises(SynthMedError, match=r"stage2.l1_weight = 100.0, and now it is 5.0"):
        _train(whole_run, _config(steps=4, stage2__l1_weight=5))


@pytest.mark.once
def test_another_configuration_goes_on_if_told_to_and_is_recorded(tmp_path):
    lines = []
    run.train(_config(steps=2), "phantom", tmp_path, ("stage1",), lines.append)
    changed = _config(steps=4, stage1__r1_gamma=5)
    run.train(changed, "phantom", tmp_path, ("stage1",), lines.append, override_config=True)
    (entry,) = [json.loads(line) for line in (tmp_path / "overrides.jsonl").read_text().splitlines()]
    assert entry == {
        "steps": {"stage1": 2, "stage2": 0, "segmenter": 0, "stage1_fine": 0, "stage2_fine": 0},
        "changes": {"stage1.r1_gamma": [2.0, 5.0]},
    }
    assert snapshot.load(tmp_path / "stage1" / "snapshot").config.stage1.r1_gamma == 5
    with pytest.raises(SynthMedError, match="is of other networks than the configuration's"):
        run.train(
            _config(steps=6, stage1__filters=8), "phantom", tmp_path, ("stage1",), lines.append, override_config=True
        )


def test_other_data_is_refused(whole_run):
    facts = json.loads((whole_run / "data.json").read_text())
    other = Dataset(np.zeros((1, 32, 32, 5), np.uint8), facts | {"sha256": "0", "source": "elsewhere", "pairs": 1})
    with pytest.raises(SynthMedError, match=r"other data \(phantom, 58 pairs; now elsewhere, 1 pairs\)"):
        run._check_same_data(whole_run, other)


def test_a_batch_that_replicas_cannot_share_is_refused(two_replicas):
    with pytest.raises(SynthMedError, match="stage1.batch_size is 3, which 2 replicas"):
        check_combination(two_replicas, _config(stage1__batch_size=3), "stage1")


@pytest.mark.once
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(tmp_path):
    _train(tmp_path, _config(steps=2), ("stage2",))
    saved = json.loads((tmp_path / "config.json").read_text())
    saved["stage2"]["l1_weight"] = 1e38
    (tmp_path / "config.json").write_text(json.dumps(saved))
    with pytest.raises(SynthMedError, match="is not finite; the last good checkpoint"):
        _train(tmp_path, _config(steps=4, stage2__l1_weight=1e38), ("stage2",))
    assert snapshot.load(tmp_path / "stage2" / "snapshot").step == 2


def test_the_threshold_gives_generated_vessels_the_share_of_the_training_masks():
    config = _config()
    dataset = load_dataset("phantom", config)
    stage = MaskStage(config, dataset.fov / 255.0)
    threshold = snapshots.calibrate(stage, config, dataset)
    inside = dataset.fov[..., 0] >= 128
    generated = stage.generator_ema(mask_latents(config, 0, 256)).numpy()[:, inside]
    np.testing.assert_allclose(np.mean(generated > threshold), dataset.vessel_share, atol=1e-4)
    assert snapshots.calibrate(stage, _config("paper", stage1__calibrate=False), dataset) == 0.0


def _command(folder: Path, steps: int) -> list[str]:
    options = [
        f"--override={part}" for part in (*SMALL, f"stage1.steps={steps}", "save_every=1000", "image_every=1000")
    ]
    command = [sys.executable, "-m", "synthmed_tf", "train", "stage1", "--preset=gan", "--data=phantom"]
    return [*command, f"--run={folder}", *options]


@pytest.mark.once
@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_a_signal_saves_and_the_same_command_goes_on(number, tmp_path):
    environment = ENVIRONMENT
    process = subprocess.Popen(_command(tmp_path, 100_000), stderr=subprocess.PIPE, text=True, env=environment)
    metrics = tmp_path / "stage1" / "metrics.jsonl"
    deadline = time.monotonic() + 240
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.2)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 128 + number, said
    step = snapshot.load(tmp_path / "stage1" / "snapshot").step
    assert f"stopped at step {step} of 100000" in said and "Traceback" not in said
    again = subprocess.run(_command(tmp_path, step + 2), capture_output=True, text=True, env=environment, timeout=240)
    assert again.returncode == 0, again.stderr
    steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
    assert steps == list(range(2, step + 3, 2))
