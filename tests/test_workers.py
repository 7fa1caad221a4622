"""Two processes on this machine that train together, as two machines would."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from synthmed_tf import snapshot

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = ["stage1", "--preset=recommended", "--size=32", "--data=phantom", "--strategy=multi_worker"]
OPTIONS += ["--set=stage1.batch_size=4", "--set=stage1.steps=2", "--set=stage1.filters=4", "--set=steps_per_loop=2"]
OPTIONS += ["--set=stage1.discriminator_filters=4", "--set=stage1.latent_dim=8"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_two_workers_train_and_only_the_chief_writes(tmp_path):
    cluster = {"worker": [f"127.0.0.1:{_free_port()}" for _ in range(2)]}
    workers = []
    for index in range(2):
        task = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        environment = os.environ | {"TF_CONFIG": task, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(ROOT / "train.py"), *OPTIONS, f"--run={tmp_path / 'run'}"]
        workers.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    said = [worker.communicate(timeout=300)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    assert snapshot.load(tmp_path / "run" / "stage1" / "snapshot").step == 2
    lines = (tmp_path / "run" / "stage1" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2]
