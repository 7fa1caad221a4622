"""Two processes on this machine that train together, as two machines would; four replicas in one."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from helpers.paths import ROOT
from helpers.steps import PLAIN, make_config, one_device, trained

from synthmed_tf.training import snapshot
from synthmed_tf.training.checkpoints import saved_steps

OPTIONS = ["stage1", "--preset=gan", "--size=32", "--data=phantom", "--strategy=multi_worker"]
OPTIONS += [
    "--override=stage1.batch_size=4",
    "--override=stage1.steps=2",
    "--override=stage1.filters=4",
    "--override=steps_per_loop=2",
]
OPTIONS += ["--override=stage1.discriminator_filters=4", "--override=stage1.latent_dim=8"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _start(run: Path, *options: str) -> list[subprocess.Popen]:
    hosts = [f"127.0.0.1:{_free_port()}" for _ in range(2)]
    return [_start_worker(index, hosts, run, *options) for index in range(2)]


def _start_worker(index: int, hosts: list[str], run: Path, *options: str, stderr=subprocess.PIPE) -> subprocess.Popen:
    task = json.dumps({"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}})
    environment = os.environ | {"TF_CONFIG": task, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "train.py"), *OPTIONS, *options, f"--run={run}"]
    return subprocess.Popen(command, env=environment, stderr=stderr, text=True)


def _wait_for_steps(run: Path, workers: list[subprocess.Popen]) -> None:
    deadline = time.monotonic() + 300
    while not saved_steps(run / "stage1" / "checkpoints") and time.monotonic() < deadline:
        assert all(worker.poll() is None for worker in workers), [w.stderr and w.stderr.read() for w in workers]
        time.sleep(0.5)


def _finish(run: Path, steps: int) -> None:
    workers = _start(run, f"--override=stage1.steps={steps}")
    said = [worker.communicate(timeout=300)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    assert snapshot.load(run / "stage1" / "snapshot").step == steps
    lines = (run / "stage1" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(2, steps + 1, 2))


@pytest.mark.slow
def test_two_workers_train_and_only_the_chief_writes(tmp_path):
    _finish(tmp_path / "run", 2)


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_a_dead_worker_ends_the_other_with_a_sentence_and_both_go_on(lost, tmp_path):
    run = tmp_path / "run"
    workers = _start(run, "--override=stage1.steps=1000000", "--override=save_every=2")
    _wait_for_steps(run, workers)
    workers[lost].kill()
    said = workers[1 - lost].communicate(timeout=400)[1]
    assert workers[1 - lost].returncode == 2, said
    assert "synthmed: Another worker ended or cannot be reached" in said and "start all workers again" in said
    assert "Traceback" not in said
    step = max(saved_steps(run / "stage1" / "checkpoints"))
    assert f"the last good checkpoint is of step {step}" in said
    _finish(run, step + 4)


def _checkpoint(run: Path) -> dict[str, np.ndarray]:
    """Each tensor of the newest checkpoint: networks, averages, optimizers and the step."""
    folder = run / "stage1" / "checkpoints"
    reader = tf.train.load_checkpoint(str(folder / f"ckpt-{max(saved_steps(folder))}"))
    names = (name for name in reader.get_variable_to_shape_map() if not name.startswith("_CHECKPOINTABLE"))
    return {name: reader.get_tensor(name) for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_a_worker_killed_and_started_again_ends_with_the_weights_of_an_undisturbed_run(lost, tmp_path):
    """As under a scheduler that starts a process again by itself."""
    run, steps = tmp_path / "run", 40
    hosts, options = [f"127.0.0.1:{_free_port()}" for _ in range(2)], (f"--override=stage1.steps={steps}",)
    options += ("--override=save_every=2",)
    with open(tmp_path / "stderr", "w") as stderr:
        workers = [_start_worker(index, hosts, run, *options, stderr=stderr) for index in range(2)]
        _wait_for_steps(run, workers)
        workers[lost].kill()
        starts, deadline = 2, time.monotonic() + 1500
        while any(worker.poll() != 0 for worker in workers):
            for index, worker in enumerate(workers):
                if worker.poll() not in (None, 0):
                    workers[index] = _start_worker(index, hosts, run, *options, stderr=stderr)
                    starts += 1
            assert time.monotonic() < deadline and starts < 40, (tmp_path / "stderr").read_text()[-4000:]
            time.sleep(1)
    assert starts >= 4  # the one that was killed, and the other, which ended with a sentence
    undisturbed = _start(tmp_path / "undisturbed", *options)
    said = [worker.communicate(timeout=1000)[1] for worker in undisturbed]
    assert [worker.returncode for worker in undisturbed] == [0, 0], said
    found, expected = _checkpoint(run), _checkpoint(tmp_path / "undisturbed")
    assert found.keys() == expected.keys() and len(found) > 50
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor, err_msg=name)


@pytest.mark.slow
def test_a_signal_to_one_worker_stops_both_at_one_step(tmp_path):
    run = tmp_path / "run"
    workers = _start(run, "--override=stage1.steps=1000000", "--override=save_every=2")
    _wait_for_steps(run, workers)
    workers[1].send_signal(signal.SIGTERM)
    said = [worker.communicate(timeout=300)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [143, 143], said
    step = snapshot.load(run / "stage1" / "snapshot").step
    assert all(f"stopped at step {step} of 1000000" in lines for lines in said)


FOUR = """
import json, sys
import numpy as np
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4)
from helpers.steps import PLAIN, assert_equal_on_replicas, make_config, trained
strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(4)])
step, terms = trained(sys.argv[1], make_config("gan", *PLAIN, f"{sys.argv[1]}.batch_size=16"), strategy, 2)
print(json.dumps([assert_equal_on_replicas(step, strategy), terms]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stage1", "stage2"])
def test_four_replicas_with_a_quarter_of_the_batch_are_one_with_the_whole(name):
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    ran = subprocess.run(
        [sys.executable, "-c", FOUR, name], env=environment, capture_output=True, text=True, timeout=500
    )
    assert ran.returncode == 0, ran.stderr
    count, terms = json.loads(ran.stdout.splitlines()[-1])
    _, expected = trained(name, make_config("gan", *PLAIN, f"{name}.batch_size=16"), one_device(), 2)
    assert count > 20
    for term, value in expected.items():
        np.testing.assert_allclose(terms[term], value, rtol=2e-3, err_msg=term)
