"""The cost of writing: pairs per second in each format as a share of bare inference, and memory.

    python benchmarks/generate.py --model MODEL [--small MODEL]

Rounds of bare inference and of each format are interleaved. Memory: the largest resident set of a process that
generates few and many pairs with the small model.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import record

from synthmed_tf.exporting.artifact import Artifact, open_artifact
from synthmed_tf.generation import synthesis
from synthmed_tf.generation.plan import FORMATS
from synthmed_tf.generation.shards import Shard

BATCH = 16
_FORMATS = [name for name in FORMATS if name != "dicom"]  # which needs facts
FEW, MANY = 1000, 20000
GOAL = 0.9


def main() -> None:
    """Measures, and writes JSON."""
    options = _options()
    if options.generate:
        _generate_for_memory(options.small, options.generate)
        return
    opened = open_artifact(options.model, options.runtime)
    shares = compare(opened, options.pairs, options.rounds)
    results = {"size": opened.card["size"], "runtime": opened.runtime, "pairs": options.pairs, "goal": GOAL}
    results["share of bare inference"] = {name: statistics.median(values) for name, values in shares.items()}
    results["rounds"] = shares
    if options.small:
        results["memory, MB"] = {count: _memory(options.small, count) for count in (FEW, MANY)}
    rows = [[name, f"{share:.2f}"] for name, share in results["share of bare inference"].items()]
    record.save("generate", results, record.table(["format", "share of bare inference"], rows), options.out)
    print(json.dumps(results.get("memory, MB")))


def compare(opened: Artifact, count: int, rounds: int) -> dict[str, list[float]]:
    """Of each format, the share of bare inference in each round."""
    _bare(opened, 4 * BATCH)
    shares: dict[str, list[float]] = {name: [] for name in _FORMATS}
    for name in _FORMATS:
        _written(opened, name, BATCH)  # so that imports are not counted
    for _ in range(rounds):
        for name in _FORMATS:
            # Before and after, since the machine may be shared and its speed drift.
            before = _bare(opened, count)
            seconds = _written(opened, name, count)
            shares[name].append((before + _bare(opened, count)) / 2 / seconds)
    return shares


def _bare(opened: Artifact, count: int) -> float:
    started = time.perf_counter()
    for first in range(0, count, BATCH):
        opened.pixels(np.zeros(BATCH, np.int64), np.arange(first, first + BATCH))
    return time.perf_counter() - started


def _written(opened: Artifact, name: str, count: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        out, plan = Path(folder), synthesis.make_plan(opened, count, format=name, shards=1, batch_size=BATCH)
        started = time.perf_counter()
        Shard(plan, out, 0).write(opened)
        return time.perf_counter() - started


def _memory(model: Path, count: int) -> float:
    command = [sys.executable, __file__, f"--small={model}", f"--generate={count}"]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def _generate_for_memory(model: Path, count: int) -> None:
    opened = open_artifact(model, "onnx")
    with tempfile.TemporaryDirectory() as folder:
        plan = synthesis.make_plan(opened, count, shards=1, batch_size=BATCH)
        Shard(plan, Path(folder), 0).write(opened)
    # Not getrusage: its peak is inherited from the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    print(int(status.partition("VmHWM:")[2].split()[0]) / 1024)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="an artifact")
    parser.add_argument("--small", type=Path, help="a small one, for memory")
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--pairs", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--generate", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=record.RESULTS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
