"""Sets on clusters whose machines die: every file is that of one process. `.ci/cluster` runs this."""

import importlib.util
import json
import shutil
import subprocess
import sys
import time

import pytest
from helpers.clusters import cluster, wait_for
from helpers.paths import ENVIRONMENT

from synthmed_tf.generation.verification import verify

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]
SHARDS, PAIRS = 40, 2000
PLAN = ("-n", str(PAIRS), "--seed", "3", "--format", "tfrecord", "--shards", str(SHARDS))


def _done(*arguments):
    subprocess.run([sys.executable, "-m", "synthmed_tf", *map(str, arguments)], env=ENVIRONMENT, check=True)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """A model of 128 pixels, trained for a few steps."""
    folder = tmp_path_factory.mktemp("trained")
    few = [f"--override={setting}" for setting in ("size=128", "stage1.steps=5", "stage2.steps=5")]
    _done("train", "--preset", "demo", "--data", "phantom", "--run", folder / "run", *few)
    _done("export", "--run", folder / "run", "--out", folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def alone(artifact, tmp_path_factory):
    """The set as one process generates it, and how many seconds it took."""
    out = tmp_path_factory.mktemp("alone") / "set"
    start = time.monotonic()
    _done("generate", "--model", artifact, *PLAN, "--out", out)
    return out, time.monotonic() - start


@pytest.mark.parametrize("engine", ["ray", "spark"])
def test_a_set_outlives_a_worker_and_the_driver(engine, artifact, alone, tmp_path):
    if importlib.util.find_spec({"spark": "pyspark"}.get(engine, engine)) is None:
        pytest.skip(f"the extra [{engine}] is not installed")
    if engine == "spark" and shutil.which("java") is None:
        pytest.skip("there is no Java runtime")
    (single, seconds), out = alone, tmp_path / "set"
    command = ("--model", str(artifact), *PLAN, "--out", str(out))
    with cluster(engine, artifact) as machines:
        start = time.monotonic()
        first = machines.generate("driver1", *command)
        wait_for(lambda: _whole(out) >= 5 or first.poll() is not None)
        machines.kill("worker1")
        at_loss = _whole(out)
        machines.add_worker(3)
        wait_for(lambda: _whole(out) >= 16 or first.poll() is not None)
        assert first.poll() is None, machines.said("driver1")
        machines.kill("driver1")
        at_stop = _whole(out)
        second = machines.generate("driver2", *command)
        assert second.wait() == 0, machines.said("driver2")
        took = time.monotonic() - start
        said, openings = machines.said("driver2"), machines.openings()
    assert 5 <= at_loss < at_stop < SHARDS
    assert _files(out) == _files(single)
    assert _headings(out) == list(range(SHARDS))
    assert verify(out).problems == ()
    again = int(said.partition(f"{PAIRS} pairs in")[2].partition("(")[2].split()[0])
    assert 0 < again <= PAIRS - at_stop * PAIRS // SHARDS
    assert {"worker1", "worker2", "worker3"} <= set(openings), openings
    once = openings["driver2"]
    assert all(counts == [once[0]] * len(counts) for counts in openings.values()), openings
    print(f"\n{engine}: {at_loss} shards were whole when the worker was killed, {at_stop} when the driver was")
    print(f"processes that opened the artifact: { {node: len(counts) for node, counts in sorted(openings.items())} }")
    print(f"{took:.0f} s against {seconds:.0f} s of one process: {took / seconds:.2f}")


def _whole(out):
    return len(list((out / "shards").glob("*.jsonl")))


def _files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _headings(out):
    lines = map(json.loads, (out / "manifest.jsonl").read_text().splitlines())
    return [line["shard"] for line in lines if "shard" in line]
