"""Waiting times: for `synthmed --help`, for the first training step, and for the first image.

    python benchmarks/startup.py

Each command has its own process; the median of several, after one that warms the disk cache.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import record

_SYNTHMED = (sys.executable, "-m", "synthmed_tf")
_SMALL = ("--preset", "demo", "--data", "phantom")


def main() -> None:
    """Measures, and writes JSON and table."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), options.rounds)
    rows = [[name, f"{seconds:.2f}"] for name, seconds in results.items()]
    record.save("startup", {"seconds": results}, record.table(["what", "seconds"], rows), options.out)


def measure(folder: Path, rounds: int) -> dict[str, float]:
    """Seconds of each command."""
    runs = (folder / f"run{i}" for i in range(rounds + 1))
    results = {
        "`synthmed --help`": _median(lambda: [*_SYNTHMED, "--help"], rounds),
        "Python and TensorFlow alone": _median(lambda: [sys.executable, "-c", "import tensorflow"], rounds),
        "`synthmed train stage1 --preset demo`, one step, with checkpoint, images and all": _median(
            lambda: [*_train("stage1", next(runs))], rounds
        ),
    }
    run, model = folder / "run", folder / "model"
    for command in (_train("all", run), [*_SYNTHMED, "export", "--run", str(run), "--out", str(model)]):
        subprocess.run(command, check=True, capture_output=True)
    for runtime in ("savedmodel", "onnx"):
        sets = (folder / f"{runtime}{i}" for i in range(rounds + 1))
        results[f"`synthmed generate -n 1`, {runtime}"] = _median(
            lambda runtime=runtime, sets=sets: [
                *(*_SYNTHMED, "generate", "--model", str(model), "-n", "1"),
                *("--runtime", runtime, "--out", str(next(sets))),
            ],
            rounds,
        )
    return results


def _train(stages: str, run: Path) -> list[str]:
    settings = ("--override", "stage1.steps=1", "--override", "stage2.steps=1")
    return [*_SYNTHMED, "train", stages, *_SMALL, "--run", str(run), *settings]


def _median(command, rounds: int) -> float:
    """Seconds of a command, whose arguments are made again for each round."""
    seconds = []
    for _ in range(rounds + 1):
        arguments = command()
        started = time.perf_counter()
        subprocess.run(arguments, check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=record.RESULTS)
    parser.add_argument("--quick", action="store_true", help="one round")
    options = parser.parse_args()
    options.rounds = 1 if options.quick else options.rounds
    return options


if __name__ == "__main__":
    main()
